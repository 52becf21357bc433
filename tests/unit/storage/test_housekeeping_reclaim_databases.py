"""storage.housekeeping.reclaim_databases: rows and databases deleted long ago go everywhere, and never come back."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from cluster.clock import ZERO, Timestamp, pack, wall_us
from cluster.wire import PeerUnavailable, RemoteError
from proxy.objects import errors
from proxy.objects.model import CommonPrefix, ListingQuery, ObjectName
from proxy.objects.service import ObjectService
from storage.client import Placement
from storage.housekeeping import replicate, rows, synchronize
from storage.housekeeping.reclaim_databases import RETRY_S, ReclaimDatabases
from storage.indexes import digest
from storage.indexes import store as index_store
from storage.indexes.database import Database
from storage.messages import (
    DatabaseKind,
    Holding,
    IndexCreate,
    IndexInfo,
    IndexMove,
    IndexReclaim,
    IndexRows,
    Operation,
    ReclaimedDatabase,
    ReclaimStep,
    Refusal,
    Row,
)
from storage.ranges import moving
from storage.ranges.pointers import RANGES
from storage.rings.document import Stage
from tests.loopback import LoopbackCluster, LoopbackDevice, Loss, in_cluster, names_in, put, rings_of
from tests.splitting import Splitting

DAY_S = 86_400.0
AGE_S = 7 * DAY_S
ACCOUNT = "AUTH_a"
CONTAINER = DatabaseKind.CONTAINER


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let housekeeping leave nothing to others."""
    monkeypatch.setattr(replicate, "GRACE_S", 0.0)
    monkeypatch.setattr(synchronize, "GRACE_S", 0.0)


def named(text: str) -> ObjectName:
    return ObjectName(ACCOUNT, "c", text)


def key_of(cluster: LoopbackCluster) -> bytes:
    return cluster.key(ACCOUNT, "c")


def holders_of(cluster: LoopbackCluster) -> list[LoopbackDevice]:
    return cluster.holders(key_of(cluster))


async def pass_of(task: ReclaimDatabases) -> None:
    """Let a task look at all that is due once."""
    for _ in range(50):
        pause_s = await task.step()
        if pause_s == RETRY_S or task._cursor == type(task._cursor)():
            return


async def give_up(cluster: LoopbackCluster, age_s: float = AGE_S) -> tuple[int, int]:
    """Let every device give up what it leads, once; return how many rows and databases went."""
    tasks = [device.reclaim_databases(age_s) for device in cluster.devices if device.running]
    for task in tasks:
        await pass_of(task)
    return sum(task.reclaimed_rows for task in tasks), sum(task.reclaimed_databases for task in tasks)


async def tombstones(device: LoopbackDevice, key: bytes) -> list[str]:
    """Return the names of rows that are deleted, as a device remembers them. What is left of rows elsewhere is none."""

    def names(database: Database) -> list[str]:
        there = [] if database.header.moved is not None else database.all_rows()
        return sorted(row.name for row in there if row.deleted)

    return await device.indexes._query(key, names) or []


async def all_tombstones(cluster: LoopbackCluster) -> int:
    """Return how many there are in containers, in ranges and in accounts, on all devices."""
    count = 0
    for device in cluster.devices:
        for kind in DatabaseKind:
            for key, _digest in await device.indexes.inventory(kind, b"", None, 1000):
                count += len(await tombstones(device, key))
    return count


async def databases(cluster: LoopbackCluster) -> int:
    """Return how many containers' databases there are on all devices."""
    found = [await device.indexes.inventory(CONTAINER, b"", None, 1000) for device in cluster.devices]
    return sum(map(len, found))


async def a_container(cluster: LoopbackCluster, *texts: str) -> ObjectService:
    """Return a service with a container from which objects were deleted a month ago."""
    service = cluster.proxy(cluster.time_us).service
    await service.create_container(ACCOUNT, "c", {})
    for text in texts:
        await put(service, named(text), b"data")
    for text in texts:
        await service.delete_object(named(text))
    await cluster.quiet()
    return service


async def synchronize_all(cluster: LoopbackCluster) -> None:
    for device in cluster.devices:
        for kind in DatabaseKind:
            await device.synchronize(kind).step()


async def send(cluster: LoopbackCluster, device: LoopbackDevice, operation: Operation, message: Any) -> Any:
    """Let a proxy send a message."""
    peers = cluster.devices[0].peers
    return (await peers[device.id].call(operation, message, tag=cluster.rings.version)).metadata


async def refusal_of(cluster: LoopbackCluster, device: LoopbackDevice, operation: Operation, message: Any) -> int:
    """Return with which code a message is refused."""
    with pytest.raises(RemoteError) as refused:
        await send(cluster, device, operation, message)
    return refused.value.code


