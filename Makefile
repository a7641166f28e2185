# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEV := $(VENV)/.ready-dev

# The lab's tests are one group, which one worker runs; the others do the rest meanwhile.
WORKERS ?= $(shell nproc)
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations 15

# Programs that the tests start would compile every module anew, each of them.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-fast test-envs lock upgrade lint format lab-full bench fuzz golden table table-real table-rare schemas reference clean

demo: $(STAMP)
	@$(BIN)/sealboot demo

test: $(DEV)  ## as root it installs what the tests need, and says so
	@VENV=$(VENV) scripts/lab-prepare test
	@$(PYTEST)

test-fast: $(DEV)  ## everything that needs no lab
	@VENV=$(VENV) scripts/lab-prepare test-fast
	@$(PYTEST) -m "not lab and not vm"

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@scripts/typecheck $(BIN)/mypy

format: $(DEV)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lab-full: $(DEV)  ## the slow tier: machines of six architectures (needs root; 5 to 10 minutes)
	@VENV=$(VENV) scripts/lab-prepare slow
	@$(BIN)/python -m pytest -m slow

table: $(DEV)  ## docs/oracle.md: what was foretold for every file on every machine, and what the kernels did
	@VENV=$(VENV) scripts/lab-prepare slow
	@PYTHONPATH=tests $(BIN)/python -m labkit.oracle > docs/oracle.md.new && mv docs/oracle.md.new docs/oracle.md

table-real: $(DEV)  ## docs/oracle-real.md: the same for what Debian, Alpine's tools, Go and UPX made (needs root; 8 minutes)
	@VENV=$(VENV) scripts/lab-prepare slow
	@PYTHONPATH=tests $(BIN)/python -m labkit.realcorpus > docs/oracle-real.md.new && mv docs/oracle-real.md.new docs/oracle-real.md

table-rare: $(DEV)  ## docs/oracle-rare.md: the same for the rarer reasons, on machines that have them
	@VENV=$(VENV) scripts/lab-prepare slow
	@PYTHONPATH=tests $(BIN)/python -m labkit.rare > docs/oracle-rare.md.new && mv docs/oracle-rare.md.new docs/oracle-rare.md

schemas: $(DEV)
	@$(BIN)/python -m sealboot.workflow.schema > schemas/inventory.schema.json
	@$(BIN)/python -m sealboot.plan.planfile > schemas/plan.schema.json
	@$(BIN)/python -m sealboot.render.schemas schemas

reference: $(DEV)  ## docs/commands-reference.md, of the program's own --help
	@$(BIN)/python -m sealboot.cli.reference > docs/commands-reference.md.new && mv docs/commands-reference.md.new docs/commands-reference.md

SECONDS ?= 900
SEED ?= $(shell date +%s)
fuzz: $(DEV)  ## a campaign over every parser: `make fuzz SECONDS=900 SEED=1`; coverage-guided where atheris has a wheel
	@$(BIN)/python -c 'import atheris' 2>/dev/null || sh scripts/setup $(VENV) fuzz || \
	  echo "no atheris for this Python: mutations without coverage" >&2
	@PYTHONPATH=$(CURDIR)/tests $(BIN)/python tests/fuzz/fuzz_campaign.py $(SECONDS) $(SEED)

golden: $(DEV)  ## write golden files anew, to be looked at before they are committed
	@UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/unit/render tests/unit/drivers tests/unit/plan

bench: $(DEV)  ## needs root, openssh-server, pssh and ansible
	@$(BIN)/python bench/startup.py
	@$(BIN)/python bench/usrbin.py --out docs/bench/usrbin.md
	@$(BIN)/python bench/survey.py --out docs/bench/survey.md
	@$(BIN)/python bench/ship.py --out docs/bench/ship.md
	@$(BIN)/python bench/payloads.py --out docs/bench/payloads.md

test-envs: $(DEV)  ## the newest and the lowest versions allowed, and other Pythons: imports and unit tests (WHOLE=1: all of them)
	@sh scripts/setup $(VENV) lock
	@$(BIN)/python scripts/environments.py $(if $(WHOLE),--whole)

lock: $(DEV)  ## requirements/*.txt after a change of pyproject.toml
	@sh scripts/setup $(VENV) lock
	@$(BIN)/python scripts/locks.py write

upgrade: $(DEV)  ## requirements/*.txt with the newest versions that pyproject.toml allows; says what changed
	@sh scripts/setup $(VENV) lock
	@$(BIN)/python scripts/locks.py upgrade

$(STAMP): pyproject.toml scripts/setup requirements/run.txt
	@sh scripts/setup $(VENV)
	@touch $@

$(DEV): pyproject.toml scripts/setup requirements/dev.txt
	@sh scripts/setup $(VENV) dev
	@touch $@ $(STAMP)

clean:
	rm -rf $(VENV) .demo .envs .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis
