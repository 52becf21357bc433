"""What is peculiar to coordination in one SQLite file: cluster/coordination/embedded.py."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.coordination import embedded
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Unavailable
from cluster.coordination.interface import Change

ROOT = Path(__file__).parents[3]
PROCESSES = 4
INCREMENTS = 10

# adds to one number by compare-and-set, as processes that race with others do
INCREMENTING = f"""
import sys
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import Conflict
coordination = EmbeddedCoordination(sys.argv[1])
done = 0
while done < {INCREMENTS}:
    value = coordination.get("count")
    version, count = (value.version, int(value.data)) if value else (0, 0)
    try:
        coordination.put("count", str(count + 1).encode(), version)
        done += 1
    except Conflict:
        pass
"""


def test_processes_that_open_and_count_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "coordination.db"
    command = [sys.executable, "-c", INCREMENTING, str(path)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(PROCESSES)]
    assert [process.wait(60) for process in processes] == [0] * PROCESSES
    value = EmbeddedCoordination(path).get("count")
    assert value is not None
    assert int(value.data) == PROCESSES * INCREMENTS
    assert value.version == PROCESSES * INCREMENTS


def test_a_second_connection_of_a_process_does_not_cut_the_first_off(tmp_path: Path) -> None:
    """https://www.sqlite.org/howtocorrupt.html, 2.2: POSIX locks go when any descriptor of the file is closed."""
    path = tmp_path / "coordination.db"
    first = EmbeddedCoordination(path)
    assert first.get("count") is None
    EmbeddedCoordination(path).close()
    for number in (1, 2):  # had the first lost its lock, one would take the log away and the next make its own
        subprocess.run([sys.executable, "-c", INCREMENTING, path], check=True, timeout=30)
        value = first.get("count")
        assert value is not None
        assert int(value.data) == number * INCREMENTS
    first.close()


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "coordination.db"
    before = EmbeddedCoordination(path)
    version = before.put("a", b"1")
    lease = before.acquire("v", "one", 10)
    before.close()
    after = EmbeddedCoordination(path)
    assert after.get("a") == (version, b"1")
    assert after.acquire("v", "one", 10).epoch == lease.epoch + 1
    after.close()


def test_its_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    coordination.put("user/admin", b"secret")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}
    coordination.close()


def test_changes_are_synced_before_they_are_acknowledged(tmp_path: Path) -> None:
    """sqlite.org/pragma.html: in WAL mode only FULL (2) syncs the log at each commit."""
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    assert coordination._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert coordination._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    coordination.close()


def test_a_change_that_raises_leaves_nothing(tmp_path: Path) -> None:
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    with pytest.raises(ValueError, match="needs a holder"):
        coordination.acquire("v", "", 10)
    assert not coordination._connection.in_transaction
    assert coordination.acquire("v", "one", 10).epoch == 1
    coordination.close()


def test_a_writer_that_hangs_makes_others_fail_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "coordination.db"
    coordination = EmbeddedCoordination(path)
    coordination.put("a", b"1")
    hanging = sqlite3.connect(path, isolation_level=None)
    hanging.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        coordination.put("a", b"2")
    value = coordination.get("a")
    assert value is not None
    assert value.data == b"1"
    hanging.execute("ROLLBACK")
    coordination.put("a", b"2")
    coordination.close()


def test_a_file_of_another_schema_or_none_of_ours_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match="schema 99"):
        EmbeddedCoordination(newer)
    foreign = tmp_path / "foreign.db"
    foreign.write_bytes(b"not a database at all" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        EmbeddedCoordination(foreign)
    with pytest.raises(Unavailable, match="No such file or directory"):
        EmbeddedCoordination(tmp_path / "missing" / "coordination.db")


def test_a_closed_one_says_so(tmp_path: Path) -> None:
    coordination = EmbeddedCoordination(tmp_path / "coordination.db")
    coordination.close()
    with pytest.raises(Unavailable, match="closed"):
        coordination.get("a")


def test_a_watch_outlives_a_moment_without_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "POLL_S", 0.01)
    read_changes = embedded._changes
    failures = [sqlite3.OperationalError("disk I/O error")] * 3

    def read_or_fail(connection: sqlite3.Connection, prefix: str, after: int) -> list[Change]:
        if failures:
            raise failures.pop()
        return read_changes(connection, prefix, after)

    async def scenario() -> Sequence[Change]:
        coordination = EmbeddedCoordination(tmp_path / "coordination.db")
        told: asyncio.Future[Sequence[Change]] = asyncio.get_running_loop().create_future()
        coordination.watch("", told.set_result)
        monkeypatch.setattr(embedded, "_changes", read_or_fail)
        coordination.put("a", b"1")
        try:
            return await asyncio.wait_for(told, 10)
        finally:
            coordination.close()

    (change,) = asyncio.run(scenario())
    assert (change.key, change.data) == ("a", b"1")
    assert capsys.readouterr().err.count("watch_failed") == 1