def rows_message(cluster: LoopbackCluster, put_timestamp: Timestamp, *rows: Row, moved: bool = False) -> IndexRows:
    return IndexRows(CONTAINER, key_of(cluster), ACCOUNT, "c", put_timestamp, list(rows), moved)


def a_row(text: str, timestamp: Timestamp, deleted: bool = False) -> Row:
    return Row(text, timestamp, deleted, 4, "etag", "text/plain", 1)


def now() -> Timestamp:
    return pack(wall_us(), 0, 1)


# rows


@in_cluster
async def test_old_tombstones_go_everywhere_and_young_ones_stay(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster, *"abcdefgh")
    await put(service, named("kept"), b"kept")
    await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster, 31 * DAY_S) == (0, 0)
    assert await all_tombstones(cluster) == 3 * 8
    assert await give_up(cluster) == (8, 0)
    assert await all_tombstones(cluster) == 0
    assert await names_in(service, ACCOUNT, "c") == ["kept"]
    digests = {(await device.indexes.info(info_message(cluster))).digest for device in holders_of(cluster)}  # type: ignore[union-attr]
    assert len(digests) == 1
    await put(service, named("a"), b"again")
    assert await names_in(service, ACCOUNT, "c") == ["a", "kept"]
    assert await give_up(cluster) == (0, 0)


def info_message(cluster: LoopbackCluster) -> IndexInfo:
    return IndexInfo(CONTAINER, key_of(cluster), ACCOUNT, "c")


@in_cluster
async def test_what_went_is_gone_after_a_crash_too_and_what_stays_adds_up(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster, *"abc")
    await put(service, named("kept"), b"kept")
    await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster) == (3, 0)
    for device in cluster.devices:
        await device.crash()
        device.start()
    assert await all_tombstones(cluster) == 0
    for device in holders_of(cluster):
        counts = await device.indexes._query(key_of(cluster), lambda database: _counted(database))
        assert counts is not None
        assert counts[0] == counts[1]


def _counted(database: Any) -> tuple[Any, Any]:
    """Return the digest that the header has of all rows, and that which they have."""
    total = 0
    for row in database.all_rows():
        total = digest.add(total, row)
    return database.header.rows_digest, total


@in_cluster
async def test_nothing_goes_while_a_device_is_away_or_is_rebuilt_or_rings_change(cluster: LoopbackCluster) -> None:
    """Also one that is no primary: it may have the database."""
    await a_container(cluster, "a")
    cluster.wall_offset_s = 30 * DAY_S
    leader = holders_of(cluster)[0]
    for device in cluster.devices:
        with cluster.without(device):
            task = leader.reclaim_databases(AGE_S)
            assert await task.step() == RETRY_S
            assert "down" in task.waiting
    cluster.devices[2].service.votes.restrict()
    assert await give_up(cluster) == (0, 0)
    cluster.devices[2].service.votes.allow_all()
    cluster.publish(rings_of(2, Stage.JOINING, 1, cluster.ring, cluster.ring))
    assert await give_up(cluster) == (0, 0)
    assert await all_tombstones(cluster) == 3
    cluster.publish(rings_of(3, Stage.STABLE, 3, cluster.ring))
    assert await give_up(cluster) == (1, 0)


@in_cluster
async def test_a_replica_that_slept_through_the_deletion_keeps_the_tombstone_until_it_has_it(
    cluster: LoopbackCluster,
) -> None:
    service = await a_container(cluster)
    await put(service, named("a"), b"old")
    await cluster.quiet()
    with cluster.without(holders_of(cluster)[1]):
        await service.delete_object(named("a"))
        await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster) == (0, 0)
    await synchronize_all(cluster)
    assert await give_up(cluster) == (1, 0)
    await synchronize_all(cluster)
    assert await names_in(service, ACCOUNT, "c") == []


@in_cluster
async def test_a_database_on_a_device_that_is_no_primary_keeps_it(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster)
    await put(service, named("a"), b"old")
    await cluster.quiet()
    (other,) = [device for device in cluster.devices if device not in holders_of(cluster)]
    await other.indexes.synchronize(CONTAINER, key_of(cluster), ACCOUNT, "c", holders_of(cluster)[0].id)
    await service.delete_object(named("a"))
    await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster) == (0, 0)
    await other.indexes.synchronize(CONTAINER, key_of(cluster), ACCOUNT, "c", holders_of(cluster)[0].id)
    assert await give_up(cluster) == (1, 0)
    assert await all_tombstones(cluster) == 0


