"""proxy.objects.register: writes that arrive after others have read, copied and replaced them, to the letter."""

import asyncio
import functools

from cluster.clock import ZERO, Timestamp, node_of, pack, wall_us
from proxy.objects.register import Register
from storage import metadata as stored
from storage.messages import BlobPromise, BlobPut, Operation, Version, parse
from storage.metadata import Lineage, ObjectMetadata
from tests.loopback import LoopbackCluster, LoopbackPeer, LoopbackProxy, Loss, in_cluster, until

on_three_devices = functools.partial(in_cluster, device_count=3)
KEY = bytes(16)
LATE_S = 0.3
METADATA = ObjectMetadata("a", "c", "o", 1, "", "", 0, {}, {}, {}, {})


class ConditionFailed(Exception):
    """What is there is not what a write wants."""


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


@on_three_devices
async def test_a_write_is_not_refused_for_what_it_has_written_itself(cluster: LoopbackCluster) -> None:
    """Its try is at device 0 only, and another one's, which is older, at device 2 only.

    Its second promise comes from 1 and 2: so it finds what the condition does not want, and not on a quorum.
    """
    writer, reader = cluster.proxy(), register_of(cluster.proxy())
    client = [LoopbackPeer(cluster, device_id, "test") for device_id in range(3)]
    older = BlobPut(KEY, pack(wall_us() - 1000, 0, 9), 0, stored.pack(METADATA, Lineage((ZERO,))))

    def absent(version: Version | None) -> None:
        if version is not None:
            raise ConditionFailed

    def lose(operation: int) -> Loss | None:
        return Loss.REQUEST if operation in (Operation.BLOB_PROMISE, Operation.BLOB_PUT) else None

    def lose_one(operation: int) -> Loss | None:
        writer.peers[0].faults.loss = lambda _operation: None
        return lose(operation)

    writer.peers[2].faults.loss = lose  # so the first promise comes from 0 and 1
    writer.peers[1].faults.delay_s = LATE_S
    writing = asyncio.create_task(register_of(writer).put(KEY, 0, METADATA, b"mine", absent))
    await until(lambda: timestamp_at(cluster, 0) is not None)
    mine = timestamp_at(cluster, 0)
    assert mine is not None
    far = pack(wall_us() + 1_000_000, 0, node_of(mine))
    await client[1].call(Operation.BLOB_PROMISE, BlobPromise(KEY, far))
    await client[2].call(Operation.BLOB_PUT, older, b"older")
    writer.peers[2].faults.loss = lambda _operation: None
    writer.peers[1].faults.delay_s = 0.0
    writer.peers[0].faults.loss = lose_one
    outcome = await asyncio.gather(writing, return_exceptions=True)
    found = await value(reader)
    assert found == (b"older" if isinstance(outcome[0], ConditionFailed) else b"mine"), outcome


@on_three_devices
async def test_a_condition_that_changes_its_mind_refuses_for_good(cluster: LoopbackCluster) -> None:
    """Something expires meanwhile: a quorum has had it since before the try, which device 0 has taken."""
    writer, reader = cluster.proxy(), register_of(cluster.proxy())
    client = [LoopbackPeer(cluster, device_id, "test") for device_id in range(3)]
    await put(reader, b"first")
    await until(lambda: None not in [timestamp_at(cluster, device_id) for device_id in range(3)])
    first = timestamp_at(cluster, 0)
    has_expired = False

    def there(_version: Version | None) -> None:
        if has_expired:
            raise ConditionFailed

    def slow_down(operation: int) -> None:
        if operation == Operation.BLOB_PUT:
            writer.peers[1].faults.delay_s = writer.peers[2].faults.delay_s = LATE_S / 3

    def lose_promises(operation: int) -> Loss | None:
        return Loss.REQUEST if operation == Operation.BLOB_PROMISE and has_expired else None

    writer.peers[0].faults.loss = lose_promises
    writer.peers[1].faults.loss = writer.peers[2].faults.loss = slow_down
    writing = asyncio.create_task(register_of(writer).put(KEY, 0, METADATA, b"mine", there))
    await until(lambda: timestamp_at(cluster, 0) != first)
    mine = timestamp_at(cluster, 0)
    assert mine is not None
    has_expired = True
    far = pack(wall_us() + 1_000_000, 0, node_of(mine))
    for peer in client[1:]:
        await peer.call(Operation.BLOB_PROMISE, BlobPromise(KEY, far))
    outcome = await asyncio.gather(writing, return_exceptions=True)
    assert isinstance(outcome[0], ConditionFailed)
    with cluster.without(cluster.devices[2]):
        assert await value(reader) == b"first"


@on_three_devices
async def test_a_deletion_that_needed_a_second_look_tells_what_it_has_deleted(cluster: LoopbackCluster) -> None:
    writer, reader = cluster.proxy(), register_of(cluster.proxy())
    client = [LoopbackPeer(cluster, device_id, "test") for device_id in range(3)]
    await put(reader, b"first")
    await until(lambda: None not in [timestamp_at(cluster, device_id) for device_id in range(3)])
    first = timestamp_at(cluster, 0)

    def slow_down(operation: int) -> None:
        if operation == Operation.BLOB_DELETE:
            writer.peers[1].faults.delay_s = writer.peers[2].faults.delay_s = LATE_S / 3

    writer.peers[1].faults.loss = writer.peers[2].faults.loss = slow_down
    deleting = asyncio.create_task(register_of(writer).delete(KEY, 0, METADATA, lambda _version: None))
    await until(lambda: timestamp_at(cluster, 0) != first)
    mine = timestamp_at(cluster, 0)
    assert mine is not None
    far = pack(wall_us() + 1_000_000, 0, node_of(mine))
    for peer in client[1:]:
        await peer.call(Operation.BLOB_PROMISE, BlobPromise(KEY, far))
    _timestamp, replaced = await deleting
    assert replaced is not None
    assert (replaced.timestamp, replaced.size) == (first, len(b"first"))
    assert await value(reader) == b""
