"""A PostgreSQL of its own for tests, in a temporary directory, on a socket alone; the system's is left alone.

    python -m tests.postgres pytest tests/unit/identity

runs a command with HOLDFAST_TEST_POSTGRES set (`tests.databases`), and stops the server after it. The server does not
run as root: then it runs as the user `postgres`, whom Debian's package makes. What is in it does not outlive it, so it
waits for no disk.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.databases import VARIABLE

USER = "postgres"
_VERSIONS = Path("/usr/lib/postgresql")  # where Debian has the programs, which are in nobody's PATH
_SETTINGS = ("listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=100")


def programs() -> Path | None:
    """Return the directory of the newest release's programs; None: it is not installed."""
    found = sorted(_VERSIONS.glob("*/bin/initdb"), key=lambda path: float(path.parents[1].name))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


@contextlib.contextmanager
def running() -> Iterator[Path]:
    """Run a server; give the directory of its socket. Raise FileNotFoundError without its programs."""
    where = programs()
    if where is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    directory = Path(tempfile.mkdtemp(prefix="holdfast-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, USER, USER)
        _run(where / "initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--locale=C.UTF-8",
             "--encoding=UTF8", f"--pgdata={directory}/data")
        settings = " ".join(f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={directory}"))
        control = (where / "pg_ctl", f"--pgdata={directory}/data", "--silent", "--wait")
        _run(*control, f"--log={directory}/log", f"--options={settings}", "start")
        try:
            yield directory
        finally:
            _run(*control, "--mode=immediate", "stop")
    finally:
        shutil.rmtree(directory)


def _run(*command: Any) -> None:
    """Run one of PostgreSQL's programs."""
    as_other: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": ()} if os.geteuid() == 0 else {}
    words = [str(word) for word in command]
    # the server inherits the output of pg_ctl, and would keep a pipe open
    done = subprocess.run(words, cwd="/", stdout=subprocess.DEVNULL, check=False, **as_other)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words)


def main() -> int:
    """Run the command of the command line beside a server; return its status."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # so that the server ends, too
    with running() as directory, subprocess.Popen(sys.argv[1:], env=os.environ | {VARIABLE: str(directory)}) as command:
        try:
            return command.wait()
        finally:
            command.terminate()


if __name__ == "__main__":
    sys.exit(main())