@in_cluster
async def test_a_late_row_does_not_come_back_wherever_it_comes_from(cluster: LoopbackCluster) -> None:
    """Late messages of proxies, of housekeeping, of movers: none begins a name below the floor."""
    service = await a_container(cluster)
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    old = now()
    await put(service, named("a"), b"data")
    await service.delete_object(named("a"))
    await put(service, named("b"), b"data")
    await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster) == (1, 0)
    for device in holders_of(cluster):
        late = rows_message(cluster, made, a_row("a", old))
        assert await refusal_of(cluster, device, Operation.INDEX_ROWS, late) == Refusal.PROMISED
        await send(cluster, device, Operation.INDEX_ROWS, rows_message(cluster, made, a_row("b", old)))
        await send(cluster, device, Operation.INDEX_ROWS, rows_message(cluster, made, a_row("z", old, deleted=True)))
    assert await names_in(service, ACCOUNT, "c") == ["b"]
    cluster.wall_offset_s = 60 * DAY_S
    assert (await give_up(cluster))[0] == 1
    assert await all_tombstones(cluster) == 0


@in_cluster
async def test_a_row_that_only_repeats_what_is_known_is_not_recorded(cluster: LoopbackCluster) -> None:
    """The log would bring it back, if it were replayed after the tombstone has gone."""
    service = await a_container(cluster)
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    old = now()
    await put(service, named("a"), b"data")
    await service.delete_object(named("a"))
    await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    _leader, second, _third = holders_of(cluster)
    # asked once, and no more: the floors are raised
    message = IndexReclaim(pack(wall_us(), 0, 0), (item_of(cluster, "a"),), ReclaimStep.LOOK)
    assert await send(cluster, second, Operation.INDEX_RECLAIM, message) == (b"\x01",)
    await second.indexes.checkpoint()
    await send(cluster, second, Operation.INDEX_ROWS, rows_message(cluster, made, a_row("a", old)))
    await second.indexes._run(second.indexes._shelf.forget_tombstones, key_of(cluster), ["a"], message.floor)
    await second.crash()
    second.start()
    assert await second.indexes._query(key_of(cluster), lambda database: list(database.all_rows())) == []


def item_of(cluster: LoopbackCluster, *texts: str) -> ReclaimedDatabase:
    key = key_of(cluster)
    return ReclaimedDatabase(CONTAINER, key, ACCOUNT, "c", key, texts)


def the_nth(wanted: Operation, number: int) -> Callable[[int], Loss | None]:
    seen = [0]

    def loss(operation: int) -> Loss | None:
        seen[0] += operation == wanted
        return Loss.REQUEST if operation == wanted and seen[0] == number else None

    return loss


@in_cluster
async def test_a_leader_that_stops_in_the_middle_leaves_what_is_given_up_later(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster, "a")
    cluster.wall_offset_s = 30 * DAY_S
    leader, second, _third = holders_of(cluster)
    leader.peers[second.id].faults.loss = the_nth(Operation.INDEX_RECLAIM, 3)
    task = leader.reclaim_databases(AGE_S)
    assert await task.step() == RETRY_S
    assert [len(await tombstones(device, key_of(cluster))) for device in holders_of(cluster)] == [1, 1, 0]
    assert await names_in(service, ACCOUNT, "c") == []
    assert await give_up(cluster) == (1, 0)
    assert await all_tombstones(cluster) == 0


@in_cluster
async def test_a_primary_behind_the_first_sees_to_what_is_left_with_it(cluster: LoopbackCluster) -> None:
    await a_container(cluster, "a")
    cluster.wall_offset_s = 30 * DAY_S
    leader = holders_of(cluster)[0]
    await leader.indexes.checkpoint()
    floor = pack(cluster.time_us(), 0, 0)
    await leader.indexes._run(leader.indexes._shelf.forget_tombstones, key_of(cluster), ["a"], floor)
    assert await give_up(cluster, 29 * DAY_S) == (0, 0)
    assert await give_up(cluster) == (1, 0)
    assert await all_tombstones(cluster) == 0


@in_cluster
async def test_what_is_being_pulled_is_waited_for(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster)
    await put(service, named("a"), b"old")
    await cluster.quiet()
    stale, taker = holders_of(cluster)[1:]
    with cluster.without(stale):
        await service.delete_object(named("a"))
        await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    key = key_of(cluster)
    await taker.indexes.checkpoint()
    await taker.indexes._run(taker.indexes._shelf.forget_tombstones, key, ["a"], pack(cluster.time_us(), 0, 0))
    taker.peers[stale.id].faults.delay_s = 0.1
    pulling = asyncio.ensure_future(taker.indexes.synchronize(CONTAINER, key, ACCOUNT, "c", stale.id))
    await asyncio.sleep(0.02)
    message = IndexReclaim(pack(wall_us(), 0, 0), (item_of(cluster, "a"),), ReclaimStep.LOOK)
    assert await send(cluster, taker, Operation.INDEX_RECLAIM, message) == (b"\x02",), "what came is seen"
    await pulling


