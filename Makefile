# Every target sets up what it needs; on a fresh machine `make demo` or `make test` is enough.
# Needs make, a Python >= 3.11 with venv, and a package index that pip can reach.
#
#   make test PYTHON=python3.13        another interpreter (after `make clean`)
#   make simulate SEED=7 RUNS=500      one seed onwards, so many schedules
#   make test ARGS="-k journal -x"     anything more for pytest

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$python; break; fi; done)
VENV ?= .venv
SEED ?= 1
RUNS ?= 1000
MINUTES ?= $(if $(filter soak,$(MAKECMDGOALS)),60,1)
DATA ?= .posthouse
JOBS ?= logical
SYSTEM_JOBS ?= $(JOBS)
ARGS ?=

# Where this is set, each of the thousand programs that the tests start compiles everything anew: a second each.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
STAMP := $(VENV)/.posthouse-setup
PYTEST := $(BIN)/python -m pytest -q
# Everything but real processes and hours; those run after it.
FAST := --ignore=tests/system --ignore=tests/browser --ignore=tests/soak

.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-all coverage simulate chaos soak lint format bench docs clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMP) ## virtual environment with posthouse (editable) and the developer's tools

# The compat mode puts one line into a .pth file; the default editable mode installs an import hook that doubles the
# time of every interpreter start (11 -> 20-30 ms). setuptools calls the mode transitional, so the default stands behind it.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 with venv found; say PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat -e '.[dev]' \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP) ## the flights of one January through a broker that gets killed on the way
	$(BIN)/posthouse demo

run: $(STAMP) ## a broker on loopback with its data in $(DATA); Ctrl-C stops it
	$(BIN)/posthouse serve --data $(DATA)

test: $(STAMP) ## all layers but the hour-long ones
	$(PYTEST) -n $(JOBS) -m "not slow" $(FAST) $(ARGS)
	$(PYTEST) -n $(SYSTEM_JOBS) --dist worksteal -m "not slow" tests/system tests/browser $(ARGS)

test-all: $(STAMP) ## everything, with many more examples and schedules
	$(PYTEST) -n $(JOBS) --hypothesis-profile=thorough $(FAST) $(ARGS)
	$(PYTEST) tests/system tests/browser $(wildcard tests/soak) $(ARGS)
	$(MAKE) simulate RUNS=20000

coverage: $(STAMP) ## statement and branch coverage of the layers that run in one process
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q $(FAST) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

simulate: $(STAMP) ## the whole broker under seeded schedules of faults: SEED=1 RUNS=1000, LARGE=1 for everything in each
	$(BIN)/python -m tests.simulation --seed $(SEED) --runs $(RUNS) --rare $(if $(LARGE),--large)

chaos: $(STAMP) ## real processes, killed under load for MINUTES=1, and a verdict: SEED=1
	$(BIN)/posthouse chaos --seconds $(MINUTES)m --seed $(SEED) --kills-per-minute 120 --report chaos.html

soak: $(STAMP) ## the same with few faults for long, and memory, descriptors and disk watched: MINUTES=60
	$(BIN)/posthouse chaos --seconds $(MINUTES)m --seed $(SEED) --kills-per-minute 10 --report soak.html

lint: $(STAMP) ## style, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) tests/test_architecture.py tests/test_tidy.py

format: $(STAMP) ## let ruff write what `make lint` checks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure, print the table
	$(BIN)/python -m benchmarks

docs: $(STAMP) ## check that every document's links and every room's map are true
	$(PYTEST) tests/test_tidy.py -k "link or map" -v

clean: ## remove what tools left; never the data of a broker
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
