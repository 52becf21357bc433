"""storage.housekeeping.reclaim_databases: containers deleted long ago, and what is left of ranges that were split."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cluster.clock import ZERO, pack
from proxy.objects import errors
from proxy.objects.model import ListingQuery
from storage.messages import (
    Changes,
    IndexCreate,
    IndexMove,
    IndexRows,
    Operation,
    Refusal,
)
from storage.ranges import moving
from storage.ranges.pointers import RANGES
from tests.loopback import LoopbackCluster, Loss, in_cluster, names_in, put
from tests.splitting import Splitting
from tests.unit.storage.reclaiming import (
    ACCOUNT,
    AGE_S,
    CONTAINER,
    DAY_S,
    a_container,
    a_row,
    all_tombstones,
    databases,
    give_up,
    holders_of,
    key_of,
    named,
    now,
    refusal_of,
    rows_message,
    send,
    synchronize_all,
)

pytestmark = pytest.mark.usefixtures("impatience")


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

    async def page(self: moving.Copy, after: tuple[bool, str] | None) -> Changes:
        if not seen:
            seen.append(await give_up(cluster))
        return await whole(self, after)

    whole = moving.Copy.page
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving.Copy, "page", page)
        await splits.settle()
    assert seen == [(0, 0)]
    assert await names_in(cluster.proxy(cluster.time_us).service, ACCOUNT, "c") == NAMES[1:]