@in_cluster
async def test_what_is_forgotten_is_not_needed_from_the_log(cluster: LoopbackCluster) -> None:
    """A row that came too late was recorded behind its tombstone, before there was a floor."""
    service = await a_container(cluster)
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    old = now()
    await put(service, named("a"), b"data")
    await service.delete_object(named("a"))
    await cluster.quiet()
    second = holders_of(cluster)[1]
    await second.indexes.checkpoint()
    await send(cluster, second, Operation.INDEX_ROWS, rows_message(cluster, made, a_row("a", old)))
    floor = pack(wall_us(), 0, 0)
    cluster.wall_offset_s = 30 * DAY_S
    for step in (ReclaimStep.LOOK, ReclaimStep.LOOK, ReclaimStep.FORGET):
        await send(cluster, second, Operation.INDEX_RECLAIM, IndexReclaim(floor, (item_of(cluster, "a"),), step))
    await second.crash()
    second.start()
    assert await second.indexes._query(key_of(cluster), lambda database: list(database.all_rows())) == []


@in_cluster
async def test_what_was_copied_while_they_were_asked_is_noticed(cluster: LoopbackCluster) -> None:
    """From a replica that had not been asked yet, to one that had: so everybody is asked twice."""
    service = await a_container(cluster)
    await put(service, named("a"), b"old")
    await cluster.quiet()
    leader, taker, stale = holders_of(cluster)
    with cluster.without(stale):
        await service.delete_object(named("a"))
        await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    key = key_of(cluster)
    await taker.indexes.checkpoint()
    await taker.indexes._run(taker.indexes._shelf.forget_tombstones, key, ["a"], pack(cluster.time_us(), 0, 0))
    leader.peers[stale.id].faults.delay_s = 0.2
    task = leader.reclaim_databases(AGE_S)
    giving_up = asyncio.ensure_future(task.step())
    await asyncio.sleep(0.1)
    await taker.indexes.synchronize(CONTAINER, key, ACCOUNT, "c", stale.id)
    await stale.indexes.synchronize(CONTAINER, key, ACCOUNT, "c", leader.id)
    await giving_up
    assert (task.reclaimed_rows, task._kept_in_pass + task.kept_count) == (0, 1)
    await synchronize_all(cluster)
    assert await names_in(service, ACCOUNT, "c") == []


@in_cluster
async def test_what_is_being_decided_keeps_everything(cluster: LoopbackCluster) -> None:
    """A deletion or a split: frozen, then accepted; also by the database whose rows would move here."""
    service = await a_container(cluster, "a")
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    second, key, token, range_id = holders_of(cluster)[1], key_of(cluster), b"t" * 16, now().hex()
    cluster.wall_offset_s = 30 * DAY_S
    range_names = RANGES, f"{range_id}/{ACCOUNT}/c"
    of_range = ReclaimedDatabase(CONTAINER, cluster.key(*range_names), *range_names, key, ("a",))
    look = IndexReclaim(pack(wall_us(), 0, 0), (item_of(cluster, "a"), of_range), ReclaimStep.LOOK)

    async def held() -> bytes:
        return b"".join(await send(cluster, second, Operation.INDEX_RECLAIM, look))

    assert await held() == b"\x01\x00"
    await send(cluster, second, Operation.INDEX_FREEZE, (CONTAINER, key, token, 5.0, False))
    assert await held() == b"\x02\x00"
    pointers = [("", range_id)]
    accept = IndexMove(CONTAINER, key, ACCOUNT, "c", made, now(), pointers, {}, ZERO, token)
    await send(cluster, second, Operation.INDEX_MOVE, accept)
    assert await held() == b"\x02\x02"
    await second.indexes.checkpoint()
    await second.crash()
    second.start()
    assert await held() == b"\x02\x02"


@in_cluster
async def test_a_creation_of_long_ago_that_is_being_looked_into_keeps_everything(cluster: LoopbackCluster) -> None:
    second, asked, answer = holders_of(cluster)[1], asyncio.Event(), asyncio.Event()
    made = now()
    cluster.wall_offset_s = 30 * DAY_S
    look = IndexReclaim(pack(wall_us(), 0, 0), (item_of(cluster),), ReclaimStep.LOOK)
    assert await send(cluster, second, Operation.INDEX_RECLAIM, look) == (b"\x00",)

    async def is_elsewhere(_key: bytes, _account: str, _container: str) -> bool:
        asked.set()
        await answer.wait()
        return True

    second.indexes.is_elsewhere = is_elsewhere
    create = IndexCreate(CONTAINER, key_of(cluster), ACCOUNT, "c", made, {})
    creating = asyncio.ensure_future(send(cluster, second, Operation.INDEX_CREATE, create))
    await asked.wait()
    assert await send(cluster, second, Operation.INDEX_RECLAIM, look) == (b"\x02",)
    answer.set()
    await creating
    assert await send(cluster, second, Operation.INDEX_RECLAIM, look) == (b"\x02",)


