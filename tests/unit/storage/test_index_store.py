"""storage/indexes/store.py: the operations of a device, over a log in memory and real files."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import ZERO, Timestamp, pack, wall_us
from cluster.wire import PeerUnavailable, RemoteError
from storage.indexes.database import Database
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.messages import (
    Changes,
    DatabaseKind,
    IndexChanges,
    IndexFreeze,
    IndexInfo,
    IndexMove,
    IndexRows,
    IndexThaw,
    Info,
    Refusal,
    Row,
)
from storage.ranges.decision import Named
from storage.ranges.deletion import acceptance_of, deletion_at
from storage.ranges.pointers import Pointer, new_range_id
from storage.ranges.state import Accepted, accepted_of
from tests.loopback import until
from tests.unit.storage.index_fixtures import (
    KEY,
    MemoryLog,
    at,
    create_message,
    list_message,
    row,
    rows_message,
)

SLOW = Tuning(merge_delay_s=60.0)  # only reads and full batches merge
INFO = IndexInfo(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c")
ACCOUNT_KEY = b"a" * 16


async def no_peer(_device: int, _ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
    raise AssertionError("nobody was to be asked")


def run(
    tmp_path: Path,
    scenario: Callable[[IndexStore, MemoryLog], Awaitable[None]],
    tuning: Tuning = SLOW,
    pull: Callable[..., Any] = no_peer,
) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = IndexStore(tmp_path, log, pull, tuning)  # type: ignore[arg-type]
        store.recover()
        store.start()
        await scenario(store, log)
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


async def refused(awaitable: Awaitable[Any] | Callable[[], Any]) -> int:
    with pytest.raises(RemoteError) as raised:
        await (awaitable() if callable(awaitable) else awaitable)
    return raised.value.code


async def names(store: IndexStore, key: bytes = KEY) -> list[str]:
    listing = await store.list(list_message(key=key))
    assert listing is not None
    return [item[0] for item in listing.items]


# ── rows and reads ──────────────────────────────────────────────────────────────


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


# ── deletion ────────────────────────────────────────────────────────────────────


def freeze(token: bytes = b"t", ttl_s: float = 5.0) -> IndexFreeze:
    return IndexFreeze(DatabaseKind.CONTAINER, KEY, token, ttl_s)


ROOT = Named("AUTH_a", "c")


def accepted(timestamp: Timestamp, token: bytes = b"t") -> IndexMove:
    return acceptance_of(KEY, ROOT, at(1), timestamp, token)


def decided(timestamp: Timestamp) -> IndexMove:
    return deletion_at(KEY, ROOT, at(1), timestamp)


def thaw(token: bytes = b"t", abandoned: Timestamp | None = None) -> IndexThaw:
    return IndexThaw(DatabaseKind.CONTAINER, KEY, token, abandoned)


def deletion_of(info: Info | None) -> Accepted | None:
    """Return what a store has accepted."""
    assert info is not None
    return accepted_of(info.metadata)


def test_a_container_is_frozen_deleted_and_brought_back_empty(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        await store.rows(rows_message([row("x", 3, deleted=True)]))
        await store.freeze(freeze())
        assert await refused(lambda: store.rows(rows_message([row("y", 4)]))) == Refusal.FROZEN
        await store.move(accepted(at(5)))
        assert await refused(lambda: store.rows(rows_message([row("y", 6)]))) == Refusal.SPLIT
        await store.move(decided(at(5)))
        await store.move(decided(at(5)))
        assert await refused(lambda: store.rows(rows_message([row("y", 6)]))) == Refusal.NOT_FOUND
        info = await store.info(INFO)
        assert info is not None
        assert (info.put_timestamp, info.delete_timestamp) == (at(1), at(5))
        listing = await store.list(list_message())
        assert listing is not None
        assert (listing.items, listing.truncated) == ([], False)
        assert await refused(store.freeze(freeze())) == Refusal.NOT_FOUND
        assert await refused(store.move(accepted(at(6)))) == Refusal.NOT_FOUND

        await store.create(create_message(put=7))
        assert await refused(lambda: store.rows(rows_message([row("old", 4)], put=7))) == Refusal.NOT_FOUND
        await store.rows(rows_message([row("new", 8)], put=7))
        assert await names(store) == ["new"]

    run(tmp_path, scenario)


def test_a_container_with_rows_is_not_frozen(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.create(create_message())
        log.paused = True
        future = store.rows(rows_message([row("on its way", 2)]))
        freezing = asyncio.ensure_future(store.freeze(freeze()))
        await asyncio.sleep(0.01)
        assert not freezing.done()
        log.flush()
        log.paused = False
        assert await refused(freezing) == Refusal.NOT_EMPTY
        await future
        await store.rows(rows_message([row("x", 3)]))

    run(tmp_path, scenario)


@pytest.mark.parametrize("how", ["cancelled", "thawed", "frozen again"])
@pytest.mark.parametrize("what", ["deleted", "moved"])
def test_no_row_comes_into_the_log_behind_what_is_decided_under_a_freeze(
    tmp_path: Path, what: str, how: str
) -> None:
    """Its proxy dies, or gives up, while the decision is on its way: a row would be durable, and then be gone."""

    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.create(create_message())
        await store.freeze(freeze()._replace(empty=what == "deleted"))
        log.paused = True
        move = IndexMove(1, KEY, "AUTH_a", "c", at(1), at(5), [Pointer("", new_range_id(at(4)))], {}, ZERO, b"t")
        deciding = asyncio.ensure_future(store.move(accepted(at(5)) if what == "deleted" else move))
        await until(lambda: bool(log._queue))
        if how == "cancelled":
            deciding.cancel()
            await asyncio.wait([deciding])
        elif how == "thawed":
            await store.thaw(thaw())
        else:
            assert await refused(store.freeze(freeze(ttl_s=0.0)._replace(empty=False))) == Refusal.FROZEN
        assert await refused(lambda: store.rows(rows_message([row("x", 6)]))) == Refusal.FROZEN
        log.paused = False
        log.flush()
        await asyncio.wait([deciding])
        assert await refused(lambda: store.rows(rows_message([row("x", 6)]))) == Refusal.SPLIT

    run(tmp_path, scenario)


def test_nobody_works_on_a_state_that_was_forgotten_as_soon_as_it_was_read(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        states = store._states
        asking = asyncio.ensure_future(states.of(KEY))
        await asyncio.sleep(0)
        states._loading[KEY].add_done_callback(lambda _task: states.forget(KEY))
        assert await asking is states.known[KEY]

    run(tmp_path, scenario)


def test_a_freeze_waits_for_rows_whose_sender_has_gone(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, log: MemoryLog) -> None:
        await store.create(create_message())
        await store.info(INFO)
        assert store._states.forget(KEY)
        log.paused = True
        sending = store.rows(rows_message([row("on its way", 2)]))
        await until(lambda: bool(log._queue))
        sending.cancel()
        await asyncio.wait([sending])
        freezing = asyncio.ensure_future(store.freeze(freeze()))
        await asyncio.sleep(0.01)
        assert not freezing.done()
        log.paused = False
        log.flush()
        assert await refused(freezing) == Refusal.NOT_EMPTY

    run(tmp_path, scenario)


def test_a_freeze_ends_by_itself_or_when_told(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.create(create_message())
        await store.freeze(freeze())
        assert await refused(store.freeze(freeze(b"other"))) == Refusal.FROZEN
        assert await refused(store.move(accepted(at(5), b"other"))) == Refusal.NOT_HELD
        await store.thaw(thaw(b"other"))
        assert await refused(lambda: store.rows(rows_message([row("x", 2)]))) == Refusal.FROZEN
        await store.thaw(thaw())
        await store.rows(rows_message([row("x", 2)]))
        await store.rows(rows_message([row("x", 3, deleted=True)]))

        await store.freeze(freeze(ttl_s=0.01))
        await asyncio.sleep(0.02)
        assert await refused(store.move(accepted(at(5)))) == Refusal.NOT_HELD
        await store.rows(rows_message([row("x", 4)]))

    run(tmp_path, scenario)


def test_a_deletion_looks_for_rows_again(tmp_path: Path) -> None:
    """Replication may bring rows into a frozen container."""
    peer: list[IndexStore] = []

    async def pull(_device: int, ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
        return await peer[0].changes(ask)

    async def main() -> None:
        async with Pair(tmp_path, pull) as (store, other):
            peer.append(other)
            await store.create(create_message())
            await other.rows(rows_message([row("missed", 2)]))
            await store.freeze(freeze())
            await store.synchronize(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c", 3)
            assert await refused(store.move(accepted(at(5)))) == Refusal.NOT_EMPTY
            await store.rows(rows_message([row("x", 3)]))
            assert await names(store) == ["missed", "x"]

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_deletion_that_was_accepted_and_abandoned_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.create(create_message())
        before = await store.info(INFO)
        await store.freeze(freeze())
        await store.move(accepted(at(5)))
        assert deletion_of(await store.info(INFO)) == Accepted(at(5), ZERO, at(1), [])
        assert await refused(store.thaw(thaw(abandoned=at(6)))) == Refusal.NOT_HELD
        await store.freeze(freeze(b"settling")._replace(empty=False))
        await store.thaw(thaw(b"settling", at(6)))
        assert deletion_of(await store.info(INFO)) is None
        await store.rows(rows_message([row("x", 4)]))
        await store.rows(rows_message([row("x", 5, deleted=True)]))

        await store.freeze(freeze())
        assert await refused(store.move(accepted(at(6)))) == Refusal.SUPERSEDED, "it may come late"
        await store.move(accepted(at(7)))
        assert deletion_of(await store.info(INFO)) == Accepted(at(7), ZERO, at(1), [])
        after = await store.info(INFO)
        assert before is not None
        assert after is not None
        assert (after.put_timestamp, after.delete_timestamp) == (before.put_timestamp, ZERO)

    run(tmp_path, scenario)


def test_a_deletion_that_nobody_finished_is_begun_again_upon_itself(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.create(create_message())
        await store.freeze(freeze())
        await store.move(accepted(at(5)))
        frozen = await store.freeze(freeze(b"other"))
        assert frozen.accepted == Accepted(at(5), ZERO, at(1), [])
        assert await refused(store.move(accepted(at(4), b"other"))) == Refusal.NOT_HELD
        await store.move(accepted(at(6), b"other"))
        assert deletion_of(await store.info(INFO)) == Accepted(at(6), ZERO, at(1), [])

    run(tmp_path, scenario)


# ── replicas ────────────────────────────────────────────────────────────────────


class Pair:
    """Two stores; the first one pulls with `pull`."""

    def __init__(self, tmp_path: Path, pull: Callable[..., Any], tuning: Tuning = SLOW) -> None:
        self.logs = (MemoryLog(), MemoryLog())
        self.stores = (
            IndexStore(tmp_path / "0", self.logs[0], pull, tuning),  # type: ignore[arg-type]
            IndexStore(tmp_path / "1", self.logs[1], no_peer, tuning),  # type: ignore[arg-type]
        )

    async def __aenter__(self) -> tuple[IndexStore, IndexStore]:
        for store in self.stores:
            store.recover()
            store.start()
        return self.stores

    async def __aexit__(self, *_error: object) -> None:
        for store in self.stores:
            await store.close()


def with_pair(
    tmp_path: Path,
    scenario: Callable[[IndexStore, IndexStore, list[IndexChanges]], Coroutine[Any, Any, None]],
    tuning: Tuning = SLOW,
) -> None:
    async def main() -> None:
        asked: list[IndexChanges] = []

        async def pull(device: int, ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
            assert device == 3
            asked.append(ask)
            return await pair.stores[1].changes(ask)

        pair = Pair(tmp_path, pull, tuning)
        async with pair as (store, other):
            await scenario(store, other, asked)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_listing_first_pulls_what_the_peer_has(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, other: IndexStore, asked: list[IndexChanges]) -> None:
        await other.create(create_message(metadata={"acl": ("x", at(1))}))
        await asyncio.gather(*(other.rows(rows_message([row(f"n{i}", 2)])) for i in range(7)))
        await store.rows(rows_message([row("n3", 3, deleted=True), row("mine", 2)]))
        listing = await store.list(list_message(sync_from=3))
        assert listing is not None
        assert [item[0] for item in listing.items] == ["mine", "n0", "n1", "n2", "n4", "n5", "n6"]
        assert listing.info.metadata == {"acl": ("x", at(1))}
        assert len(asked) == 3

        await other.rows(rows_message([row("later", 4)]))
        info = await store.info(INFO._replace(sync_from=3))
        assert info is not None
        assert info.object_count == 8
        assert len(asked) == 4
        assert asked[-1].sequence == 7

    with_pair(tmp_path, scenario, Tuning(merge_delay_s=60.0, sync_rows=3))


def just_now(number: int) -> Timestamp:
    return pack(wall_us() + number, 0, 1)


@pytest.mark.parametrize("lacks", [False, True])
def test_what_is_older_and_equal_is_not_pulled(tmp_path: Path, lacks: bool) -> None:
    """But if anything of it is lacking, all is looked at."""
    old = [row(f"n{number:02}", 2) for number in range(60)]
    new = [row(f"new{number}", 2)._replace(timestamp=just_now(number)) for number in range(6)]

    async def scenario(store: IndexStore, other: IndexStore, asked: list[IndexChanges]) -> None:
        for one in (store, other):
            await one.rows(rows_message([item for item in old if not (lacks and one is store and item.name == "n30")]))
        await other.rows(rows_message(new))
        listing = await store.list(list_message(sync_from=3))
        assert listing is not None
        assert [item[0] for item in listing.items] == [item.name for item in [*old, *new]]
        assert len(asked) == (22 if lacks else 3)  # of three rows each

    with_pair(tmp_path, scenario, Tuning(merge_delay_s=60.0, sync_rows=3))


def test_rows_that_come_in_too_fast_to_be_copied_are_refused_for_a_while(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.create(create_message())
        await store.freeze(freeze(ttl_s=2.0)._replace(empty=False, rows_per_s=1))
        await store.rows(rows_message([row("a", 2), row("b", 2)]))
        assert await refused(lambda: store.rows(rows_message([row("c", 2)]))) == Refusal.BUSY
        await store.rows(rows_message([row("moved", 2)])._replace(moved=True))
        await asyncio.sleep(2.1)
        await store.rows(rows_message([row("d", 2)]))
        assert await names(store) == ["a", "b", "d", "moved"]

    run(tmp_path, scenario)


def test_what_was_pulled_is_durable_before_it_is_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async def pull(_device: int, ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
            return await pair.stores[1].changes(ask)

        pair = Pair(tmp_path, pull)
        async with pair as (store, other):
            await other.rows(rows_message([row("x", 2)]))
            pair.logs[0].paused = True
            reading = asyncio.ensure_future(store.list(list_message(sync_from=3)))
            await asyncio.sleep(0.1)
            assert not reading.done()
            pair.logs[0].paused = False
            pair.logs[0].flush()
            listing = await reading
            assert listing is not None
            assert [item[0] for item in listing.items] == ["x"]

    asyncio.run(asyncio.wait_for(main(), 20))


def test_replicas_become_equal_also_in_deletions(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, other: IndexStore, _asked: list[IndexChanges]) -> None:
        await store.rows(rows_message([row("only here", 2)]))
        await other.create(create_message())
        await other.freeze(freeze())
        await other.move(accepted(at(3)))
        await other.move(decided(at(3)))
        await store.synchronize(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c", 3)
        one, two = await store.info(INFO), await other.info(INFO)
        assert one == two
        assert one is not None
        assert one.delete_timestamp == at(3)

    with_pair(tmp_path, scenario)


def test_a_database_that_the_peer_lacks_too_is_not_made_up(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _other: IndexStore, _asked: list[IndexChanges]) -> None:
        await store.synchronize(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c", 3)
        assert await store.info(INFO._replace(sync_from=3)) is None
        assert await store.inventory(DatabaseKind.CONTAINER, b"", None, 10) == []

    with_pair(tmp_path, scenario)


def test_a_peer_that_cannot_be_asked_makes_the_read_fail(tmp_path: Path) -> None:
    async def pull(_device: int, _ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
        raise PeerUnavailable("down")

    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.create(create_message())
        assert await refused(store.list(list_message(sync_from=3))) == Refusal.BUSY
        assert await names(store) == []

    run(tmp_path, scenario, pull=pull)


# ── accounts ────────────────────────────────────────────────────────────────────


def test_containers_report_to_their_account(tmp_path: Path) -> None:
    async def account(store: IndexStore) -> Info:
        info = await store.info(IndexInfo(DatabaseKind.ACCOUNT, ACCOUNT_KEY, "AUTH_a", ""))
        assert info is not None
        return info

    async def deliver(store: IndexStore) -> int:
        reports = store.take_reports(10)
        for name, report in reports.values():
            await store.rows(IndexRows(DatabaseKind.ACCOUNT, ACCOUNT_KEY, name, "", at(1), [report]))
        return len(reports)

    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 4, 10), row("y", 3, 5)], put=2))
        await names(store)
        taken = store.take_reports(10)
        report = Row("c", at(2), False, 15, modified_us=2, object_count=2, stats_timestamp=at(4))
        assert list(taken.values()) == [("AUTH_a", report)]
        assert store.take_reports(10) == {}
        store.put_back_reports(taken)

        assert await deliver(store) == 1
        assert (await account(store)).container_count == 0, "a report does not create a container"
        exists = Row("c", at(2), False, 0, modified_us=2)
        await store.rows(IndexRows(DatabaseKind.ACCOUNT, ACCOUNT_KEY, "AUTH_a", "", at(1), [exists]))
        info = await account(store)
        assert (info.container_count, info.object_count, info.bytes_used) == (1, 2, 15)

        await store.rows(rows_message([row("x", 5, deleted=True)], put=2))
        await names(store)
        assert await deliver(store) == 1
        info = await account(store)
        assert (info.container_count, info.object_count, info.bytes_used) == (1, 1, 5)

        gone = Row("c", at(9), True, 0)
        await store.rows(IndexRows(DatabaseKind.ACCOUNT, ACCOUNT_KEY, "AUTH_a", "", at(1), [gone]))
        await store.rows(rows_message([row("z", 10)], put=2))
        await names(store)
        assert await deliver(store) == 1
        info = await account(store)
        assert (info.container_count, info.object_count, info.bytes_used) == (0, 0, 0)

    run(tmp_path, scenario)


def test_a_put_back_report_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    async def scenario(store: IndexStore, _log: MemoryLog) -> None:
        await store.rows(rows_message([row("x", 2)]))
        await names(store)
        old = store.take_reports(1)
        await store.rows(rows_message([row("y", 2)]))
        await names(store)
        store.put_back_reports(old)
        ((_, report),) = store.take_reports(10).values()
        assert report.object_count == 2

    run(tmp_path, scenario)
