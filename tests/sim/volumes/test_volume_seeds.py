"""A few seeds of the simulator of volumes; `make sim-volumes` runs more."""

import re
import subprocess

import pytest

from tests.sim.command import simulated
from tests.sim.faults import CRASHES, PARTITIONS
from tests.sim.volumes.faults import TAKEOVERS

SEEDS = 16
MODULE = "tests.sim.volumes"


@pytest.fixture(scope="module")
def seeds() -> subprocess.CompletedProcess[str]:
    return simulated(MODULE, "--seeds", str(SEEDS), "--faults")


def test_a_few_seeds_pass(seeds: subprocess.CompletedProcess[str]) -> None:
    assert seeds.returncode == 0, seeds.stdout[-20_000:] + seeds.stderr[-5000:]


def test_each_seed_meets_a_crash_a_partition_and_the_end_of_a_gateway(seeds: subprocess.CompletedProcess[str]) -> None:
    met = {int(seed): faults.split() for seed, faults in re.findall(r"seed (\d+) met (.*)", seeds.stdout)}
    assert sorted(met) == list(range(1, SEEDS + 1))
    for seed, faults in met.items():
        for kinds in (CRASHES, PARTITIONS, TAKEOVERS):
            assert set(faults).intersection(kinds), seed
        assert faults.count("opening") >= 3, "volumes change hands"


def test_a_seed_replays_exactly() -> None:
    digests = [re.findall(r"events ([0-9a-f]+)", simulated(MODULE, "--seed", "3").stdout) for _ in range(2)]
    assert digests[0], "the digest of all events is printed"
    assert digests[0] == digests[1]


def test_a_seed_that_fails_says_so_and_how_to_replay_it() -> None:
    done = simulated(MODULE, "--seed", "1", "--mutant", "older_layers_forgotten")
    assert done.returncode == 1, done.stdout[-5000:]
    assert "replay: make sim-volumes SEED=1" in done.stdout
    assert "NEMESIS" in done.stdout
