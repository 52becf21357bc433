"""proxy.objects: containers, accounts and what they list, with real devices (ARCHITECTURE.md, "Consistency")."""

import asyncio
from collections.abc import Sequence

import pytest

from cluster.clock import pack, wall_us
from proxy.objects import container_deletion
from proxy.objects.errors import (
    ContainerNotEmpty,
    ContainerRemade,
    ContainerTaken,
    NoSuchContainer,
    NoSuchObject,
    Unavailable,
)
from proxy.objects.model import CommonPrefix, ListingQuery, ObjectInfo, ObjectName
from proxy.objects.rounds import HEDGE_S
from proxy.objects.service import ObjectService
from storage.messages import Operation, Row
from tests.loopback import (
    TEXT,
    Faults,
    LoopbackCluster,
    LoopbackPeer,
    Loss,
    MiB,
    Pieces,
    get,
    in_cluster,
    names_in,
    put,
    until,
)

ACCOUNT = "AUTH_a"
HOUR_US = 3600 * 1_000_000


def name(text: str, container: str = "c") -> ObjectName:
    """Return an object's name in the test's account."""
    return ObjectName(ACCOUNT, container, text)


async def account_names(service: ObjectService) -> list[str]:
    """Return what the account lists."""
    listing = await service.list_account(ACCOUNT, ListingQuery())
    return [str(getattr(item, "name", item)) for item in listing.items]


async def know_account(service: ObjectService) -> None:
    """Have the account's state known, which the first write into it asks for because of quotas."""
    await service.create_container(ACCOUNT, "first", {})
    await put(service, name("o", "first"), b"")


async def put_all(service: ObjectService, names: Sequence[str]) -> None:
    """Store small objects, all at once."""
    await asyncio.gather(*(put(service, name(text), text.encode()) for text in names))


# listings


