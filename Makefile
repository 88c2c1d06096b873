# Every target that needs the environment sets it up first; the second time that takes no noticeable time.
# `make setup EXTRA=models` also brings the models of docs/models.md.
.PHONY: setup models demo test test-all check

setup:
	@bash tools/setup.sh $(EXTRA)

# For the tests; without a network they go on and skip what is missing.
models: setup
	@bash tools/setup.sh models || echo "set-up: tests of these models will be skipped" >&2

demo: setup
	@.venv/bin/airtune demo

test: models
	@.venv/bin/python -m pytest -m "not long and not hardware"

test-all: models
	@.venv/bin/python -m pytest -m "not hardware"

check: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
