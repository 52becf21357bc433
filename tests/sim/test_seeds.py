"""A few seeds of the simulator: a change that breaks something obvious is found at once. `make sim` runs more."""

import re
import subprocess

import pytest

from tests.sim.command import simulated
from tests.sim.faults import CRASHES, PARTITIONS

SEEDS = 6


@pytest.fixture(scope="module")
def seeds() -> subprocess.CompletedProcess[str]:
    return simulated("tests.sim", "--seeds", str(SEEDS), "--faults")


def test_a_few_seeds_pass(seeds: subprocess.CompletedProcess[str]) -> None:
    assert seeds.returncode == 0, seeds.stdout[-20_000:] + seeds.stderr[-5000:]


def test_each_seed_meets_crashes_and_partitions_and_every_third_a_change_of_rings(
    seeds: subprocess.CompletedProcess[str],
) -> None:
    met = {int(seed): faults.split() for seed, faults in re.findall(r"seed (\d+) met (.*)", seeds.stdout)}
    assert sorted(met) == list(range(1, SEEDS + 1))
    for seed, faults in met.items():
        assert set(faults).intersection(CRASHES), seed
        assert set(faults).intersection(PARTITIONS), seed
        assert len(faults) >= 6, seed
        assert ("ring_change" in faults) == (seed % 3 == 0), seed
        assert ("rot" in faults) == (seed % 3 == 1), seed
        assert bool({"wipe", "lose_witness"}.intersection(faults)) == (seed % 3 == 2), seed


def test_a_seed_replays_exactly() -> None:
    digests = [re.findall(r"events ([0-9a-f]+)", simulated("tests.sim", "--seed", "3").stdout) for _ in range(2)]
    assert digests[0], "the digest of all events is printed"
    assert digests[0] == digests[1]


def test_a_seed_that_fails_says_so_and_how_to_replay_it() -> None:
    """With a mutant: nobody notices that replicas differ, and they never become equal."""
    done = simulated("tests.sim", "--seed", "1", "--mutant", "no_replication")
    assert done.returncode == 1, done.stdout[-5000:]
    assert "replay: make sim SEED=1" in done.stdout
    assert "NEMESIS" in done.stdout
