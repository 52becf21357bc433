"""A few seeds of the simulator: a change that breaks something obvious is found at once. `make sim` runs more."""

import os
import re
import subprocess
import sys
from pathlib import Path

SEEDS = 12
ROOT = Path(__file__).parents[2]


def simulated(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_few_seeds_pass() -> None:
    done = simulated("tests.sim", "--seeds", str(SEEDS))
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]


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
