# Everything sets itself up: Python 3.11 or newer, make and git are all that a fresh clone needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help benchmark gate test test-all speed check format clean

help:
	@echo "make benchmark   the eight cases, all methods: results/runs/ (ARGS=... passes options on)"
	@echo "make gate        fail if a method became less accurate than results/baseline"
	@echo "make test        the fast tests; test-all: the slow ones too"
	@echo "make check       style, types, import directions"
	@echo "make speed       speed of the methods against plain loops"

benchmark: $(VENV)/.runtime
	@$(BIN)/plumbline run paper --report $(ARGS)

# The same three seeds as the baseline, so that cells are exactly paired. Where results fail (exit code 1), the
# check says which and why. Strict: other values want another version of the method, or another baseline.
gate: $(VENV)/.runtime
	@$(BIN)/plumbline run gate --quiet --out results/runs/gate || test $$? -eq 1
	@$(BIN)/plumbline check results/runs/gate --baseline results/baseline --strict $(ARGS)

test: $(VENV)/.tools
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-all: $(VENV)/.tools
	@HYPOTHESIS_PROFILE=drawn $(BIN)/python -m pytest -n auto --dist worksteal -m "slow or not slow" $(ARGS)

speed: $(VENV)/.tools
	@$(BIN)/python -m pytest tests/speed --benchmark-enable --benchmark-only -m "slow or not slow" $(ARGS)

check: $(VENV)/.tools
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

format: $(VENV)/.tools
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build *.egg-info

# The package with what it needs to run. rbo declares numpy < 2 although it runs on numpy 2, hence --no-deps.
$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plumbline needs Python 3.11 or newer; got " + sys.version.split()[0] + ". Name one with make PYTHON=python3.11 ...")'
	@echo "Setting up $(VENV) (a minute or two, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt rbo
	@touch $@

$(VENV)/.tools: $(VENV)/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,check]"
	@touch $@
