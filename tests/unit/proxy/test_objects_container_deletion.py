"""Deletions of containers whose proxy dies half way: no acknowledged row is lost by what is left of them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.clock import wall_us
from proxy.objects import container_deletion, databases
from proxy.objects.errors import NoSuchContainer, Unavailable
from proxy.objects.model import ObjectName
from storage.housekeeping import split
from storage.indexes import freezes
from storage.messages import DatabaseKind, Info, Operation
from storage.ranges.state import accepted_of
from tests.loopback import LoopbackCluster, LoopbackDevice, Loss, in_cluster, names_in, put
from tests.splitting import Splitting

ACCOUNT = "AUTH_a"
NAME = ObjectName(ACCOUNT, "c", "o")

Scenario = Callable[[LoopbackCluster, list[LoopbackDevice]], Awaitable[None]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have freezes end soon, and nobody wait for long."""
    monkeypatch.setattr(container_deletion, "FREEZE_S", 0.1)
    monkeypatch.setattr(databases, "FROZEN_WAIT_S", 1.0)


def left_by_a_deletion(scenario: Scenario, accepted_by: int, told: int = 0) -> Callable[[], None]:
    """Play `scenario` when a proxy has died after some replicas, the first, have accepted, and some were told."""

    async def prepared(cluster: LoopbackCluster) -> None:
        dying = cluster.proxy()
        await dying.service.create_container(ACCOUNT, "c", {})
        holders = cluster.holders(cluster.key(ACCOUNT, "c"))
        allowed = {device.id: (number < accepted_by) + (number < told) for number, device in enumerate(holders)}

        def losing(device_id: int) -> Callable[[int], Loss | None]:
            def loss(operation: int) -> Loss | None:
                if operation == Operation.INDEX_THAW:
                    return Loss.REQUEST
                if operation != Operation.INDEX_MOVE:
                    return None
                allowed[device_id] -= 1
                return Loss.REQUEST if allowed[device_id] < 0 else None

            return loss

        for device_id, peer in dying.peers.items():
            if device_id in allowed:
                peer.faults.loss = losing(device_id)
        with pytest.raises(Unavailable):
            await dying.service.delete_container(ACCOUNT, "c")
        await asyncio.sleep(2 * container_deletion.FREEZE_S)  # who settles it finds nobody else at it
        await scenario(cluster, holders)

    return in_cluster(prepared)


async def accepted_count(cluster: LoopbackCluster) -> int:
    """Return how many replicas have accepted, and do not know whether it was decided."""
    key = cluster.key(ACCOUNT, "c")
    headers = [await device.indexes.header(key) for device in cluster.holders(key) if device.running]
    return sum(header is not None and accepted_of(header.metadata) is not None for header in headers)


async def synchronized(cluster: LoopbackCluster) -> None:
    """Let all devices compare their databases."""
    for device in cluster.devices:
        if device.running:
            await device.synchronize(DatabaseKind.CONTAINER).step()


def test_what_one_replica_has_accepted_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cluster: LoopbackCluster, _holders: list[LoopbackDevice]) -> None:
        service = cluster.proxy().service
        await put(service, NAME, b"data")
        assert await names_in(service, ACCOUNT, "c") == ["o"]
        for patience_s, left in ((60.0, 1), (0.0, 0)):
            monkeypatch.setattr(split, "PATIENCE_S", patience_s)
            await one_step_each(cluster)
            assert await accepted_count(cluster) == left
            await synchronized(cluster)
            for one in (service, cluster.proxy().service):
                assert await names_in(one, ACCOUNT, "c") == ["o"]
        await service.delete_object(NAME)
        await service.delete_container(ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await names_in(cluster.proxy().service, ACCOUNT, "c")

    left_by_a_deletion(scenario, accepted_by=1)()


async def one_step_each(cluster: LoopbackCluster) -> None:
    splits = Splitting(cluster)
    await splits.report()  # merges what is pending, which is when it is seen that something is unsettled
    for device in cluster.devices:
        if device.running:
            await splits.task(device).step()


@pytest.mark.parametrize("told", [0, 1])
def test_what_a_quorum_has_accepted_is_finished(told: int) -> None:
    async def scenario(cluster: LoopbackCluster, _holders: list[LoopbackDevice]) -> None:
        service = cluster.proxy().service
        with pytest.raises((Unavailable, NoSuchContainer)):
            await put(service, NAME, b"data")
        await one_step_each(cluster)
        await synchronized(cluster)
        assert await accepted_count(cluster) == 0
        with pytest.raises(NoSuchContainer):
            await names_in(cluster.proxy().service, ACCOUNT, "c")
        await service.create_container(ACCOUNT, "c", {})
        await put(service, NAME, b"data")
        assert await names_in(cluster.proxy().service, ACCOUNT, "c") == ["o"]

    left_by_a_deletion(scenario, accepted_by=2, told=told)()


def test_it_waits_for_a_replica_that_may_have_decided_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "PATIENCE_S", 0.0)

    async def scenario(cluster: LoopbackCluster, holders: list[LoopbackDevice]) -> None:
        await holders[1].crash()
        await one_step_each(cluster)
        assert await accepted_count(cluster) == 1
        holders[1].start()
        await asyncio.sleep(0.2)  # for the end of freezes
        await one_step_each(cluster)
        assert await accepted_count(cluster) == 0
        assert await names_in(cluster.proxy().service, ACCOUNT, "c") == []

    left_by_a_deletion(scenario, accepted_by=1)()


