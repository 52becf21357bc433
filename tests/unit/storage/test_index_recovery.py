"""Crash points of storage/indexes: copies of the directory, taken at each, recover with the log."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import ZERO
from cluster.wire import RemoteError
from storage.indexes import record, shelf
from storage.indexes.change import change_of_rows
from storage.indexes.database import SEQUENCE_GAP
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.log.device import DeviceLog
from storage.log.interface import Log
from storage.messages import Changes, DatabaseKind, IndexChanges, IndexFreeze, IndexInfo, Refusal
from storage.ranges.decision import Named
from storage.ranges.deletion import acceptance_of, deletion_at
from tests.unit.storage.index_fixtures import (
    KEY,
    MemoryLog,
    at,
    create_message,
    list_message,
    row,
    rows_message,
)

SLOW = Tuning(merge_delay_s=60.0, checkpoint_delay_s=600.0)
INFO = IndexInfo(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c")
CHECKPOINT_STEPS = ["begin_checkpoint", "checkpoint", "end_checkpoint"]


async def no_peer(_device: int, _ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
    raise AssertionError("nobody was to be asked")


def opened(directory: Path, log: MemoryLog | Log) -> IndexStore:
    store = IndexStore(directory, log, no_peer, SLOW)  # type: ignore[arg-type]
    store.recover()
    store.start()
    return store


async def state(store: IndexStore) -> tuple[Any, Any]:
    listing = await store.list(list_message())
    return (None, None) if listing is None else (listing.info, [tuple(item) for item in listing.items])


def killed(directory: Path, target: Path) -> Path:
    """Copy what the kernel has, as after kill -9."""
    shutil.copytree(directory, target)
    return target


def powered_off(directory: Path, target: Path) -> Path:
    """The same without commits that were not synced: every WAL is gone."""
    shutil.copytree(directory, target, ignore=shutil.ignore_patterns("*-wal"))
    return target


Crash = Callable[[Path, Path], Path]
both_crashes = pytest.mark.parametrize("crash", [killed, powered_off])


async def fill(store: IndexStore, start: int, count: int) -> None:
    found = [store.rows(rows_message([row(f"n{number:03}", 2)])) for number in range(start, start + count)]
    await asyncio.gather(*found)


async def recovered_state(directory: Path, log: MemoryLog) -> tuple[Any, Any]:
    store = opened(directory, log)
    found = await state(store)
    await store.close()
    return found


@both_crashes
@pytest.mark.parametrize("point", ["pending", "merged", "checkpointed", "checkpointed, then merged"])
def test_every_acknowledged_row_is_there_after_a_crash(tmp_path: Path, crash: Crash, point: str) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        await store.create(create_message(metadata={"acl": ("x", at(1))}))
        await fill(store, 0, 10)
        if point.startswith("checkpointed"):
            await store.checkpoint()
            assert log.held == log.end
        if point.endswith("then merged"):
            await fill(store, 5, 10)
            await store.rows(rows_message([row("n001", 3, deleted=True)]))
        if point.endswith("merged"):
            await state(store)
        copied = crash(tmp_path / "live", tmp_path / "copy")
        crashed = log.crashed()
        assert await recovered_state(copied, crashed) == await state(store)
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


@both_crashes
@pytest.mark.parametrize("step", CHECKPOINT_STEPS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_crash_within_a_checkpoint_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: Crash, step: str, after: bool, known: bool
) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        if known:
            await fill(store, 0, 5)
            await store.checkpoint()
        await fill(store, 3, 5)
        copies: list[Path] = []
        original = getattr(shelf.Shelf, step)

        def crashing(self: shelf.Shelf, *arguments: Any) -> Any:
            result = original(self, *arguments) if after else None
            copies.append(crash(tmp_path / "live", tmp_path / f"copy{len(copies)}"))
            return result if after else original(self, *arguments)

        crashed = log.crashed()  # the hold moves on only after the checkpoint
        with monkeypatch.context() as patch:
            patch.setattr(shelf.Shelf, step, crashing)
            await store.checkpoint()
        assert copies
        expected = await state(store)
        for copied in copies:
            assert await recovered_state(copied, crashed) == expected
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_file_that_no_checkpoint_vouches_for_is_made_again(tmp_path: Path) -> None:
    """After a power loss it may be anything."""

    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        await fill(store, 0, 5)
        expected = await state(store)
        copied = killed(tmp_path / "live", tmp_path / "copy")
        for path in (copied / "databases").rglob("*.db*"):
            path.write_bytes(b"\x00" * 5000)
        assert await recovered_state(copied, log.crashed()) == expected
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_damaged_database_is_refused_and_harms_no_other(tmp_path: Path) -> None:
    other = b"o" * 16

    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path, log)
        await fill(store, 0, 5)
        await store.rows(rows_message([row("x", 2)], key=other))
        await store.close()
        (path,) = tmp_path.rglob(f"{KEY.hex()}.db")
        path.write_bytes(b"\x00" * 5000)
        again = opened(tmp_path, log.crashed())
        with pytest.raises(RemoteError) as raised:
            await again.list(list_message())
        assert raised.value.code == Refusal.CORRUPT
        listing = await again.list(list_message(key=other))
        assert listing is not None
        assert len(listing.items) == 1
        await again.close()

    asyncio.run(asyncio.wait_for(main(), 20))


@both_crashes
def test_a_peer_pulls_the_rows_that_a_crash_took_back(tmp_path: Path, crash: Crash) -> None:
    """Their sequences are used up: the peer has seen them."""

    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        await fill(store, 0, 5)
        await store.checkpoint()
        await fill(store, 5, 5)
        seen = await store.changes(IndexChanges(1, KEY, b"", 0, 100))
        assert seen is not None
        assert seen.sequence == 10
        again = opened(crash(tmp_path / "live", tmp_path / "copy"), log.crashed())
        await again.rows(rows_message([row("new", 2)]))
        page = await again.changes(IndexChanges(1, KEY, seen.incarnation, seen.sequence, 100))
        assert page is not None
        assert page.incarnation == seen.incarnation
        assert [item[0] for item in page.rows][-1] == "new"
        if crash is powered_off:
            assert page.sequence > SEQUENCE_GAP
        await again.close()
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


ROOT = Named("AUTH_a", "c")


def test_a_deletion_survives_and_a_freeze_does_not(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        await store.create(create_message())
        await store.freeze(IndexFreeze(1, KEY, b"t", 60.0))
        again = opened(killed(tmp_path / "live", tmp_path / "frozen"), log.crashed())
        with pytest.raises(RemoteError) as raised:
            await again.move(acceptance_of(KEY, ROOT, at(1), at(5), b"t"))
        assert raised.value.code == Refusal.NOT_HELD
        await again.close()

        await store.move(acceptance_of(KEY, ROOT, at(1), at(5), b"t"))
        again = opened(killed(tmp_path / "live", tmp_path / "accepted"), log.crashed())
        assert (await again.freeze(IndexFreeze(1, KEY, b"u", 60.0, False))).accepted == (at(5), ZERO, at(1), [])
        await again.close()

        await store.move(deletion_at(KEY, ROOT, at(1), at(5)))
        again = opened(killed(tmp_path / "live", tmp_path / "deleted"), log.crashed())
        info = await again.info(INFO)
        assert info is not None
        assert info.delete_timestamp == at(5)
        await again.close()
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_the_log_is_let_go_when_there_is_nothing_to_keep(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path, log)
        await store.checkpoint()
        assert store.needed_from() == log.held == log.end
        await fill(store, 0, 3)
        assert store.needed_from() < log.end
        await store.checkpoint()
        assert store.needed_from() == log.held == log.end
        await store.close()
        again = IndexStore(tmp_path, log, no_peer, SLOW)  # type: ignore[arg-type]
        assert again.recover() == 0
        again.start()
        assert len((await state(again))[1]) == 3
        await again.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_reports_that_were_not_sent_are_made_again(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        await fill(store, 0, 3)
        await store.checkpoint()
        copied = killed(tmp_path / "live", tmp_path / "copy")
        again = opened(copied, log.crashed())
        assert again.take_reports(10) == store.take_reports(10) != {}
        await again.close()
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_log_that_starts_over_is_replayed_from_its_beginning(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path, log)
        await fill(store, 0, 3)
        await store.close()
        fresh = MemoryLog(log.records[:1])
        fresh.records[0] = fresh.records[0]._replace(metadata=_record_of("from the new log"))
        again = opened(tmp_path, fresh)
        assert [item[0] for item in (await state(again))[1]] == ["from the new log", "n000", "n001", "n002"]
        await again.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def _record_of(name: str) -> bytes:
    return record.pack(change_of_rows(rows_message([row(name, 5)])))


def test_it_recovers_from_the_log_of_a_device(tmp_path: Path) -> None:
    """The same over the real log."""

    async def main() -> None:
        log = DeviceLog(str(tmp_path / "log"))
        store = opened(tmp_path / "live", log)
        log.start()
        await fill(store, 0, 50)
        await store.checkpoint()
        await fill(store, 50, 50)
        expected = await state(store)
        copied = powered_off(tmp_path / "live", tmp_path / "copy")
        await log.close()
        log = DeviceLog(str(tmp_path / "log"))
        store = opened(copied, log)
        log.start()
        assert await state(store) == expected
        await store.rows(rows_message([row("new", 9)]))
        assert len((await state(store))[1]) == len(expected[1]) + 1
        await store.close()
        await log.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_the_databases_are_sound(tmp_path: Path) -> None:
    """SQLite's own opinion, after recovery from a copy without WALs."""

    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "live", log)
        await fill(store, 0, 200)
        await store.checkpoint()
        await fill(store, 100, 200)
        await state(store)
        copied = powered_off(tmp_path / "live", tmp_path / "copy")
        await recovered_state(copied, log.crashed())
        await store.close()
        for directory in ("live", "copy"):
            for path in (tmp_path / directory).rglob("*.db"):
                connection = sqlite3.connect(path)
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                connection.close()

    asyncio.run(asyncio.wait_for(main(), 20))


