"""proxy.objects.register: writes that arrive after others have read, copied and replaced them, to the letter."""

import asyncio
import functools

from cluster.clock import Timestamp, node_of, pack, wall_us
from proxy.objects.register import Register
from storage import metadata as stored
from storage.messages import BlobPromise, BlobPut, Operation, Version, parse
from storage.metadata import Lineage, ObjectMetadata
from tests.loopback import LoopbackCluster, LoopbackPeer, LoopbackProxy, in_cluster, until

on_three_devices = functools.partial(in_cluster, device_count=3)
KEY = bytes(16)
LATE_S = 0.3
METADATA = ObjectMetadata("a", "c", "o", 1, "", "", 0, {}, {}, {}, {})


def register_of(proxy: LoopbackProxy) -> Register:
    return Register(proxy.placement, proxy.clock)


def put(register: Register, data: bytes) -> "asyncio.Task[object]":
    return asyncio.create_task(register.put(KEY, 0, METADATA, data))  # type: ignore[arg-type]


async def value(register: Register) -> bytes:
    held = await register.get(KEY)
    return b"" if held is None else bytes(held.payload)


def timestamp_at(cluster: LoopbackCluster, device_id: int) -> Timestamp | None:
    version = cluster.devices[device_id].blobs.stat(KEY)
    return None if version is None else version.timestamp


async def begin_late(cluster: LoopbackCluster, writer: LoopbackProxy) -> "asyncio.Task[object]":
    """Begin to write b"late": device 0 has it soon, the others will hear of it when all is over."""
    for device_id in (1, 2):
        writer.peers[device_id].faults.delay_s = LATE_S
    writing = put(register_of(writer), b"late")
    await until(lambda: timestamp_at(cluster, 0) is not None)
    return writing


@on_three_devices
async def test_what_was_read_and_replaced_is_not_written_again(cluster: LoopbackCluster) -> None:
    late, other = cluster.proxy(), cluster.proxy()
    writing = await begin_late(cluster, late)
    reader = register_of(other)
    # it asks two of three, others each time, and brings what it finds to a quorum
    assert b"late" in [await value(reader) for _ in range(3)]
    await put(reader, b"newer")
    await writing
    assert await value(reader) == await value(register_of(late)) == b"newer"


@on_three_devices
async def test_what_others_have_built_upon_and_replaced_is_not_written_again(cluster: LoopbackCluster) -> None:
    """Other metadata over it; the version itself has never been at the other devices."""
    late, other = cluster.proxy(), cluster.proxy()
    writing = await begin_late(cluster, late)

    def there(version: Version | None) -> None:
        assert version is not None

    register = register_of(other)
    other.peers[1].faults.delay_s = LATE_S / 10  # so device 0 is in its first quorum
    await register.update(KEY, lambda metadata: metadata._replace(content_type="text/html"), there)
    await put(register, b"newer")
    await writing
    assert await value(register) == await value(register_of(late)) == b"newer"


@on_three_devices
async def test_a_write_that_was_built_upon_has_happened_once_that_is_on_a_quorum(cluster: LoopbackCluster) -> None:
    """The only device that can tell goes down right after the write was acknowledged."""
    late, reader = cluster.proxy(), register_of(cluster.proxy())
    writer = register_of(late)
    client = [LoopbackPeer(cluster, device_id, "test") for device_id in range(3)]

    def absent(version: Version | None) -> None:
        assert version is None, "the condition was looked at again"

    def slow_down(operation: int) -> None:
        if operation == Operation.BLOB_PUT:
            for device_id in (1, 2):
                late.peers[device_id].faults.delay_s = LATE_S / 3

    late.peers[1].faults.loss = late.peers[2].faults.loss = slow_down
    writing = asyncio.create_task(writer.put(KEY, 0, METADATA, b"first", absent))
    await until(lambda: timestamp_at(cluster, 0) is not None)
    first = timestamp_at(cluster, 0)
    assert first is not None
    far = pack(wall_us() + 1_000_000, 0, node_of(first))  # of the same process: it need not wait for its turn
    for peer in client[1:]:
        await peer.call(Operation.BLOB_PROMISE, BlobPromise(KEY, far))
    upon_it = stored.pack(METADATA, Lineage((first,)))
    second = BlobPut(KEY, pack(wall_us() + 500_000, 0, 9), 0, upon_it)
    await client[0].call(Operation.BLOB_PUT, second, b"second")
    await writing
    with cluster.without(cluster.devices[0]):
        assert await value(reader) == b"second"
    versions = [parse(Version, (await peer.call(Operation.BLOB_HEAD, (KEY,))).metadata) for peer in client]
    assert sum(stored.lineage_in(version.metadata).origin == second.timestamp for version in versions) >= 2