def test_the_same_client_deletes_it_once_more() -> None:
    async def scenario(cluster: LoopbackCluster, holders: list[LoopbackDevice]) -> None:
        await holders[2].crash()
        service = cluster.proxy().service
        await service.delete_container(ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await names_in(cluster.proxy().service, ACCOUNT, "c")
        assert await accepted_count(cluster) == 0

    left_by_a_deletion(scenario, accepted_by=1)()


def test_an_acceptance_outlives_a_crash_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "PATIENCE_S", 0.0)

    async def scenario(cluster: LoopbackCluster, holders: list[LoopbackDevice]) -> None:
        for device in holders:
            await device.crash()
            device.start()
        service = cluster.proxy().service
        await put(service, NAME, b"data")
        assert await accepted_count(cluster) == 1
        await one_step_each(cluster)
        await synchronized(cluster)
        assert await accepted_count(cluster) == 0
        assert await names_in(cluster.proxy().service, ACCOUNT, "c") == ["o"]

    left_by_a_deletion(scenario, accepted_by=1)()


@in_cluster
async def test_a_clock_that_is_behind_deletes_what_others_have_made(cluster: LoopbackCluster) -> None:
    behind, other = cluster.proxy(lambda: wall_us() - 300_000_000), cluster.proxy().service
    await other.create_container(ACCOUNT, "c", {})
    await behind.service._directory.delete(behind.service._directory.container(ACCOUNT, "c"))
    with pytest.raises(NoSuchContainer):
        await names_in(other, ACCOUNT, "c")


def test_without_a_vote_first_a_row_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a deletion that one replica takes at once: it spreads, over rows that were acknowledged since."""
    move = freezes.Freezes.move

    async def at_once(self: freezes.Freezes, message: freezes.IndexMove) -> None:
        if message.token is not None and not message.pointers:
            message = message._replace(token=None, deleted=True)
        await move(self, message)

    monkeypatch.setattr(freezes.Freezes, "move", at_once)

    async def scenario(cluster: LoopbackCluster, _holders: list[LoopbackDevice]) -> None:
        await put(cluster.proxy().service, NAME, b"data")
        await synchronized(cluster)
        with pytest.raises(NoSuchContainer):
            await names_in(cluster.proxy().service, ACCOUNT, "c")

    left_by_a_deletion(scenario, accepted_by=1)()


@pytest.mark.parametrize("operation", [Operation.INDEX_FREEZE, Operation.INDEX_MOVE])
@pytest.mark.parametrize("lost", [1, 2])
def test_who_has_never_heard_of_a_container_does_not_say_that_there_is_none(operation: Operation, lost: int) -> None:
    """One replica was away when it was made; another one fails while it is deleted."""

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        holders = cluster.holders(cluster.key(ACCOUNT, "c"))
        with cluster.without(holders[0]):
            await proxy.service.create_container(ACCOUNT, "c", {})
        proxy.peers[holders[0].id].faults.loss = losing_number(1, Operation.INDEX_INFO)  # it learns of it no sooner
        proxy.peers[holders[1].id].faults.loss = losing_number(lost, operation)
        await proxy.service.delete_container(ACCOUNT, "c")
        with pytest.raises(NoSuchContainer):
            await proxy.service.delete_container(ACCOUNT, "c")

    scenario()


def test_who_has_missed_the_last_deletion_of_an_object_does_not_say_that_a_container_has_objects() -> None:
    """Another one fails while it is deleted."""

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        await proxy.service.create_container(ACCOUNT, "c", {})
        await put(proxy.service, NAME, b"data")
        holders = cluster.holders(cluster.key(ACCOUNT, "c"))
        with cluster.without(holders[0]):
            await proxy.service.delete_object(NAME)
        proxy.peers[holders[0].id].faults.loss = losing_number(1, Operation.INDEX_INFO)
        proxy.peers[holders[1].id].faults.loss = losing_number(1, Operation.INDEX_FREEZE)
        await proxy.service.delete_container(ACCOUNT, "c")

    scenario()


def test_what_was_made_anew_while_it_was_deleted_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is deleted is decided, but whoever deletes does not hear of that until it is there again."""

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        deleting, other = cluster.proxy(), cluster.proxy().service
        holders = cluster.holders(cluster.key(ACCOUNT, "c"))
        with cluster.without(holders[0]):
            await other.create_container(ACCOUNT, "c", {})
        deleting.peers[holders[0].id].faults.loss = losing_number(1, Operation.INDEX_INFO)
        deleting.peers[holders[1].id].faults.loss = losing_number(2, Operation.INDEX_MOVE)
        info = databases.Databases.info

        async def made_anew_first(self: databases.Databases, database: databases.Database) -> Info | None:
            monkeypatch.setattr(databases.Databases, "info", info)
            await other.create_container(ACCOUNT, "c", {"anew": 1})
            return await info(self, database)

        monkeypatch.setattr(databases.Databases, "info", made_anew_first)
        await deleting.service._directory.delete(deleting.service._directory.container(ACCOUNT, "c"))
        assert (await other.container_info(ACCOUNT, "c")).metadata == {"anew": 1}

    scenario()


def losing_number(number: int, wanted: Operation) -> Callable[[int], Loss | None]:
    """Lose one request: that with this number, from 1, of those for `wanted`."""
    seen = 0

    def loss(operation: int) -> Loss | None:
        nonlocal seen
        seen += operation == wanted
        return Loss.REQUEST if operation == wanted and seen == number else None

    return loss
