"""storage/indexes/store.py: rows, and reads of them."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import ZERO
from cluster.wire import RemoteError
from storage.indexes.database import Database
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.messages import (
    DatabaseKind,
    IndexChanges,
    IndexRows,
    IndexThaw,
    Refusal,
)
from tests.unit.storage.index_fixtures import (
    KEY,
    MemoryLog,
    at,
    create_message,
    list_message,
    row,
    rows_message,
)
from tests.unit.storage.index_stores import (
    INFO,
    names,
    refused,
    run,
)


def test_a_row_that_was_answered_is_in_every_listing(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.create(create_message(metadata={"acl": ("x", at(1))}))
        assert await names(store) == []
        for number in range(5):
            await store.rows(rows_message([row(f"n{number}", 2)]))
            assert await names(store) == [f"n{i}" for i in range(number + 1)]
        info = await store.info(INFO)
        assert info is not None
        assert (info.object_count, info.bytes_used, info.metadata) == (5, 5, {"acl": ("x", at(1))})

    run(tmp_path, scenario)


def test_rows_come_from_the_wire_as_arrays(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([list(row("x", 2))]))  # type: ignore[list-item]
        assert await names(store) == ["x"]

    run(tmp_path, scenario)


def test_a_database_that_was_missed_is_created_by_its_rows(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        assert await store.info(INFO) is None
        assert await store.list(list_message()) is None
        assert await store.changes(IndexChanges(1, KEY, b"", 0, 10)) is None
        await store.rows(rows_message([row("x", 5)], put=4))
        info = await store.info(INFO)
        assert info is not None
        assert (info.account, info.container) == ("AUTH_a", "c")
        assert (info.put_timestamp, info.created_us) == (at(4), 4)

    run(tmp_path, scenario)


def test_nothing_is_answered_or_seen_before_it_is_durable(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        log.paused = True
        future = store.rows(rows_message([row("y", 2)]))
        await asyncio.sleep(0.01)
        assert not future.done()
        assert await names(store) == ["x"]
        log.flush()
        await future
        assert await names(store) == ["x", "y"]

    run(tmp_path, scenario)


def test_a_record_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        log.paused = True
        future = store.rows(rows_message([row("y", 2)]))
        log.fail(RemoteError(Refusal.DEVICE_FULL))
        assert await refused(future) == Refusal.DEVICE_FULL
        log.paused = False
        assert await names(store) == ["x"]
        await store.rows(rows_message([row("z", 2)]))
        assert await names(store) == ["x", "z"]

    run(tmp_path, scenario)


def test_full_batches_and_old_rows_are_merged_without_a_read(tmp_path: Path) -> None:
    async def merged(store: IndexStore, count: int) -> None:
        for _attempt in range(500):
            taken = store.take_reports(9)
            store.put_back_reports(taken)
            if any(report.object_count == count for _, report in taken.values()):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{count} rows were not merged")

    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await asyncio.gather(*(store.rows(rows_message([row(f"n{i}", 2)])) for i in range(4)))
        await merged(store, 4)
        await store.rows(rows_message([row("one more", 2)]))
        await merged(store, 5)

    run(tmp_path, scenario, Tuning(merge_rows=4, merge_delay_s=0.05))


def test_too_many_waiting_rows_are_refused(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.create(create_message())
        log.paused = True
        futures = [store.rows(rows_message([row(f"n{i}", 2)])) for i in range(3)]
        assert await refused(lambda: store.rows(rows_message([row("x", 2)]))) == Refusal.BUSY
        log.flush()
        log.paused = False
        await asyncio.gather(*futures)
        assert await names(store) == ["n0", "n1", "n2"]
        await store.rows(rows_message([row("x", 2)]))

    run(tmp_path, scenario, Tuning(merge_delay_s=60.0, waiting_rows=3))


def test_messages_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.create(create_message())
        recorded = len(log.records)
        bad: list[Callable[[], Awaitable[Any]]] = [
            lambda: store.rows(rows_message([("x",)])),  # type: ignore[list-item]
            lambda: store.rows(rows_message([row("\ud800", 2)])),
            lambda: store.rows(IndexRows(DatabaseKind.ACCOUNT, KEY, "AUTH_a", "", at(1), [])),
            lambda: store.rows(IndexRows(7, b"n" * 16, "AUTH_a", "", at(1), [])),
            lambda: store.rows(rows_message([], key=b"short")),
            lambda: store.create(create_message(put=0)._replace(put_timestamp=ZERO)),
            lambda: store.create(create_message(metadata={"acl": "x"})),
            lambda: store.list(list_message(prefix="\ud800")),
            lambda: store.info(INFO._replace(key=b"")),
            lambda: store.thaw(IndexThaw(1, KEY, b"t", b"x")),  # type: ignore[arg-type]
        ]
        for message in bad:
            assert await refused(message) == Refusal.BAD_REQUEST
        assert len(log.records) == recorded

    run(tmp_path, scenario)


def test_a_database_that_cannot_be_written_answers_nothing_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> bool:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        assert await names(store) == ["x"]
        await store.rows(rows_message([row("y", 2)]))
        with monkeypatch.context() as patch:
            patch.setattr(Database, "merge", fail)
            for _attempt in range(2):
                assert await refused(store.list(list_message())) == Refusal.DEVICE_FULL
            assert await refused(lambda: store.rows(rows_message([row("z", 2)]))) == Refusal.DEVICE_FULL
            assert await refused(store.checkpoint()) == Refusal.DEVICE_FULL
        assert await names(store) == ["x", "y"]
        await store.rows(rows_message([row("z", 2)]))
        assert await names(store) == ["x", "y", "z"]

    run(tmp_path, scenario)


def test_a_read_that_nobody_waits_for_loses_no_rows(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        gate = threading.Event()
        store._thread.run(gate.wait)
        reading = asyncio.ensure_future(names(store))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        gate.set()
        assert await names(store) == ["x"]

    run(tmp_path, scenario)


def test_more_databases_than_states_and_handles_work(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        keys = [bytes([number]) * 16 for number in range(20)]
        for turn in range(2):
            for key in keys:
                await store.rows(rows_message([row(f"n{turn}", 2)], key=key))
            if turn == 0:
                await store.checkpoint()
        for key in keys:
            assert await names(store, key) == ["n0", "n1"]

    run(tmp_path, scenario, Tuning(merge_delay_s=60.0, states=4, handles=3))


def test_the_inventory_knows_what_is_pending(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        keys = [bytes([number]) * 16 for number in range(4)]
        for key in keys:
            await store.rows(rows_message([row("x", 2)], key=key))
        await store.checkpoint()
        await store.rows(rows_message([row("y", 2)], key=keys[2]))
        found = await store.inventory(DatabaseKind.CONTAINER, b"", None, 100)
        assert [key for key, _ in found] == keys
        for key, digest in found:
            info = await store.info(INFO._replace(key=key))
            assert info is not None
            assert info.digest == digest
        assert found[0][1] == found[1][1] != found[2][1]
        assert await store.inventory(DatabaseKind.CONTAINER, keys[1], keys[3], 1) == [found[1]]
        assert await store.inventory(DatabaseKind.ACCOUNT, b"", None, 100) == []

    run(tmp_path, scenario)