@in_cluster
async def test_the_floor_outlives_the_process_and_is_never_in_the_future(cluster: LoopbackCluster) -> None:
    device = cluster.devices[0]
    floor = pack(wall_us() - 1_000_000, 0, 0)
    await device.indexes.raise_floor(floor)
    await device.indexes.raise_floor(pack(1, 0, 0))
    with pytest.raises(RemoteError) as refused:
        await device.indexes.raise_floor(pack(wall_us() + 60_000_000, 0, 0))
    assert refused.value.code == Refusal.BUSY
    await device.crash()
    device.start()
    assert device.indexes.floor == floor


@in_cluster
async def test_more_than_a_message_of_them_go_in_steps(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster)
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    rows = [a_row(f"{number:04}", pack(wall_us(), number, 1), deleted=True) for number in range(700)]
    for device in holders_of(cluster):
        await send(cluster, device, Operation.INDEX_ROWS, rows_message(cluster, made, *rows))
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster) == (700, 0)
    assert await all_tombstones(cluster) == 0


@in_cluster
async def test_too_many_at_a_time_are_refused(cluster: LoopbackCluster) -> None:
    message = IndexReclaim(now(), (item_of(cluster, *map(str, range(257))),), ReclaimStep.LOOK)
    assert await refusal_of(cluster, cluster.devices[1], Operation.INDEX_RECLAIM, message) == Refusal.BAD_REQUEST


@in_cluster
async def test_rows_of_accounts_go_too(cluster: LoopbackCluster) -> None:
    service = cluster.proxy(cluster.time_us).service
    for text in "abc":
        await service.create_container(ACCOUNT, text, {})
    for text in "ab":
        await service.delete_container(ACCOUNT, text)
    await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    # containers first tell their accounts once more, so the accounts' rows may go in the pass after that
    await give_up(cluster)
    await give_up(cluster)
    assert await all_tombstones(cluster) == 0
    listing = await service.list_account(ACCOUNT, ListingQuery())
    assert [item.name for item in listing.items if not isinstance(item, CommonPrefix)] == ["c"]


@in_cluster
async def test_an_object_whose_row_comes_too_late_is_listed_under_a_new_timestamp(
    cluster: LoopbackCluster,
) -> None:
    """Its proxy died, and for a month nobody could add the row."""
    proxy = cluster.proxy(cluster.time_us)
    await proxy.service.create_container(ACCOUNT, "c", {})
    await cluster.quiet()
    for peer in proxy.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.INDEX_ROWS else None
    with pytest.raises(errors.Unavailable):
        await put(proxy.service, named("a"), b"data")
    cluster.wall_offset_s = 30 * DAY_S
    await give_up(cluster)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "PATIENCE_S", -1e9)
        for _ in range(2):
            for device in cluster.devices:
                await device.add_rows().step()
    assert await names_in(cluster.proxy(cluster.time_us).service, ACCOUNT, "c") == ["a"]


@in_cluster
async def test_a_container_that_was_never_entered_can_be_entered_after_a_long_time(cluster: LoopbackCluster) -> None:
    proxy = cluster.proxy(cluster.time_us)
    for peer in proxy.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.INDEX_ROWS else None
    with pytest.raises(errors.Unavailable):
        await proxy.service.create_container(ACCOUNT, "c", {})
    cluster.wall_offset_s = 30 * DAY_S
    await give_up(cluster)
    service = cluster.proxy(cluster.time_us).service
    await service.create_container(ACCOUNT, "c", {})
    listing = await service.list_account(ACCOUNT, ListingQuery())
    assert [item.name for item in listing.items if not isinstance(item, CommonPrefix)] == ["c"]


# containers


