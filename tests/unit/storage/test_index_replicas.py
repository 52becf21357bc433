"""storage/indexes/store.py: what is pulled from another replica."""

import asyncio
from pathlib import Path

import pytest

from cluster.wire import PeerUnavailable
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.messages import (
    Changes,
    DatabaseKind,
    IndexChanges,
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
    Pair,
    accepted,
    decided,
    freeze,
    just_now,
    names,
    refused,
    run,
    with_pair,
)


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
