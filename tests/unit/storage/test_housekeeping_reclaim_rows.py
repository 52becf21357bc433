"""storage.housekeeping.reclaim_databases: rows deleted long ago go everywhere, and never come back."""

import asyncio
from typing import Any

import pytest

from cluster.clock import ZERO, pack, wall_us
from cluster.wire import RemoteError
from proxy.objects import errors
from proxy.objects.model import CommonPrefix, ListingQuery
from storage.housekeeping import rows
from storage.housekeeping.reclaim_databases import RETRY_S
from storage.indexes import digest
from storage.messages import (
    IndexCreate,
    IndexMove,
    IndexReclaim,
    Operation,
    ReclaimedDatabase,
    ReclaimStep,
    Refusal,
)
from storage.ranges.pointers import RANGES
from storage.rings.document import Stage
from tests.loopback import LoopbackCluster, Loss, in_cluster, names_in, put, rings_of
from tests.unit.storage.reclaiming import (
    ACCOUNT,
    AGE_S,
    CONTAINER,
    DAY_S,
    a_container,
    a_row,
    all_tombstones,
    give_up,
    holders_of,
    info_message,
    item_of,
    key_of,
    named,
    now,
    refusal_of,
    rows_message,
    send,
    synchronize_all,
    the_nth,
    tombstones,
)

pytestmark = pytest.mark.usefixtures("impatience")


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
        counts = await device.indexes._pending.query(key_of(cluster), lambda database: _counted(database))
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
    await second.indexes._jobs.run(second.indexes._shelf.forget_tombstones, key_of(cluster), ["a"], message.floor)
    await second.crash()
    second.start()
    assert await second.indexes._pending.query(key_of(cluster), lambda database: list(database.all_rows())) == []


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
    await leader.indexes._jobs.run(leader.indexes._shelf.forget_tombstones, key_of(cluster), ["a"], floor)
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
    await taker.indexes._jobs.run(taker.indexes._shelf.forget_tombstones, key, ["a"], pack(cluster.time_us(), 0, 0))
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
    assert await second.indexes._pending.query(key_of(cluster), lambda database: list(database.all_rows())) == []


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
    await taker.indexes._jobs.run(taker.indexes._shelf.forget_tombstones, key, ["a"], pack(cluster.time_us(), 0, 0))
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