@in_cluster
async def test_a_container_deleted_long_ago_goes_and_late_messages_do_not_bring_it_back(
    cluster: LoopbackCluster,
) -> None:
    service = await a_container(cluster, "a")
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    await service.delete_container(ACCOUNT, "c")
    await cluster.quiet()
    assert await databases(cluster) == 3
    cluster.wall_offset_s = 30 * DAY_S
    assert (await give_up(cluster))[1] == 1
    assert await databases(cluster) == 0
    late_metadata = {"acl": ("everybody", made)}
    for device in holders_of(cluster):
        late = rows_message(cluster, made, a_row("a", now()))
        assert await refusal_of(cluster, device, Operation.INDEX_ROWS, late) == Refusal.NOT_FOUND
        create = IndexCreate(CONTAINER, key_of(cluster), ACCOUNT, "c", made, late_metadata)
        assert await refusal_of(cluster, device, Operation.INDEX_CREATE, create) == Refusal.PROMISED
    assert await databases(cluster) == 0
    with pytest.raises(errors.NoSuchContainer):
        await service.container_info(ACCOUNT, "c")
    await service.create_container(ACCOUNT, "c", {})
    await cluster.quiet()
    pointers = [("", now().hex())]
    for device in holders_of(cluster):
        create = IndexCreate(CONTAINER, key_of(cluster), ACCOUNT, "c", made, late_metadata)
        move = IndexMove(CONTAINER, key_of(cluster), ACCOUNT, "c", made, made, pointers, {}, ZERO)
        assert await refusal_of(cluster, device, Operation.INDEX_CREATE, create) == Refusal.PROMISED
        assert await refusal_of(cluster, device, Operation.INDEX_MOVE, move) == Refusal.PROMISED
    assert (await cluster.proxy(cluster.time_us).service.container_info(ACCOUNT, "c")).metadata == {}
    assert await names_in(cluster.proxy(cluster.time_us).service, ACCOUNT, "c") == []


@in_cluster
async def test_a_device_that_has_missed_an_old_container_still_takes_its_rows(cluster: LoopbackCluster) -> None:
    service = cluster.proxy(cluster.time_us).service
    missing = holders_of(cluster)[2]
    with cluster.without(missing):
        await service.create_container(ACCOUNT, "c", {})
        await cluster.quiet()
    made = (await service.container_info(ACCOUNT, "c")).put_timestamp
    cluster.wall_offset_s = 30 * DAY_S
    for device in cluster.devices:
        await device.reclaim_databases(AGE_S).step()
    new = pack(cluster.time_us(), 0, 1)
    await send(cluster, missing, Operation.INDEX_ROWS, rows_message(cluster, made, a_row("new", new)))
    with cluster.without(*[device for device in holders_of(cluster) if device is not missing]):
        pass
    assert await databases(cluster) == 3


@in_cluster
async def test_a_container_whose_deletion_its_account_has_not_heard_of_goes_once_it_has(
    cluster: LoopbackCluster,
) -> None:
    proxy = cluster.proxy(cluster.time_us)
    await proxy.service.create_container(ACCOUNT, "c", {})
    for peer in proxy.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.INDEX_ROWS else None
    with pytest.raises(errors.Unavailable):
        await proxy.service.delete_container(ACCOUNT, "c")
    cluster.wall_offset_s = 30 * DAY_S
    assert (await give_up(cluster))[1] == 1
    listing = await cluster.proxy(cluster.time_us).service.list_account(ACCOUNT, ListingQuery())
    assert list(listing.items) == []


@in_cluster
async def test_a_stale_replica_of_a_deleted_container_keeps_it(cluster: LoopbackCluster) -> None:
    service = await a_container(cluster)
    stale = holders_of(cluster)[2]
    with cluster.without(stale):
        await service.delete_container(ACCOUNT, "c")
        await cluster.quiet()
    cluster.wall_offset_s = 30 * DAY_S
    assert (await give_up(cluster))[1] == 0
    await synchronize_all(cluster)
    assert (await give_up(cluster))[1] == 1
    assert await databases(cluster) == 0


# split containers

NAMES = [f"{letter}/{number}" for letter in "abcdefgh" for number in range(5)]


def splitting(scenario: Any) -> Callable[[], None]:
    """Run a test on a cluster whose containers are split early."""
    return in_cluster(scenario, split_rows=24)


@splitting
async def test_ranges_are_closed_and_what_has_moved_away_goes(cluster: LoopbackCluster) -> None:
    splits, service = Splitting(cluster), cluster.proxy(cluster.time_us).service
    await service.create_container(ACCOUNT, "c", {})
    await asyncio.gather(*(put(service, named(text), b"data") for text in NAMES))
    old = now()
    await splits.settle()
    await asyncio.gather(*(service.delete_object(named(text)) for text in NAMES[2:]))
    await splits.settle()
    await cluster.quiet()
    await synchronize_all(cluster)
    before = await databases(cluster)
    cluster.wall_offset_s = 30 * DAY_S
    gone_rows, gone_databases = await give_up(cluster)
    assert gone_rows >= len(NAMES) - 2
    assert gone_databases > 0
    assert await databases(cluster) == before - 3 * gone_databases
    assert await all_tombstones(cluster) == 0
    assert await names_in(cluster.proxy(cluster.time_us).service, ACCOUNT, "c") == NAMES[:2]
    spans = await splits.spans(ACCOUNT, "c")
    assert spans is not None
    (span,) = spans.spans
    range_names = RANGES, f"{span.range_id}/{ACCOUNT}/c"
    key = cluster.key(*range_names)
    for device in cluster.holders(key):
        late = IndexRows(CONTAINER, key, *range_names, now(), [a_row(NAMES[5], old)], True)
        assert await refusal_of(cluster, device, Operation.INDEX_ROWS, late) == Refusal.PROMISED
    assert await give_up(cluster) == (0, 0)
    await put(service, named("new"), b"data")
    assert await names_in(service, ACCOUNT, "c") == [*NAMES[:2], "new"]


