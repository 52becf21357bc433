"""storage/indexes/store.py: how a container is frozen, and deleted."""

import asyncio
from pathlib import Path

import pytest

from cluster.clock import ZERO
from storage.indexes.store import IndexStore
from storage.messages import (
    Changes,
    DatabaseKind,
    IndexChanges,
    IndexMove,
    Refusal,
)
from storage.ranges.pointers import Pointer, new_range_id
from storage.ranges.state import Accepted
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
from tests.unit.storage.index_stores import (
    INFO,
    Pair,
    accepted,
    decided,
    deletion_of,
    freeze,
    names,
    refused,
    run,
    thaw,
)


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