@in_cluster
async def test_a_listing_is_in_order_and_has_what_it_shows_of_an_object(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put_all(service, ["b", "a/1", "ä", "a/2", "c"])
    listing = await service.list_container(ACCOUNT, "c", ListingQuery())
    assert [item.name for item in listing.items if not isinstance(item, CommonPrefix)] == ["a/1", "a/2", "b", "c", "ä"]
    first = listing.items[0]
    head = await service.head_object(name("a/1"))
    assert not isinstance(first, CommonPrefix)
    assert (first.size, first.etag, first.content_type) == (3, head.metadata.etag, "text/plain")
    assert (first.modified_us, first.timestamp) == (head.metadata.modified_us, head.timestamp)
    assert (listing.info.object_count, listing.info.bytes_used) == (5, 10)


@in_cluster
async def test_a_listing_is_read_in_pages_with_prefixes_rolled_up(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put_all(service, [f"{letter}/{number}" for letter in "abc" for number in range(5)] + ["z"])
    seen: list[str] = []
    marker, truncated = "", True
    while truncated:
        page = await service.list_container(
            ACCOUNT, "c", ListingQuery(limit=2, delimiter="/", marker=marker)
        )
        assert len(page.items) <= 2
        seen += [item if isinstance(item, CommonPrefix) else item.name for item in page.items]
        marker, truncated = seen[-1], page.truncated
    assert seen == ["a/", "b/", "c/", "z"]
    assert await names_in(service, ACCOUNT, "c", prefix="b/", marker="b/2") == ["b/3", "b/4"]
    assert await names_in(service, ACCOUNT, "c", reverse=True, limit=2) == ["z", "c/4"]


@in_cluster
async def test_every_acknowledged_row_is_listed_whichever_replica_is_down_or_stale(
    cluster: LoopbackCluster,
) -> None:
    writer, reader = cluster.proxy().service, cluster.proxy().service
    await writer.create_container(ACCOUNT, "c", {})
    holders = cluster.holders(cluster.key(ACCOUNT, "c"))
    expected: list[str] = []
    for stale in holders:
        with cluster.without(stale):
            await put_all(writer, [f"{stale.id}-{number}" for number in range(3)])
            expected += [f"{stale.id}-{number}" for number in range(3)]
            assert await names_in(reader, ACCOUNT, "c") == sorted(expected)
    for away in holders:
        with cluster.without(away):
            for _ in range(3):
                assert await names_in(reader, ACCOUNT, "c") == sorted(expected)
                info = await reader.container_info(ACCOUNT, "c")
                assert info.object_count == len(expected)


@in_cluster
async def test_a_listing_does_without_a_stale_replica_that_the_others_do_not_reach(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    stale, *others = cluster.holders(cluster.key(ACCOUNT, "c"))
    with cluster.without(stale):
        await put_all(service, ["a", "b"])
    for other in others:
        other.peers[stale.id].disconnect()
        stale.peers[other.id].disconnect()
    for _ in range(3):
        assert await names_in(service, ACCOUNT, "c") == ["a", "b"]


@in_cluster
async def test_what_was_deleted_is_not_listed_by_a_stale_replica(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put_all(service, ["a", "b", "c"])
    holders = cluster.holders(cluster.key(ACCOUNT, "c"))
    with cluster.without(holders[0]):
        await service.delete_object(name("b"))
    for away in holders[1:]:
        with cluster.without(away):
            for _ in range(3):
                assert await names_in(service, ACCOUNT, "c") == ["a", "c"]


@in_cluster
async def test_a_listing_that_too_few_replicas_answer_is_refused(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    holders = cluster.holders(cluster.key(ACCOUNT, "c"))
    with cluster.without(*holders[:2]), pytest.raises(Unavailable):
        await service.list_container(ACCOUNT, "c", ListingQuery())


@in_cluster
async def test_what_a_listing_showed_the_next_one_shows_too(cluster: LoopbackCluster) -> None:
    writer, reader = cluster.proxy(), cluster.proxy()
    await writer.service.create_container(ACCOUNT, "c", {})
    holder, *others = cluster.holders(cluster.key(ACCOUNT, "c"))
    for device in others:
        writer.peers[device.id].faults.loss = lambda operation: (
            Loss.REQUEST if operation == Operation.INDEX_ROWS else None
        )
    with pytest.raises(Unavailable):
        await put(writer.service, name("half"), b"data")
    seen = False
    for away in (*others, holder, *others, holder):
        with cluster.without(away):
            now_seen = await names_in(reader.service, ACCOUNT, "c") == ["half"]
        assert now_seen or not seen
        seen = now_seen
    assert seen


@pytest.mark.alone
@in_cluster
async def test_a_slow_replica_does_not_hold_up_listings(cluster: LoopbackCluster) -> None:
    proxy = cluster.proxy()
    await proxy.service.create_container(ACCOUNT, "c", {})
    await put(proxy.service, name("o"), b"data")
    slow = cluster.holders(cluster.key(ACCOUNT, "c"))[1]
    proxy.peers[slow.id].faults.delay_s = 2.0
    loop = asyncio.get_running_loop()
    for _ in range(6):
        began = loop.time()
        assert await names_in(proxy.service, ACCOUNT, "c") == ["o"]
        assert loop.time() - began < 0.6


@in_cluster
async def test_every_answer_to_a_listing_counts_when_all_are_slow(cluster: LoopbackCluster) -> None:
    """One replica fails, and both others have been asked for the whole answer, for the first was late."""
    proxy = cluster.proxy()
    await proxy.service.create_container(ACCOUNT, "c", {})
    await put(proxy.service, name("o"), b"data")
    one, failing, other = cluster.holders(cluster.key(ACCOUNT, "c"))
    for device in (one, other):
        proxy.peers[device.id].faults.delay_s = HEDGE_S
    proxy.peers[failing.id].faults = Faults(delay_s=2 * HEDGE_S, loss=lambda _operation: Loss.REQUEST)
    for _ in range(3):
        assert await names_in(proxy.service, ACCOUNT, "c") == ["o"]


# containers


@in_cluster
async def test_creating_a_container_tells_whether_it_is_new_and_merges_metadata(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    assert await one.create_container(ACCOUNT, "c", {"a": 1, "b": "x"})
    assert not await other.create_container(ACCOUNT, "c", {"b": "y"})
    assert (await one.container_info(ACCOUNT, "c")).metadata == {"a": 1, "b": "y"}
    await one.update_container(ACCOUNT, "c", {"a": None, "c": [1, 2]})
    assert (await other.container_info(ACCOUNT, "c")).metadata == {"b": "y", "c": (1, 2)}
    with pytest.raises(NoSuchContainer):
        await one.update_container(ACCOUNT, "d", {"a": 1})
    with pytest.raises(NoSuchContainer):
        await one.list_container(ACCOUNT, "d", ListingQuery())
    with pytest.raises(NoSuchContainer):
        await put(one, name("o", "d"), b"data")
    with pytest.raises(NoSuchContainer):
        await one.head_object(name("o", "d"))


@in_cluster
async def test_containers_are_made_changed_and_deleted_with_any_replica_down(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    for device in cluster.devices:
        with cluster.without(device):
            assert await service.create_container(ACCOUNT, "c", {"by": device.id})
            await service.update_container(ACCOUNT, "c", {"more": 1})
            assert (await service.container_info(ACCOUNT, "c")).metadata == {"by": device.id, "more": 1}
            assert await account_names(service) == ["c"]
            await service.delete_container(ACCOUNT, "c")
            assert await account_names(service) == []
            with pytest.raises(NoSuchContainer):
                await service.delete_container(ACCOUNT, "c")


@in_cluster
async def test_a_container_that_is_not_empty_is_not_deleted(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put(service, name("o"), b"data")
    with pytest.raises(ContainerNotEmpty):
        await service.delete_container(ACCOUNT, "c")
    await put(service, name("p"), b"at once: the refused deletion froze nothing")
    await service.delete_object(name("o"))
    await service.delete_object(name("p"))
    await service.delete_container(ACCOUNT, "c")


@pytest.mark.parametrize("away_index", [None, 1])
def test_a_container_that_only_a_stale_replica_believes_not_empty_is_deleted(away_index: int | None) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        await put(service, name("o"), b"data")
        holders = cluster.holders(cluster.key(ACCOUNT, "c"))
        with cluster.without(holders[0]):
            await service.delete_object(name("o"))
        away = [] if away_index is None else [holders[away_index]]
        with cluster.without(*away):
            await service.delete_container(ACCOUNT, "c")
            with pytest.raises(NoSuchContainer):
                await service.container_info(ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await service.list_container(ACCOUNT, "c", ListingQuery())

    scenario()


@in_cluster
async def test_a_container_with_an_object_is_not_deleted_behind_the_back_of_its_only_row(
    cluster: LoopbackCluster,
) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    holders = cluster.holders(cluster.key(ACCOUNT, "c"))
    with cluster.without(holders[0]):
        await put(service, name("o"), b"data")
    for away in holders[1:]:
        with cluster.without(away), pytest.raises(ContainerNotEmpty):
            await service.delete_container(ACCOUNT, "c")
    assert await names_in(service, ACCOUNT, "c") == ["o"]


@in_cluster
async def test_a_container_that_is_made_again_is_empty_and_usable(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    for number in range(4):
        assert await one.create_container(ACCOUNT, "c", {"number": number})
        assert await names_in(other, ACCOUNT, "c") == []
        assert (await other.container_info(ACCOUNT, "c")).metadata == {"number": number}
        await put(other, name("o"), b"data")  # it may believe in the container of the round before
        assert await names_in(one, ACCOUNT, "c") == ["o"]
        await one.delete_object(name("o"))
        await one.delete_container(ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await put(other, name("o"), b"data")
        with pytest.raises(NoSuchContainer):
            await other.get_object(name("o"))
        one, other = other, one


@in_cluster
async def test_clocks_an_hour_apart_agree_on_containers(cluster: LoopbackCluster) -> None:
    ahead = cluster.proxy(lambda: wall_us() + HOUR_US).service
    for step in range(3):
        behind = cluster.proxy(lambda: wall_us() - HOUR_US).service
        assert await ahead.create_container(ACCOUNT, "c", {"a": 1})
        await behind.update_container(ACCOUNT, "c", {"a": step})
        assert (await ahead.container_info(ACCOUNT, "c")).metadata == {"a": step}
        await behind.delete_container(ACCOUNT, "c")
        assert await account_names(ahead) == []
        assert await ahead.create_container(ACCOUNT, "c", {})
        await ahead.delete_container(ACCOUNT, "c")
        fresh = cluster.proxy(lambda: wall_us() - HOUR_US).service
        assert await fresh.create_container(ACCOUNT, "c", {"a": 2})
        assert (await ahead.container_info(ACCOUNT, "c")).metadata == {"a": 2}
        assert await account_names(ahead) == ["c"]
        await put(fresh, name("o"), b"data")
        assert await names_in(ahead, ACCOUNT, "c") == ["o"]
        await fresh.delete_object(name("o"))
        await fresh.delete_container(ACCOUNT, "c")


@in_cluster
async def test_a_put_by_a_proxy_that_lags_into_a_container_made_again_can_be_repeated(cluster: LoopbackCluster) -> None:
    ahead = cluster.proxy(lambda: wall_us() + HOUR_US).service
    behind = cluster.proxy(lambda: wall_us() - HOUR_US).service
    await know_account(behind)
    await behind.create_container(ACCOUNT, "c", {})
    await behind.container_info(ACCOUNT, "c")  # believed from now on
    await ahead.delete_container(ACCOUNT, "c")
    await ahead.create_container(ACCOUNT, "c", {})
    with pytest.raises(ContainerRemade):
        await put(behind, name("o"), b"data")
    with pytest.raises(NoSuchObject):
        await ahead.head_object(name("o"))
    await put(behind, name("o"), b"data")
    assert await names_in(ahead, ACCOUNT, "c") == ["o"]
    assert await get(ahead, name("o")) == b"data"


@pytest.mark.parametrize("seed", range(3))
def test_no_acknowledged_object_is_in_a_deleted_container(seed: int) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        services = [cluster.proxy().service for _ in range(2)]
        for round_ in range(6):
            container = f"c{round_}"
            await services[0].create_container(ACCOUNT, container, {})
            await services[1].container_info(ACCOUNT, container)

            async def write(number: int, container: str = container) -> ObjectInfo:
                await asyncio.sleep(0.0005 * number * seed)
                return await put(services[number % 2], name(f"{number}", container), b"data")

            async def remove(container: str = container) -> None:
                await asyncio.sleep(0.002 * seed)
                await services[0].delete_container(ACCOUNT, container)

            *puts, removed = await asyncio.gather(
                *(write(number) for number in range(6)), remove(), return_exceptions=True
            )
            acknowledged = [str(number) for number, put_ in enumerate(puts) if isinstance(put_, ObjectInfo)]
            assert all(isinstance(put_, ObjectInfo | NoSuchContainer) for put_ in puts), puts
            if removed is None:
                assert acknowledged == []
                with pytest.raises(NoSuchContainer):
                    await services[1].container_info(ACCOUNT, container)
            else:
                assert isinstance(removed, ContainerNotEmpty)
                assert await names_in(services[1], ACCOUNT, container) == acknowledged
                assert len(acknowledged) == 6

    scenario()


@in_cluster
async def test_a_put_that_ends_after_its_container_was_deleted_is_undone(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    await one.create_container(ACCOUNT, "c", {})

    class Overtaken(Pieces):
        async def read(self) -> bytes | bytearray | memoryview:
            piece = await super().read()
            if not piece:
                await other.delete_container(ACCOUNT, "c")
            return piece

    with pytest.raises(NoSuchContainer):
        await one.put_object(name("o"), Overtaken([bytes(MiB), b"end"]), TEXT)
    await one.create_container(ACCOUNT, "c", {})
    with pytest.raises(NoSuchObject):
        await other.get_object(name("o"))
    assert await names_in(other, ACCOUNT, "c") == []


@in_cluster
async def test_a_refused_put_does_not_undo_what_another_has_written_since(cluster: LoopbackCluster) -> None:
    slow, quick = cluster.proxy(), cluster.proxy()
    await know_account(slow.service)
    await slow.service.create_container(ACCOUNT, "c", {})
    await slow.service.container_info(ACCOUNT, "c")
    await quick.service.delete_container(ACCOUNT, "c")
    for peer in slow.peers.values():

        def hesitate(operation: int, peer: LoopbackPeer = peer) -> None:
            if operation == Operation.INDEX_INFO:  # asked once the row was refused
                peer.faults.delay_s = 0.1

        peer.faults.loss = hesitate
    late = asyncio.create_task(put(slow.service, name("o"), b"slow"))
    await until(lambda: any(peer.faults.delay_s for peer in slow.peers.values()))
    await asyncio.sleep(0.12)  # the answer, that there is no container, is on its way
    await quick.service.create_container(ACCOUNT, "c", {})
    await put(quick.service, name("o"), b"quick")
    with pytest.raises(NoSuchContainer):
        await late
    assert await get(quick.service, name("o")) == b"quick"
    assert await names_in(quick.service, ACCOUNT, "c") == ["o"]


@in_cluster
async def test_a_row_of_an_earlier_life_does_not_take_others_of_the_same_turn_along(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    earlier = pack(wall_us(), 0, 1)
    await service.delete_container(ACCOUNT, "c")
    await service.create_container(ACCOUNT, "c", {})
    since = (await service.container_info(ACCOUNT, "c")).put_timestamp
    directory = service._directory
    database = directory.container(ACCOUNT, "c")
    outcomes = await asyncio.gather(
        directory.add_row(database, since, Row("late", earlier, False, 1)),
        directory.add_row(database, since, Row("new", pack(wall_us() + 1000, 0, 1), False, 1)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], NoSuchContainer)
    assert outcomes[1] is None
    assert await names_in(service, ACCOUNT, "c") == ["new"]


@in_cluster
async def test_a_freeze_of_a_proxy_that_died_ends_by_itself(cluster: LoopbackCluster) -> None:
    dying, other = cluster.proxy(), cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    database = dying.service._directory.container(ACCOUNT, "c")
    for peer in dying.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.INDEX_MOVE else None
    freeze_s, container_deletion.FREEZE_S = container_deletion.FREEZE_S, 0.2
    try:
        with pytest.raises(Unavailable):
            await dying.service._directory.delete(database)
    finally:
        container_deletion.FREEZE_S = freeze_s
    await put(other.service, name("o"), b"waits for the end of the freeze")
    assert await names_in(other.service, ACCOUNT, "c") == ["o"]


# accounts


@in_cluster
async def test_an_account_lists_its_containers_and_their_counters(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    assert (await service.account_info(ACCOUNT)).container_count == 0
    assert (await service.list_account(ACCOUNT, ListingQuery())).items == []
    for container in ("b", "a", "c"):
        await service.create_container(ACCOUNT, container, {})
    await put(service, name("o", "a"), b"12345")
    await put(service, name("p", "a"), b"12345")
    await put(service, name("o", "b"), b"1")
    await service.delete_container(ACCOUNT, "c")
    assert await account_names(service) == ["a", "b"]
    await asyncio.sleep(0.1)  # rows are merged, which is when there is something to report
    for device in cluster.devices:
        await device.report().step()
    listing = await service.list_account(ACCOUNT, ListingQuery())
    counters = [(item.name, item.object_count, item.size) for item in listing.items if not isinstance(item, str)]
    assert counters == [("a", 2, 10), ("b", 1, 1)]
    info = await service.account_info(ACCOUNT)
    assert (info.container_count, info.object_count, info.bytes_used) == (2, 3, 11)


@in_cluster
async def test_account_metadata_is_merged_and_removed(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.update_account(ACCOUNT, {"a": "1", "b": "2"})
    await service.update_account(ACCOUNT, {"a": None})
    assert (await cluster.proxy().service.account_info(ACCOUNT)).metadata == {"b": "2"}
    await service.create_container(ACCOUNT, "c", {})
    assert (await service.account_info(ACCOUNT)).metadata == {"b": "2"}


@in_cluster
async def test_a_deletion_that_was_cut_short_can_be_repeated(cluster: LoopbackCluster) -> None:
    """The proxy died between the container and its row in the account."""
    dying, other = cluster.proxy(), cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    for peer in dying.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.INDEX_ROWS else None
    with pytest.raises(Unavailable):
        await dying.service.delete_container(ACCOUNT, "c")
    with pytest.raises(NoSuchContainer):
        await other.service.delete_container(ACCOUNT, "c")
    assert await account_names(other.service) == []


# buckets


@in_cluster
async def test_a_bucket_name_belongs_to_one_account(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    assert await one.bucket_owner("bucket") is None
    await one.claim_bucket("bucket", "AUTH_a")
    await one.claim_bucket("bucket", "AUTH_a")
    assert await other.bucket_owner("bucket") == "AUTH_a"
    with pytest.raises(ContainerTaken) as taken:
        await other.claim_bucket("bucket", "AUTH_b")
    assert taken.value.account == "AUTH_a"
    with pytest.raises(ContainerTaken):
        await other.release_bucket("bucket", "AUTH_b")
    await one.release_bucket("bucket", "AUTH_a")
    await other.claim_bucket("bucket", "AUTH_b")
    assert await other.bucket_owner("bucket") == "AUTH_b"


@in_cluster
async def test_of_accounts_that_claim_a_bucket_at_once_one_gets_it(cluster: LoopbackCluster) -> None:
    services = [cluster.proxy().service for _ in range(4)]
    claims = [service.claim_bucket("bucket", f"AUTH_{number}") for number, service in enumerate(services)]
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    winners = [f"AUTH_{number}" for number, outcome in enumerate(outcomes) if outcome is None]
    assert len(winners) == 1
    assert all(isinstance(outcome, ContainerTaken) for outcome in outcomes if outcome is not None), outcomes
    for service in services:
        assert await service.bucket_owner("bucket") == winners[0]
