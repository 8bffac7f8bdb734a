# Two commands for a fresh machine with git, make and Python 3.11: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test test-slow bench bench-policies notebooks check format figures clean

help:
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

.venv/made: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/made-test: .venv/made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

.venv/made-bench: .venv/made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@

.venv/made-notebook: .venv/made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebook]'
	touch $@

run: .venv/made ## run the customer-service scenario: table here, report in out/
	$(BIN)/poolwright run scenarios/customer-service.yaml --out out/customer-service

test: check ## lint, types, import contracts and the test suite
	$(BIN)/python -m pytest -n 2

test-slow: .venv/made-test ## the longer proofs
	$(BIN)/python -m pytest -m slow

bench: .venv/made-bench ## how fast it is, against SimPy, Ciw, C++ and by the clock; a few minutes
	$(BIN)/python tests/benchmarks/bench.py

bench-policies: .venv/made ## which policy is best, on traces and bursts, against the optimum; half an hour
	$(BIN)/python tests/benchmarks/policies_bench.py --out out/policies

notebooks: .venv/made-notebook ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

bench-live: .venv/made-test ## how long a tick of the daemon takes with 1,000 targets
	$(BIN)/python tests/benchmarks/live_tick.py

check: .venv/made-test ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/made-test ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what was made
	rm -rf .venv build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
