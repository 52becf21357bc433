# Holdfast. `make up` starts a cluster, `make test` checks a change; `make` alone lists the rest.
#
# Everything runs from .venv, which is made on first use and again when setup.cfg changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test
TEST_PACKAGES := rclone s3cmd restic gcc openssl qemu-utils libnbd-bin python3-libnbd nbdkit nbd-client fio \
	qemu-system-x86 busybox-static e2fsprogs xfsprogs fuse3 postgresql chromium chromium-driver fonts-inter
GUEST_PACKAGES := grub-pc-bin grub-common fdisk ovmf libvirt-daemon

# make up DATA=/srv/holdfast NODES=4 PORT_OFFSET=100 DETACH=1
data_option := $(if $(DATA),--data "$(DATA)")
up_options := $(data_option) $(if $(NODES),--nodes $(NODES)) $(if $(PORT_OFFSET),--port-offset $(PORT_OFFSET)) \
	$(if $(DETACH),--detach)

.PHONY: help compute venv up down status test lint unit functional test-browser faults test-guests test-debian sim sim-mutants sim-volumes sim-volumes-mutants ring-histories bench bench-ring bench-listing bench-repair bench-volumes bench-snapshots bench-guests test-postgres tempest clean

help:
	@echo 'make up      start a cluster and stay with it; DETACH=1: behind; DATA= NODES= PORT_OFFSET='
	@echo 'make down    stop it; DATA='
	@echo 'make status  tell how it is; DATA='
	@echo 'make test    everything a change must pass: lint, and all tests'
	@echo 'make lint    ruff and mypy'
	@echo 'make unit functional    one kind of test each'
	@echo 'make test-browser   the console in headless Chromium; HOLDFAST_SCREENSHOTS= keeps how it looks'
	@echo 'make faults  tests that kill, stop, cut and spoil, in their long form; ROUNDS= TEST='
	@echo 'make test-guests   guests on volumes, in their long form: killed gateways and agents, networks; TEST='
	@echo 'make test-debian   a cloud image of Debian boots, and cloud-init is content; the image is built first, as root'
	@echo 'make compute   install what this host needs for guests: libvirt, qemu and what goes with them'
	@echo 'make test-postgres   tests of the control plane on a PostgreSQL of their own; TEST='
	@echo 'make tempest   tests of OpenStack for its APIs, and docs/openstack.md from them; TEMPEST="--only REGEX"'
	@echo 'make sim     simulated clusters under faults: SEEDS=2000 many, SEED=7 one again; make sim-mutants: is it any good?'
	@echo 'make sim-volumes  the same for volumes; make sim-volumes-mutants'
	@echo 'make ring-histories   the tests of tests/ring on many more random histories; HISTORIES='
	@echo 'make bench   measure a cluster of its own, or that of DATA=; PEERS= BENCH='
	@echo 'make bench-ring   our ring builder, files and lookups beside those of OpenStack Swift; ROUNDS='
	@echo 'make bench-repair   how fast a lost device is made whole, and what clients notice; REPAIR='
	@echo 'make bench-listing   pages of one container with ROWS= rows, and inserts into it, beside those of an empty one'
	@echo 'make bench-volumes   volumes by fio through NBD; PEER=nbd://HOST:PORT/NAME beside another server, VOLUMES='
	@echo 'make bench-snapshots   of a volume of 1 TiB, and of one that is written whole; SNAPSHOTS='
	@echo 'make bench-guests   how soon a guest starts, by its image, and what ten of one image store; GUESTS='
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

# first what may share the machine, a file at a time on each core, the longest first; then what needs it for itself
define pytest
$(BIN)/pytest -m 'not alone' --numprocesses logical --dist loadfile --no-loadscope-reorder $(1)
$(BIN)/pytest -m alone $$(grep -rl 'mark\.alone' --include='test_*.py' $(or $(1),tests))
endef

test: lint
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	@tools/install-compute $(PYTHON) $(BIN)/python $(GUEST_PACKAGES)
	$(call pytest)

lint: $(INSTALLED_TEST)
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: $(INSTALLED_TEST)
	$(call pytest,tests/$@)

functional: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	$(call pytest,tests/$@)

# make test-browser HOLDFAST_SCREENSHOTS=shots: the console in a real browser; screenshots stay in that directory
test-browser: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	@tools/install-compute $(PYTHON) $(BIN)/python $(GUEST_PACKAGES)
	$(BIN)/pytest tests/browser

