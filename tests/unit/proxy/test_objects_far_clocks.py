"""One clock in another century harms nobody else; what a time of wrong clocks left can be written over."""

import pytest

from cluster.clock import HybridClock, microseconds_of, pack, wall_us
from cluster.wire import RemoteError
from proxy.objects.errors import Unavailable
from proxy.objects.model import ObjectName
from storage.messages import BlobPut, Refusal
from tests.loopback import LoopbackCluster, LoopbackProxy, get, in_cluster, put

NAME = ObjectName("AUTH_a", "c", "o")
CENTURY_US = 100 * 365 * 24 * 3600 * 1_000_000


def far_proxy(cluster: LoopbackCluster) -> LoopbackProxy:
    """Return a proxy whose clock is a century ahead."""
    proxy = cluster.proxy()
    proxy.clock._wall_us = lambda: wall_us() + CENTURY_US
    return proxy


@in_cluster
async def test_a_proxy_whose_clock_is_far_ahead_cannot_write_nor_carry_others_along(cluster: LoopbackCluster) -> None:
    sane, far = cluster.proxy(), far_proxy(cluster)
    await sane.service.create_container("AUTH_a", "c", {})
    await put(sane.service, NAME, b"one")
    with pytest.raises(Unavailable):
        await put(far.service, NAME, b"two")
    with pytest.raises(Unavailable):
        await far.service.create_container("AUTH_a", "d", {})
    assert await get(far.service, NAME) == b"one"
    await put(sane.service, NAME, b"three")
    assert await get(sane.service, NAME) == b"three"
    assert abs(microseconds_of(sane.clock.now()) - wall_us()) < 3600 * 1_000_000


@in_cluster
async def test_names_from_a_time_of_wrong_clocks_can_be_written_and_deleted(cluster: LoopbackCluster) -> None:
    cluster.wall_offset_s = CENTURY_US / 1e6  # of the devices
    for device in cluster.devices:
        device.indexes._wall_us = cluster.time_us
    far = far_proxy(cluster)
    await far.service.create_container("AUTH_a", "c", {"colour": "red"})
    await put(far.service, NAME, b"old")
    cluster.wall_offset_s = 0.0
    sane = cluster.proxy()
    assert await get(sane.service, NAME) == b"old"
    await put(sane.service, NAME, b"new")
    assert await get(cluster.proxy().service, NAME) == b"new"
    other = ObjectName("AUTH_a", "c", "another")
    await put(sane.service, other, b"x")  # what was met does not make later writes of it far ahead
    version = cluster.devices[0].blobs.stat(cluster.key(*other)) or cluster.devices[1].blobs.stat(cluster.key(*other))
    assert version is not None
    assert microseconds_of(version.timestamp) < wall_us() + 1_000_000
    await sane.service.update_container("AUTH_a", "c", {"colour": "blue"})
    assert (await sane.service.container_info("AUTH_a", "c")).metadata["colour"] == "blue"
    assert await sane.service.delete_object(NAME)
    assert await sane.service.delete_object(other)
    await sane.service.delete_container("AUTH_a", "c")
    assert await cluster.proxy().service.create_container("AUTH_a", "c", {})


@in_cluster
async def test_a_device_says_why_it_refuses(cluster: LoopbackCluster) -> None:
    device = cluster.devices[0]
    far = HybridClock(1, lambda: wall_us() + CENTURY_US).now()
    with pytest.raises(RemoteError) as refused:
        device.blobs.put(BlobPut(b"k" * 16, far, 0, b""), b"data")
    assert refused.value.code == Refusal.CLOCK_AHEAD
    assert abs(refused.value.detail - wall_us()) < 60_000_000
    await device.blobs.put(BlobPut(b"k" * 16, pack(wall_us() + 3600 * 1_000_000, 0, 1), 0, b""), b"data")