@splitting
async def test_while_rows_are_being_moved_no_tombstone_goes(
    cluster: LoopbackCluster,
) -> None:
    splits, service = Splitting(cluster), cluster.proxy(cluster.time_us).service
    await service.create_container(ACCOUNT, "c", {})
    await asyncio.gather(*(put(service, named(text), b"data") for text in NAMES))
    await service.delete_object(named(NAMES[0]))
    await cluster.quiet()
    await splits.report()
    cluster.wall_offset_s = 30 * DAY_S
    seen: list[tuple[int, int]] = []

    async def page(self: moving.Copy) -> tuple[int, bool]:
        if not seen:
            seen.append(await give_up(cluster))
        return await whole(self)

    whole = moving.Copy.page
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving.Copy, "page", page)
        await splits.settle()
    assert seen == [(0, 0)]
    assert await names_in(cluster.proxy(cluster.time_us).service, ACCOUNT, "c") == NAMES[1:]


# histories


class Late:
    """Remembers what was sent to databases, and sends it again much later: messages of proxies that slept."""

    WANTED = (Operation.INDEX_ROWS, Operation.INDEX_CREATE)

    def __init__(self, cluster: LoopbackCluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.random = chance
        self.kept: list[tuple[int, int, bytes]] = []

    def listen(self, placement: Placement) -> None:
        for device_id, peer in placement.peers.items():
            self._listen_to(device_id, peer)

    def _listen_to(self, device_id: int, peer: Any) -> None:
        call = peer.call

        def recorded(operation: int, metadata: Any, *arguments: Any, **named: Any) -> Any:
            if operation in self.WANTED:
                self.kept.append((device_id, int(operation), msgpack.packb(metadata)))
            return call(operation, metadata, *arguments, **named)

        peer.call = recorded

    async def send(self, count: int) -> None:
        """Send some again, to whom they were sent."""
        for _ in range(min(count, len(self.kept))):
            device_id, operation, packed = self.random.choice(self.kept)
            peer = self.cluster.devices[0].peers[device_id]
            try:
                await peer.call(operation, msgpack.unpackb(packed), tag=self.cluster.rings.version)
            except (RemoteError, PeerUnavailable):
                continue


class History:
    """Random writes, deletions, faults and housekeeping; what is acknowledged must be what is listed."""

    def __init__(self, cluster: LoopbackCluster, seed: int) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        proxy = cluster.proxy(cluster.time_us)
        self.service = proxy.service
        self.late = Late(cluster, self.random)
        self.late.listen(proxy.placement)
        for device in cluster.devices:
            self.late.listen(device.placement)
        # what may be listed of a name: True, False; None as container: it may be there or not
        texts = "abcdefgh" if cluster.split_rows else "abc"
        self.model: dict[str, set[bool]] = {text: {False} for text in texts}
        self.exists: set[bool] = {False}
        self.down: LoopbackDevice | None = None
        self.splits = Splitting(cluster) if cluster.split_rows else None

    async def run(self, steps: int) -> None:
        often = (self.put, self.delete, self.read, self.reclaim)
        rare = (self.fault, self.synchronize, self.race, self.container, self.add_rows, self.late_messages, self.split)
        actions = (*often, *often, *rare, self.absence, self.absence)
        for _ in range(steps):
            await self.random.choice(actions)()
        if self.down is not None:
            self.cluster.bring_back(self.down)
            self.down = None
        await self.read()

    def any(self) -> str:
        return self.random.choice(list(self.model))

    async def put(self) -> None:
        text = self.any()
        try:
            await put(self.service, named(text), b"data")
            self.model[text] = {True}
            self.exists = {True}
        except errors.NoSuchContainer:
            assert False in self.exists
        except (errors.Unavailable, errors.ContainerRemade):
            self.model[text] = {True, False}

    async def delete(self) -> None:
        text = self.any()
        try:
            await self.service.delete_object(named(text))
            self.model[text] = {False}
        except errors.NoSuchContainer:
            assert False in self.exists
        except (errors.Unavailable, errors.ContainerRemade):
            self.model[text] |= {False}

    async def container(self) -> None:
        """Create the container, or delete it if it is empty."""
        try:
            if self.random.random() < 0.5:
                await self.service.create_container(ACCOUNT, "c", {})
                if True not in self.exists:
                    self.model = {text: {False} for text in self.model}
                self.exists = {True}
            else:
                await self.service.delete_container(ACCOUNT, "c")
                self.exists = {False}
                self.model = {text: {False} for text in self.model}
        except errors.ContainerNotEmpty:
            pass
        except errors.NoSuchContainer:
            assert False in self.exists
        except errors.Unavailable:
            self.exists |= {True, False}

    async def read(self) -> None:
        try:
            found = await names_in(self.service, ACCOUNT, "c")
        except errors.NoSuchContainer:
            assert False in self.exists
            self.exists = {False}
            return
        except errors.Unavailable:
            return
        assert True in self.exists, found
        self.exists = {True}
        for text, possible in self.model.items():
            assert (text in found) in possible, (text, found, possible)
            # a row that is missing may come yet, when it was never confirmed
            if text in found:
                possible.discard(False)

    async def fault(self) -> None:
        if self.down is not None:
            self.cluster.bring_back(self.down)
            self.down = None
            await self.read()
            return
        device = self.random.choice(holders_of(self.cluster))
        if self.random.random() < 0.6:
            self.down = device
            self.cluster.take_down(device)
        else:
            await device.crash()
            device.start()

    async def absence(self) -> None:
        """Let a replica miss what happens, and be asked before it has heard of it."""
        if self.down is None:
            await self.put()
            await self.cluster.quiet()
            with self.cluster.without(self.random.choice(holders_of(self.cluster))):
                for _ in range(3):
                    await self.delete()
            await give_up(self.cluster, 0.0)
            await self.read()

    async def synchronize(self) -> None:
        device = self.random.choice(self.cluster.devices)
        for kind in DatabaseKind:
            await device.synchronize(kind).step()
        await device.replicate().step()

    async def add_rows(self) -> None:
        await self.random.choice(self.cluster.devices).add_rows().step()

    async def late_messages(self) -> None:
        await self.late.send(10)

    async def reclaim(self) -> None:
        await pass_of(self.random.choice(self.cluster.devices).reclaim_databases(0.0))

    async def split(self) -> None:
        if self.splits is not None:
            await self.splits.task(self.random.choice(self.cluster.devices)).step()

    async def race(self) -> None:
        """Write while tombstones go."""
        await asyncio.gather(self.put(), self.reclaim(), self.synchronize(), self.late_messages(), self.reclaim())


async def play(cluster: LoopbackCluster, seed: int, steps: int) -> None:
    """Play a history, and see that nothing is left in the end."""
    history = History(cluster, seed)
    await history.service.create_container(ACCOUNT, "c", {})
    history.exists = {True}
    await history.run(steps)
    if history.splits is not None:
        await history.splits.settle()
    for _ in range(4):
        await synchronize_all(cluster)
        for device in cluster.devices:
            await device.replicate().step()
            await device.add_rows().step()
        await give_up(cluster, 0.0)
        await history.late.send(40)
        await history.read()
    await synchronize_all(cluster)
    await give_up(cluster, 0.0)
    assert len(await tombstones(holders_of(cluster)[0], key_of(cluster))) == 0
    await history.read()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_nothing_deleted_comes_back_and_nothing_listed_goes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reclaim age is none here, so that the protocol alone must do it."""
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    in_cluster(lambda cluster: play(cluster, seed, 60))()


@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_while_containers_are_split_and_merged(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    in_cluster(lambda cluster: play(cluster, seed, 60), split_rows=4)()


def _all_tombstones(_header: Any, _known: Any, names: Any, _floor: Timestamp) -> bytes:
    return bytes([Holding.TOMBSTONE]) * len(names)


RULES: dict[str, tuple[Any, str, Any]] = {
    "below the floor no name begins": (index_store, "is_old", lambda _row, _floor: False),
    "what changes nothing is not recorded": (index_store, "without_repeated", lambda change, _known, _floor: change),
    "who has something else keeps it": (index_store, "holdings_of_rows", _all_tombstones),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_matters(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history finds out when one is left out; the others' tests are above."""
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    monkeypatch.setattr(*RULES[rule])
    for seed in range(12):
        try:
            in_cluster(lambda cluster, seed=seed: play(cluster, seed, 60))()  # type: ignore[misc]
        except AssertionError:
            return
    pytest.fail("nobody noticed")
