# Holdfast. `make up` starts a cluster, `make test` checks a change; `make` alone lists the rest.
#
# Everything runs from .venv, which is made on first use and again when setup.cfg changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test
TEST_PACKAGES := rclone s3cmd restic

# make up DATA=/srv/holdfast NODES=4 PORT_OFFSET=100 DETACH=1
data_option := $(if $(DATA),--data "$(DATA)")
up_options := $(data_option) $(if $(NODES),--nodes $(NODES)) $(if $(PORT_OFFSET),--port-offset $(PORT_OFFSET)) \
	$(if $(DETACH),--detach)

.PHONY: help venv up down status test lint unit functional faults ring-histories bench bench-ring clean

help:
	@echo 'make up      start a cluster and stay with it; DETACH=1: behind; DATA= NODES= PORT_OFFSET='
	@echo 'make down    stop it; DATA='
	@echo 'make status  tell how it is; DATA='
	@echo 'make test    everything a change must pass: lint, and all tests'
	@echo 'make lint    ruff and mypy'
	@echo 'make unit functional faults    one kind of test each'
	@echo 'make ring-histories   the tests of tests/ring on many more random histories; HISTORIES='
	@echo 'make bench   measure a cluster of its own, or that of DATA=; PEERS= BENCH='
	@echo 'make bench-ring   our ring builder, files and lookups beside those of OpenStack Swift; ROUNDS='
	@echo 'make venv    only make .venv'
	@echo 'make clean   remove .venv and what tools left; data are not touched'

venv: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml
	@tools/install-packages $(PYTHON) python3-venv
	@echo 'making $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(INSTALLED_TEST): $(INSTALLED)
	@echo 'adding what tests need to $(VENV)'
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

up: $(INSTALLED)
	@exec $(BIN)/holdfast up $(up_options)

down: $(INSTALLED)
	@$(BIN)/holdfast down $(data_option)

status: $(INSTALLED)
	@$(BIN)/holdfast status $(data_option)

test: lint
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	$(BIN)/pytest

lint: $(INSTALLED_TEST)
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(INSTALLED_TEST)
	$(BIN)/pytest tests/$@

functional faults: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	$(BIN)/pytest tests/$@

# make ring-histories HISTORIES=1000: others each time; a failing one is printed, and kept in .hypothesis
HISTORIES ?= 300
ring-histories: $(INSTALLED_TEST)
	HISTORIES=$(HISTORIES) $(BIN)/pytest tests/ring --timeout 0

# make bench BENCH="--seconds 10" PEERS="swift=http://127.0.0.1:8090,test:tester,testing"; DATA= for a cluster that runs
bench: $(INSTALLED)
	@tools/install-packages $(PYTHON) wrk
	@$(if $(DATA),$(BIN)/holdfast bench $(data_option),$(BIN)/python -m tools.bench.alone) \
		$(foreach peer,$(PEERS),--peer "$(peer)") $(BENCH)

# make bench-ring ROUNDS=5 BENCH=--json
bench-ring: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.bench.ring $(if $(ROUNDS),--rounds $(ROUNDS)) $(BENCH)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
