# make demo    sets up .venv, starts the containers of configs/ and shows them at work
# make test    everything CI runs; its tiers one by one: lint types contracts unit kernel vm
# Another interpreter: make PYTHON=python3.12 …

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
LOCK := .cache/pip-tools/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

MAKEFLAGS += --keep-going  # one failed tier does not hide the others
.PHONY: demo test lint types contracts unit long kernel vm bench lock clean

demo: .venv/runtime
	@sh configs/show.sh $(BIN)/supervisor

test: lint types contracts unit kernel vm

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/dev
	$(BIN)/mypy

contracts: .venv/dev
	$(BIN)/lint-imports

unit: .venv/dev
	$(PYTEST) tests/unit

# The unit tests with thousands of examples each, new ones at every run; every fault of a launch, and
# two hundred rounds of SIGKILL for the supervisor's own parts, five hundred for the daemon under load, and half an hour of
# everything at once (as root).
long: .venv/dev
	HYPOTHESIS_PROFILE=long FAULTS=every $(PYTEST) tests/unit
	FAULTS=every $(PYTEST) tests/kernel/test_fail_closed.py --capture=no
	CHAOS_ROUNDS=200 $(PYTEST) tests/kernel/test_chaos.py --capture=no
	KILLS=500 $(PYTEST) tests/kernel/test_daemon_kills.py --capture=no
	FAULTS=long $(PYTEST) tests/kernel/test_faults_*.py
	$(BIN)/python -m benchmarks.soak

kernel: .venv/dev
	$(PYTEST) tests/kernel

vm: .venv/dev
	$(PYTEST) tests/vm

bench: .venv/dev
	-tests/setup rivals loggers
	$(BIN)/python -m benchmarks

# Debian keeps ensurepip in a package of its own.
.venv/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tests/setup venv
	$(PYTHON) -m venv --clear .venv

.venv/runtime: .venv/bin/python requirements.txt pyproject.toml
	$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements-dev.txt
	$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements-dev.txt
	@touch $@

# Pins the newest versions of everything again.
lock:
	$(PYTHON) -m venv .cache/pip-tools
	.cache/pip-tools/bin/pip install --quiet pip-tools
	$(LOCK) --upgrade --build-deps-for editable -o requirements.txt pyproject.toml
	$(LOCK) --upgrade --all-extras --build-deps-for editable -c requirements.txt -o requirements-dev.txt pyproject.toml

clean:
	rm -rf .venv .cache .*_cache .hypothesis *.egg-info
