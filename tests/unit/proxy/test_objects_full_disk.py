"""proxy.objects while a device is full: what only reads is not told of it."""

import asyncio

import pytest

from proxy.objects.errors import Unavailable
from proxy.objects.model import ObjectName
from tests.loopback import LoopbackCluster, Loss, get, in_cluster, put

NAME = ObjectName("AUTH_a", "c", "o")


async def _scenario(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    holders = cluster.holders(cluster.key(*NAME))
    await put(service, NAME, b"old")
    with cluster.without(holders[0]):
        await put(service, NAME, b"new")
    for device in holders:
        device.blobs._commits.full = True
    assert {await get(service, NAME) for _ in range(6)} == {b"new"}


def test_a_read_that_meets_a_stale_replica_on_a_full_disk_is_answered() -> None:
    in_cluster(_scenario)()


async def _in_doubt(cluster: LoopbackCluster) -> None:
    """A version on one replica only, which nobody was promised, and which cannot be brought to the others."""
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    holders = cluster.holders(cluster.key(*NAME))
    await put(service, NAME, b"old")
    alone = cluster.proxy()
    for device in holders[1:]:
        alone.peers[device.id].faults.loss = lambda _operation: Loss.REQUEST
    with pytest.raises(Unavailable):
        async with asyncio.timeout(15):
            await put(alone.service, NAME, b"new")
    for device in holders:
        device.blobs._commits.full = True
    found = [await get(service, NAME) for _ in range(6)]
    assert set(found) <= {b"old", b"new"}
    assert found == sorted(found, reverse=True), "no read goes back in time"


def test_a_read_goes_round_what_a_full_disk_does_not_take() -> None:
    in_cluster(_in_doubt)()
