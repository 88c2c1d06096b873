# Every target that needs the environment sets it up first; the second time that takes no noticeable time.
.PHONY: setup demo test test-all check

setup:
	@bash tools/setup.sh

demo: setup
	@.venv/bin/airtune demo

test: setup
	@.venv/bin/python -m pytest -m "not long and not hardware"

test-all: setup
	@.venv/bin/python -m pytest -m "not hardware"

check: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
