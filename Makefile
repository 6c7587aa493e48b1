# All that a machine needs is Python 3.11+, pip, make and a C library: everything else comes, by hash, from the locks.
#
#   make demo | bench     the demonstration, the numbers   (ARGS="..." is passed on)
#   make test | soak      the tests; their long version
#   make sim              the service under every fault: SEEDS=100 runs from FIRST=0 on, and one of programs for each 50
#   make mutants          which test finds which deliberate fault   (ARGS="NAME ...", or "--seeds 50" for the simulator)
#   make e2e              those against a real Kubernetes control plane, which is compiled first, once (6 minutes)
#   make format | lock    rewrite the code's form; resolve the locks anew
#   make clean            everything that the above made here, but not ./data
#
# PYTHON=... chooses the interpreter, VENV=... where it is set up: make test PYTHON=python3.13 VENV=.venv-3.13

.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
# No sdist is ever built, so no build dependency comes in unpinned. The Kubernetes client's thousand models are not
# compiled: that took half of the time, and we never load them.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LOCKED := $(INSTALL) --require-hashes --only-binary :all: --no-compile
COMPILED := $(BIN)/python -m compileall -q -x /kubernetes/ $(VENV)/lib
RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-annotate --no-emit-index-url --no-header --upgrade

SEEDS ?= 100
FIRST ?= 0

.PHONY: help demo test soak sim mutants e2e format lock bench clean

help:
	@sed -n 's/^#   make/make/p' Makefile

demo: $(VENV)/.installed
	$(BIN)/slimjobs demo $(ARGS)

test: $(VENV)/.tools
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(ARGS)

soak: export SLIMJOBS_SOAK := 1
soak: test

sim: $(VENV)/.tools
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --first $(FIRST) $(ARGS)
	$(BIN)/python -m tests.simulation.programs.run --seeds $$((($(SEEDS) + 49) / 50)) --first $(FIRST)

mutants: $(VENV)/.tools
	$(BIN)/python -m tests.mutants.run $(ARGS)

e2e: $(VENV)/.tools $(VENV)/.go
	$(BIN)/python -m tests.cluster.binary
	$(BIN)/python -m pytest tests/e2e $(ARGS)

format: $(VENV)/.tools
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The tools' lock takes the runtime's as given, so that what is tested is what is installed.
lock: $(VENV)/.tools
	$(RESOLVE) pyproject.toml --group build --output-file requirements.lock
	$(RESOLVE) pyproject.toml --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(RESOLVE) --group cluster --output-file requirements-cluster.lock

# The compiler is for the part that measures against etcd; the other parts do not need what it makes.
bench: $(VENV)/.installed $(VENV)/.go
	$(BIN)/python tests/bench/run.py $(ARGS)

clean:
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: the environment is made anew when its lock changes, and the project is entered into it again when only its
# own table did.
$(VENV)/.locked: requirements.lock
	@python="$(PYTHON)"; \
	for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do \
		[ -n "$$python" ] && break; \
		! $$candidate -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=$$candidate; \
	done; \
	if ! $${python:-false} -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo 'slimjobs needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv);' \
			"PYTHON=... says where it is" >&2; \
		exit 1; \
	fi; \
	echo "setting up $(VENV) with $$python ..." >&2; \
	$$python -m venv --clear $(VENV)
	@$(LOCKED) -r requirements.lock
	@$(COMPILED)
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(INSTALL) --no-index --no-build-isolation --editable .
	@touch $@

$(VENV)/.tools: $(VENV)/.installed requirements-dev.lock
	@$(LOCKED) -r requirements-dev.lock
	@$(COMPILED)
	@touch $@

$(VENV)/.go: $(VENV)/.installed requirements-cluster.lock
	@$(LOCKED) -r requirements-cluster.lock
	@touch $@
