"""storage.health.suspicion: what is remembered of a disk that failed."""

import os
from pathlib import Path

from storage.health.suspicion import LONGEST_PAUSE_S, Suspicion, forget_cached, read, write


def test_what_is_noted_is_found_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "storage-0.suspect"
    assert read(path) == Suspicion()
    noted = Suspicion().after_failure(now_s=1000.0)
    write(path, noted)
    assert read(path) == noted
    assert noted.pending
    assert not noted.after_recovery().pending
    path.write_text("{")
    assert read(path) == Suspicion()


def test_what_a_failure_has_lost_stays_lost_until_the_device_is_recovered() -> None:
    failed = Suspicion().after_failure(now_s=1000.0)
    assert failed.lost_writes
    assert failed.after_failure(now_s=1001.0, lost_writes=False).lost_writes
    assert not failed.after_recovery().after_failure(now_s=1001.0, lost_writes=False).lost_writes


def test_failures_in_a_row_make_the_pauses_longer() -> None:
    suspicion, pauses = Suspicion(), []
    for minute in range(40):
        suspicion = suspicion.after_failure(now_s=60.0 * minute).after_recovery()
        pauses.append(suspicion.pause_s)
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert suspicion.after_failure(now_s=10_000.0).pause_s == 2.0  # a long time went well
    assert suspicion.after_failure(now_s=0.0).pause_s == 2.0  # the clock was set back


def test_only_the_end_of_the_log_and_databases_are_dropped_from_memory(tmp_path: Path, monkeypatch: object) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "indexes" / "databases").mkdir(parents=True)
    for name in ("log/1.segment", "log/2.segment", "log/3.segment", "log/id", "indexes/databases/a.db-wal"):
        (tmp_path / name).write_bytes(b"x")
    synced = []
    real = os.fsync
    monkeypatch.setattr(  # type: ignore[attr-defined]
        os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))
    )
    forget_cached(tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in synced] == [
        "log/2.segment",
        "log/3.segment",
        "indexes/databases/a.db-wal",
    ]
