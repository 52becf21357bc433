"""Damage to databases: seen by every read, found by scrub, set aside, and made good from peers."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.wire import RemoteError
from storage.client import Replicas
from storage.housekeeping.heal_databases import HealDatabases
from storage.indexes import rows
from storage.indexes.area import DatabaseArea
from storage.indexes.errors import Damaged
from storage.indexes.store import IndexStore
from storage.log.interface import Log, position_of
from storage.messages import Changes, DatabaseKind, IndexChanges, IndexInfo, IndexList, Refusal, Row
from storage.quorum import Majority, both
from tests.unit.storage.index_fixtures import KEY, MemoryLog, at, create_message, row, rows_message


async def nobody(_device: int, _message: IndexChanges, _kind: DatabaseKind) -> Changes | None:
    return None


def opened(directory: Path, log: MemoryLog, pull: Any = nobody) -> IndexStore:
    directory.mkdir(exist_ok=True)
    store = IndexStore(directory, cast(Log, log), pull)
    store.recover()
    store.start()
    return store


def path_of(directory: Path) -> Path:
    (path,) = directory.rglob(f"databases/*/{KEY.hex()}.db")
    return path


def listing() -> IndexList:
    return IndexList(DatabaseKind.CONTAINER, KEY, "", "", 1000)


@pytest.mark.parametrize("bit", range(8))
def test_whatever_bit_of_a_packed_row_is_flipped_it_is_not_given_out(bit: int) -> None:
    packed = rows.pack(row("name", 7, size=123))
    page = rows.pack(row("before", 3)) + packed + rows.pack(row("later", 4))
    assert len(rows.unpack_all(page)) == 3
    start = len(rows.pack(row("before", 3)))
    for offset in range(start, start + len(packed)):
        damaged = bytearray(page)
        damaged[offset] ^= 1 << bit
        with pytest.raises(Damaged):
            rows.unpack_all(bytes(damaged))


def test_rows_of_version_1_have_no_checksum_and_are_read() -> None:
    sealed = [rows.pack(row("a", 1)), rows.pack(row("b", 2))]
    plain = [packed[:-5] for packed in sealed]
    assert rows.unpack_all(plain[0] + plain[1]) == rows.unpack_all(sealed[0] + plain[1])
    assert rows.unpack_all(plain[0] + sealed[1]) == rows.unpack_all(b"".join(sealed))


def edited(path: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


async def filled(directory: Path, log: MemoryLog, pull: Any = nobody) -> IndexStore:
    store = opened(directory, log, pull)
    await store.create(create_message())
    await store.rows(rows_message([row(f"name-{n:03}", n + 2, size=n) for n in range(300)]))
    return store


def spoiled(path: Path) -> None:
    """Flip a bit in the middle of a row."""
    data = bytearray(path.read_bytes())
    data[data.index(b"name-150") + 30] ^= 4
    path.write_bytes(data)


async def scrubbed(store: IndexStore) -> DatabaseArea:
    area = DatabaseArea(store, store.stored_bytes)
    position: str | None = ""
    while position is not None:
        position = (await area.step(position)).position
    return area


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_flipped_bit_in_a_listing_is_refused_and_the_database_set_aside(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        await (await filled(tmp_path, log)).close()
        spoiled(path_of(tmp_path))
        store = opened(tmp_path, log.crashed())
        for _ in range(2):  # the second is about a database that is not there any more
            with pytest.raises(RemoteError) as caught:
                await store.list(listing())
            assert caught.value.code == Refusal.CORRUPT
        assert dict(store.incomplete) == {KEY: DatabaseKind.CONTAINER}
        for refused in (store.info(IndexInfo(1, KEY, "", "")), store.changes(IndexChanges(1, KEY, b"", 0, 10))):
            with pytest.raises(RemoteError):
                await refused
        with pytest.raises(RemoteError):
            await store.rows(rows_message([row("more", 9999)]))
        assert await store.inventory(1, b"", None, 10) == []
        await store.close()
        again = opened(tmp_path, MemoryLog())
        assert dict(again.incomplete) == {KEY: DatabaseKind.CONTAINER}
        await again.close()

    run(main)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rows SET name = 'name-150x' WHERE name = 'name-150'",
        "UPDATE rows SET deleted = 1 WHERE name = 'name-150'",
        "UPDATE rows SET timestamp = zeroblob(16) WHERE name = 'name-150'",
        "DELETE FROM rows WHERE name = 'name-150'",
        "UPDATE info SET object_count = 7",
        "UPDATE info SET digest = zeroblob(16)",
        "UPDATE info SET key = zeroblob(16)",
        "DELETE FROM info",
    ],
)
def test_scrub_finds_what_does_not_agree_with_itself(tmp_path: Path, statement: str) -> None:
    async def main() -> None:
        log = MemoryLog()
        await (await filled(tmp_path, log)).close()
        store = opened(tmp_path, log.crashed())
        assert (await scrubbed(store)).found_count == 0
        await store.close()
        edited(path_of(tmp_path), statement)
        store = opened(tmp_path, MemoryLog())
        assert (await scrubbed(store)).found_count == 1
        assert KEY in store.incomplete
        await store.close()

    run(main)


class _Peer:
    def __init__(self, store: IndexStore) -> None:
        self.store = store
        self.up = True


def test_a_damaged_database_is_made_anew_from_all_whose_rows_it_may_have_promised(tmp_path: Path) -> None:
    async def main() -> None:
        peers: dict[int, _Peer] = {}

        async def pull(device_id: int, message: IndexChanges, _kind: DatabaseKind) -> Changes | None:
            return await peers[device_id].store.changes(message)

        log = MemoryLog()
        await (await filled(tmp_path / "0", log, pull)).close()
        for number in (1, 2):
            peers[number] = _Peer(await filled(tmp_path / str(number), MemoryLog()))
        await peers[2].store.rows(rows_message([row("only-there", 5000)]))
        spoiled(path_of(tmp_path / "0"))
        store = opened(tmp_path / "0", log.crashed(), pull)
        await scrubbed(store)
        assert KEY in store.incomplete
        peers[2].up = False

        def replicas(_kind: DatabaseKind, _key: bytes) -> Replicas:
            class Members:
                members = ((0, None), *peers.items())
                read_quorum = Majority(frozenset((0, 1, 2)), 2)

            return cast(Replicas, Members)

        task = HealDatabases(0, store, replicas)
        for _ in range(3):
            await task.step()
        assert KEY in store.incomplete  # a row may be on us and on the one that is away
        peers[2].up = True
        await task.step()
        assert not store.incomplete
        found = await store.list(listing())
        assert found is not None
        names = [Row(*item).name for item in found.items]
        assert names == [*(f"name-{n:03}" for n in range(300)), "only-there"]
        assert (await scrubbed(store)).found_count == 1
        assert store.damage_counts == (1, 1)
        assert list((tmp_path / "0" / "damaged").iterdir()) == []
        info = [await each.info(IndexInfo(1, KEY, "", "")) for each in (store, peers[2].store)]
        assert info[0].digest == info[1].digest  # type: ignore[union-attr]
        for each in (store, *(peer.store for peer in peers.values())):
            await each.close()

    run(main)


def test_while_rings_change_one_set_without_those_that_were_asked_is_enough_to_wait(tmp_path: Path) -> None:
    """What was acknowledged before the change is on a quorum of one set: on us, and on the one that is away."""

    async def main() -> None:
        peers: dict[int, _Peer] = {}

        async def pull(device_id: int, message: IndexChanges, _kind: DatabaseKind) -> Changes | None:
            return await peers[device_id].store.changes(message)

        log = MemoryLog()
        await (await filled(tmp_path / "0", log, pull)).close()
        for number in (1, 2, 3):
            peers[number] = _Peer(await filled(tmp_path / str(number), MemoryLog()))
        await peers[2].store.rows(rows_message([row("only-there", 5000)]))
        spoiled(path_of(tmp_path / "0"))
        store = opened(tmp_path / "0", log.crashed(), pull)
        await scrubbed(store)
        peers[2].up = False

        def replicas(_kind: DatabaseKind, _key: bytes) -> Replicas:
            class Members:
                members = ((0, None), *peers.items())
                writers = both(Majority.of((0, 1, 2)), Majority.of((0, 1, 3)))
                read_quorum = Majority.of((0, 1, 2))

            return cast(Replicas, Members)

        task = HealDatabases(0, store, replicas)
        await task.step()
        assert KEY in store.incomplete
        peers[2].up = True
        await task.step()
        assert not store.incomplete
        found = await store.list(listing())
        assert found is not None
        assert Row(*found.items[-1]).name == "only-there"
        for each in (store, *(peer.store for peer in peers.values())):
            await each.close()

    run(main)


def test_what_is_damaged_on_all_is_made_of_what_there_is(tmp_path: Path) -> None:
    async def main() -> None:
        async def pull(_device: int, _message: IndexChanges, _kind: DatabaseKind) -> Changes | None:
            raise RemoteError(Refusal.CORRUPT, "damaged here, too")

        log = MemoryLog()
        await (await filled(tmp_path, log, pull)).close()
        spoiled(path_of(tmp_path))
        store = opened(tmp_path, log.crashed(), pull)
        await scrubbed(store)

        def replicas(_kind: DatabaseKind, _key: bytes) -> Replicas:
            class Members:
                members = ((0, None), (1, _Peer(store)))
                read_quorum = Majority(frozenset((0, 1)), 2)

            return cast(Replicas, Members)

        await HealDatabases(0, store, replicas).step()
        assert not store.incomplete
        await store.close()

    run(main)


@pytest.mark.parametrize("what", ["garbage", "position", "key", "digest"])
def test_a_damaged_catalog_costs_no_database_and_nobody_is_answered_until_peers_were_asked(
    tmp_path: Path, what: str
) -> None:
    """A catalog that is believed deletes what it does not name."""

    async def main() -> None:
        log = MemoryLog()
        await (await filled(tmp_path, log)).close()
        catalog = tmp_path / "catalog.db"
        if what == "garbage":
            catalog.write_bytes(b"\x00" * 9000)
        elif what == "position":
            edited(catalog, "UPDATE journal SET position = zeroblob(12)")
        elif what == "key":
            edited(catalog, "UPDATE databases SET key = zeroblob(16)")
        else:
            edited(catalog, "UPDATE databases SET digest = zeroblob(20)")
        log.held = position_of(0, 0)
        store = opened(tmp_path, log)
        assert dict(store.incomplete) == {KEY: DatabaseKind.CONTAINER}
        with pytest.raises(RemoteError):
            await store.list(listing())

        def replicas(_kind: DatabaseKind, _key: bytes) -> Replicas:
            class Members:
                members = ((0, None), (1, _Peer(store)))
                read_quorum = Majority(frozenset((0, 1)), 2)

            return cast(Replicas, Members)

        await HealDatabases(0, store, replicas).step()
        found = await store.list(listing())
        assert found is not None
        assert len(found.items) == 300
        await store.close()

    run(main)


def test_with_a_damaged_catalog_nothing_of_long_ago_is_taken_from_the_log(tmp_path: Path) -> None:
    """What was deleted since may have been forgotten: storage.indexes.reclaim. Peers have what counts."""

    async def scenario() -> None:
        log = MemoryLog()
        store = opened(tmp_path, log)
        await store.create(create_message())
        await store.rows(rows_message([row("old", 5), row("gone", 6, deleted=True), row("new", 50)]))
        await store.checkpoint()
        await store.raise_floor(at(10))
        await store.close()
        path_of(tmp_path).unlink()
        edited(tmp_path / "catalog.db", "UPDATE journal SET position = zeroblob(12)")
        log.held = position_of(0, 0)
        again = opened(tmp_path, MemoryLog(log.records, log.end))
        found = await again._pending.query(KEY, lambda database: sorted(row.name for row in database.all_rows()))
        assert found == ["gone", "new"]
        assert dict(again.incomplete) == {KEY: DatabaseKind.CONTAINER}
        await again.close()

    asyncio.run(scenario())
