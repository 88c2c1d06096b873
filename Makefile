# Every target that needs the environment sets it up first; the second time that takes no noticeable time.
# `make setup EXTRA=models` also brings the models of docs/models.md.
.PHONY: setup models demo test test-all check

setup:
	@bash tools/setup.sh $(EXTRA)

# Two test files at a time: the tests of one file share what it sets up. In their own order, or the longest come last.
PYTEST = .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# For the tests; without a network they go on and skip what is missing.
models: setup
	@bash tools/setup.sh models || echo "set-up: tests of these models will be skipped" >&2

demo: setup
	@.venv/bin/airtune demo

test: models
	@$(PYTEST) -m "not long and not hardware"

test-all: models
	@$(PYTEST) -m "not hardware"

check: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
