# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEV := $(VENV)/.ready-dev

.PHONY: demo test test-fast lint format lab-full bench golden table schemas clean

demo: $(STAMP)
	@$(BIN)/sealboot demo

test: $(DEV)
	@$(BIN)/python -m pytest

test-fast: $(DEV)  ## everything that needs no lab
	@$(BIN)/python -m pytest -m "not lab and not vm"

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(DEV)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(STAMP): pyproject.toml scripts/setup
	@sh scripts/setup $(VENV)
	@touch $@

$(DEV): pyproject.toml scripts/setup
	@sh scripts/setup $(VENV) dev
	@touch $@ $(STAMP)

clean:
	rm -rf $(VENV) .demo .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis
