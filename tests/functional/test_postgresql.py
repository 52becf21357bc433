"""The control plane on PostgreSQL: a few of its unit tests. `make test-postgres` runs all of them there."""

import os
import subprocess
import sys
from pathlib import Path

from tests.databases import VARIABLE
from tests.postgres import running

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/unit/cluster/controlplane/test_database.py",
    "tests/unit/cluster/controlplane/test_runner.py::test_slow_requests_do_not_hold_up_others_and_writers_take_turns",
    "tests/unit/identity/keystone/test_migrations.py",
    "tests/unit/identity/keystone/test_api_requests.py",
    "tests/unit/identity/keystone/test_serving.py",
    "tests/unit/compute/test_migrations.py",
    "tests/unit/compute/images/test_limits.py",
    "tests/unit/compute/volumes/test_quotas.py::test_fifty_requests_at_once_get_what_there_is",
    "tests/unit/compute/volumes/test_api_attachments.py::test_of_many_at_the_same_moment_one_gets_it",
)


def test_the_control_plane_runs_on_it() -> None:
    with running() as directory:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
        environment = os.environ | {VARIABLE: str(directory)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