@both_crashes
@pytest.mark.parametrize("point", ["forgotten by the catalog", "forgotten"])
def test_a_forgotten_database_never_comes_back(tmp_path: Path, crash: Crash, point: str) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path / "a", log)
        await store.create(create_message())
        await fill(store, 0, 20)
        ((key, digest),) = await store.inventory(DatabaseKind.CONTAINER, b"", None, 10)
        if point == "forgotten":
            assert await store.forget({key: digest}) == [key]
            assert await state(store) == (None, None)
        else:
            await store.checkpoint()
            store._shelf._delete = lambda _key: None  # type: ignore[method-assign]
            await store.forget({key: digest})
        copy, left = crash(tmp_path / "a", tmp_path / "b"), log.crashed()
        if point == "forgotten":
            await store.close()
        store = opened(copy, left)
        assert await store.inventory(DatabaseKind.CONTAINER, b"", None, 10) == []
        assert await state(store) == (None, None)
        await store.create(create_message())
        assert await state(store) != (None, None)
        await store.close()

    asyncio.run(main())


def test_a_database_that_changed_is_not_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = opened(tmp_path, log)
        await store.create(create_message())
        ((key, digest),) = await store.inventory(DatabaseKind.CONTAINER, b"", None, 10)
        await fill(store, 0, 1)
        assert await store.forget({key: digest}) == []
        assert await state(store) != (None, None)
        await store.close()

    asyncio.run(main())