# make faults TEST=tests/faults/test_rebalance_while_nodes_die.py: `make test` has the short forms
ROUNDS ?=
faults: $(INSTALLED_TEST)
	HOLDFAST_TEST_LONG=1 HOLDFAST_TEST_ROUNDS=$(or $(ROUNDS),20) HOLDFAST_TEST_LOAD_S=15 \
		$(BIN)/pytest --timeout 3600 $(or $(TEST),tests/faults tests/functional)

# make test-guests TEST=tests/guests/test_disks.py: real guests; `make test` has one of them
test-guests: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	@tools/install-compute $(PYTHON) $(BIN)/python $(GUEST_PACKAGES)
	HOLDFAST_TEST_LONG=1 $(BIN)/pytest --timeout 1800 $(or $(TEST),tests/guests)

# make test-debian: minutes. The image is kept in /var/tmp, or in HOLDFAST_DEBIAN_IMAGE=DIR (tests/guests/debian.py)
test-debian: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES) mmdebstrap openssh-client
	@tools/install-compute $(PYTHON) $(BIN)/python $(GUEST_PACKAGES)
	@$(BIN)/python -m tests.guests.debian
	HOLDFAST_TEST_LONG=1 $(BIN)/pytest --timeout 3600 -rP tests/guests/test_debian.py

# what this host needs for guests; then `holdfast up` starts the compute tier
compute: $(INSTALLED)
	@tools/install-compute $(PYTHON) $(BIN)/python

# make test-postgres TEST=tests/unit/identity: `make test` runs a few of them there, and all on SQLite
CONTROL_PLANE := tests/unit/cluster/controlplane $(wildcard tests/unit/identity/keystone tests/unit/compute)
test-postgres: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) postgresql
	$(BIN)/python -m tests.postgres $(BIN)/pytest --numprocesses logical --dist loadfile $(or $(TEST),$(CONTROL_PLANE))

# make tempest TEMPEST="--only tempest.api.identity": without docs then
tempest: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.tempest $(or $(TEMPEST),--docs)

# make sim SEEDS=2000 JOBS=2; make sim SEED=7: one of them again, with its trace (docs/simulator.md)
SEEDS ?= 200
sim: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(MUTANT),--mutant $(MUTANT)) \
		$(if $(JOBS),--jobs $(JOBS))

# is each broken variant caught? make sim-mutants SEEDS=500 MUTANT=no_write_back
sim-mutants: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.sim.mutants --seeds $(if $(filter file,$(origin SEEDS)),500,$(SEEDS)) \
		$(if $(MUTANT),--only $(MUTANT)) $(if $(JOBS),--jobs $(JOBS))

# the same for volumes: gateways that compete for them, and the devices' chunks (docs/simulator-volumes.md)
sim-volumes: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.sim.volumes $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) \
		$(if $(MUTANT),--mutant $(MUTANT)) $(if $(JOBS),--jobs $(JOBS))

sim-volumes-mutants: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.sim.volumes --mutants --seeds $(SEEDS) $(if $(MUTANT),--mutant $(MUTANT)) \
		$(if $(JOBS),--jobs $(JOBS))

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

# make bench-repair REPAIR="--objects 100000 --large-mib 2048"
bench-repair: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.bench.repair $(REPAIR)

# make bench-listing ROWS=10000000 BENCH="--repeats 200": takes about an hour for ten million, and 10 GB under /tmp
ROWS ?= 1000000
bench-listing: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.bench.listing --rows $(ROWS) $(BENCH)

# make bench-volumes PEER=nbd://127.0.0.1:10811/vol VOLUMES="--rounds 5 --seconds 8": the peer's export is written over
bench-volumes: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) fio
	@$(BIN)/python -m tests.bench.volumes $(if $(PEER),--peer "$(PEER)") $(VOLUMES)

# make bench-snapshots SNAPSHOTS="--gib 2": three times that of disk, and a minute for every 5 GiB
bench-snapshots: $(INSTALLED_TEST)
	@$(BIN)/python -m tests.bench.snapshots $(SNAPSHOTS)

# make bench-guests GUESTS="--sizes 64 1024 --rounds 5 --filled 256"
bench-guests: $(INSTALLED_TEST)
	@tools/install-packages $(PYTHON) $(TEST_PACKAGES)
	@tools/install-compute $(PYTHON) $(BIN)/python $(GUEST_PACKAGES)
	@$(BIN)/python -m tests.bench.guests $(GUESTS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
