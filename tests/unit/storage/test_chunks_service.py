"""storage.chunks.service: the chunk operations of a device, as a gateway gets them."""

import asyncio
import os
import threading
from typing import Any

import pytest

from cluster.wire import RemoteError
from storage.chunks.version import CHUNK_SIZE, NEVER
from storage.messages import ChunkFlag, ChunkPull, ChunkRead, ChunkWrite, Operation, Refusal
from tests.loopback import LoopbackCluster, LoopbackPeer, in_cluster

FAMILY = bytes(range(16))
BLOCK = os.urandom(4096)


def client(cluster: LoopbackCluster, device_id: int = 0) -> LoopbackPeer:
    """Return a connection to a device."""
    return LoopbackPeer(cluster, device_id, "gateway")


def write(sequence: int, previous: Any = None, offset: int = 0, size: int = 4096, **more: Any) -> ChunkWrite:
    """Return a write of epoch 1 to chunk 7 of layer 1, on top of the one before."""
    if previous is None:
        previous = (1, sequence - 1) if sequence > 1 else (0, 0)
    fields = {"chunk": 7, "layer": 1, "base": None, "epoch": 1, "extents": ((offset, size),)} | more
    return ChunkWrite(family=FAMILY, sequence=sequence, previous=previous, **fields)  # type: ignore[arg-type]


async def read(
    peer: LoopbackPeer, layers: Any, offset: int = 0, length: int = 8192, epoch: int = 0
) -> tuple[Any, bytes]:
    """Return the layer that answered, and the bytes."""
    reply = await peer.call(Operation.CHUNK_READ, ChunkRead(FAMILY, 7, layers, offset, length, epoch))
    return reply.metadata[0], bytes(reply.payload)


async def refusal(peer: LoopbackPeer, operation: Operation, message: Any, payload: bytes = b"") -> tuple[int, Any]:
    """Return how a request is refused."""
    with pytest.raises(RemoteError) as refused:
        await peer.call(operation, message, payload)
    return refused.value.code, refused.value.detail


@in_cluster
async def test_what_is_written_is_read_and_the_rest_is_zeros(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    assert await read(peer, ((1, (0, 0)),)) == (0, b"")
    assert (await peer.call(Operation.CHUNK_WRITE, write(1, offset=4096), BLOCK)).metadata == ()
    assert await read(peer, ((1, (1, 1)),)) == (1, bytes(4096) + BLOCK)
    await cluster.devices[0].chunks.settled()
    assert await read(peer, ((1, (1, 1)),)) == (1, bytes(4096) + BLOCK)
    assert await read(peer, ((1, None),), 4000, 200) == (1, bytes(96) + BLOCK[:104])
    assert (await peer.call(Operation.CHUNK_STAT, (FAMILY, (2, 1), 7))).metadata == (0, ((1, (1, 1)),))


@in_cluster
async def test_a_write_goes_only_on_top_of_the_version_that_it_names(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    for previous in ((0, 0), (1, 2), (2, 0)):
        stale = write(3, previous=previous)
        code, detail = await refusal(peer, Operation.CHUNK_WRITE, stale, BLOCK)
        assert (code, detail[0]) == (Refusal.STALE_CHUNK, (1, 1))
    await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)  # a repeat is answered as done
    await peer.call(Operation.CHUNK_WRITE, write(1, flags=ChunkFlag.FUA), BLOCK)
    await peer.call(Operation.CHUNK_WRITE, write(5, previous=(1, 1), extents=()))
    assert (await peer.call(Operation.CHUNK_STAT, (FAMILY, (1,), 7))).metadata == (1, ((1, (1, 5)),))
    assert await read(peer, ((1, (1, 5)),), 0, 4096) == (1, BLOCK)


@in_cluster
async def test_many_writes_are_answered_one_by_one(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    writes = (write(1), write(3, previous=(1, 2)), write(2, offset=8192), write(3, extents=((5000, 100), (0, 10))))
    payload = BLOCK + bytes(4096) + BLOCK[::-1] + bytes(range(110))
    statuses = (await peer.call(Operation.CHUNK_WRITE_MANY, writes, payload)).metadata
    assert [status if status is None else status[0] for status in statuses] == [None, Refusal.STALE_CHUNK, None, None]
    expected = bytearray(12288)
    expected[:4096], expected[8192:] = BLOCK, BLOCK[::-1]
    expected[5000:5100], expected[:10] = bytes(range(100)), bytes(range(100, 110))
    assert await read(peer, ((1, (1, 3)),), 0, 12288) == (1, bytes(expected))
    assert await refusal(peer, Operation.CHUNK_WRITE_MANY, writes, payload + b"x") == (
        Refusal.BAD_REQUEST,
        f"operation {int(Operation.CHUNK_WRITE_MANY)}: {len(payload) + 1} bytes for writes of {len(payload)}",
    )


@in_cluster
async def test_an_older_writer_is_fenced_off_for_good(cluster: LoopbackCluster) -> None:
    peer, device = client(cluster), cluster.devices[0]
    await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    await peer.call(Operation.CHUNK_FENCE, (FAMILY, 1, 5))
    for again in range(2):
        assert await refusal(peer, Operation.CHUNK_WRITE, write(2), BLOCK) == (Refusal.FENCED, 5)
        assert await refusal(peer, Operation.CHUNK_FENCE, (FAMILY, 1, 4)) == (Refusal.FENCED, 5)
        assert (await peer.call(Operation.CHUNK_STAT, (FAMILY, (1,), 7))).metadata == (5, ((1, (1, 1)),))
        await (device.stop() if again else device.crash())
        device.start()
    await peer.call(Operation.CHUNK_WRITE, write(1, previous=(1, 1), epoch=5), BLOCK)
    await peer.call(Operation.CHUNK_WRITE, write(1, chunk=8, epoch=9), BLOCK)
    assert await refusal(peer, Operation.CHUNK_WRITE, write(2, previous=(5, 1), epoch=8), BLOCK) == (Refusal.FENCED, 9)


@in_cluster
async def test_a_chunk_begins_as_its_base_and_leaves_that_alone(cluster: LoopbackCluster) -> None:
    peer, device = client(cluster), cluster.devices[0]
    await peer.call(Operation.CHUNK_WRITE, write(1, size=8192), BLOCK * 2)
    code, _ = await refusal(peer, Operation.CHUNK_WRITE, write(2, (0, 0), layer=2, base=(1, (1, 2))), BLOCK)
    assert code == Refusal.STALE_CHUNK
    await peer.call(Operation.CHUNK_WRITE, write(2, (0, 0), layer=2, base=(1, (1, 1))), bytes(4096))
    chain = ((2, (1, 2)), (1, (1, 1)))
    for _ in range(2):
        assert await read(peer, chain) == (2, bytes(4096) + BLOCK)
        assert await read(peer, chain[1:]) == (1, BLOCK * 2)
        await device.chunks.settled()
    await device.crash()
    device.start()
    assert await read(peer, chain) == (2, bytes(4096) + BLOCK)


@in_cluster
async def test_a_read_is_refused_where_a_version_is_missing_or_is_another(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    await peer.call(Operation.CHUNK_WRITE, write(2), BLOCK)
    for layers in (((1, (1, 1)),), ((1, (1, 3)),), ((2, (1, 3)), (1, (1, 2))), ((1, (0, 0)),)):
        message = ChunkRead(FAMILY, 7, layers, 0, 4096)
        assert (await refusal(peer, Operation.CHUNK_READ, message))[0] == Refusal.STALE_CHUNK, layers
    assert await read(peer, ((1, (1, 1)),), 0, 4096, epoch=1) == (1, BLOCK), "its writer's own later write"
    message = ChunkRead(FAMILY, 7, ((1, (1, 1)),), 0, 4096, 2)
    assert (await refusal(peer, Operation.CHUNK_READ, message))[0] == Refusal.STALE_CHUNK, "another writer's"
    message = message._replace(length=CHUNK_SIZE + 1)
    assert (await refusal(peer, Operation.CHUNK_READ, message))[0] == Refusal.BAD_REQUEST


@in_cluster
async def test_trim_gives_space_back_and_zero_keeps_it(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    size = 1 << 20
    await peer.call(Operation.CHUNK_WRITE, write(1, size=size), os.urandom(size))
    await peer.call(Operation.CHUNK_WRITE, write(2, size=size // 2, flags=ChunkFlag.TRIM))
    await peer.call(Operation.CHUNK_WRITE, write(3, offset=size, size=4096), BLOCK)
    assert await read(peer, ((1, (1, 3)),), 0, size // 2) == (1, bytes(size // 2))
    extents = (await peer.call(Operation.CHUNK_EXTENTS, (FAMILY, 7, 1))).metadata
    assert extents == ((size // 2, size // 2 + 4096),)
    await peer.call(Operation.CHUNK_WRITE, write(4, offset=size // 2, size=size // 4, flags=ChunkFlag.ZERO))
    assert await read(peer, ((1, (1, 4)),), size // 2, size // 4) == (1, bytes(size // 4))
    await cluster.devices[0].chunks.settled()
    ((number, version, allocated),) = (await peer.call(Operation.CHUNK_MAP, (FAMILY, 1, 0, 10))).metadata
    assert (number, version) == (7, (1, 4))
    assert size // 2 <= allocated <= size


@in_cluster
async def test_a_stale_replica_is_brought_up_by_a_pull(cluster: LoopbackCluster) -> None:
    one, other = client(cluster, 1), client(cluster, 2)
    for peer in (one, other):
        await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    await one.call(Operation.CHUNK_FENCE, (FAMILY, 1, 2))
    previous = (1, 1)
    for sequence in range(2, 6):
        message = write(sequence, previous, epoch=2, offset=sequence * 65536)
        await one.call(Operation.CHUNK_WRITE, message, BLOCK)
        previous = (2, sequence)
    await other.call(Operation.CHUNK_WRITE, write(9, (1, 1), offset=200), BLOCK)  # that no other replica has
    pull = ChunkPull(FAMILY, 7, 1, (2, 5), 1)
    assert (await other.call(Operation.CHUNK_PULL, pull)).metadata == ((2, 5),)
    chain = ((1, (2, 5)),)
    expected = await read(one, chain, 0, 1 << 20)
    for _ in range(2):
        assert await read(other, chain, 0, 1 << 20) == expected
        assert (await other.call(Operation.CHUNK_STAT, (FAMILY, (1,), 7))).metadata == (2, ((1, (2, 5)),))
        await cluster.devices[2].crash()
        cluster.devices[2].start()
    await other.call(Operation.CHUNK_WRITE, write(6, (2, 5), epoch=2), BLOCK)
    assert (await other.call(Operation.CHUNK_PULL, pull)).metadata == ((2, 6),), "it has that already"
    too_new = pull._replace(version=(2, 7))
    assert (await refusal(other, Operation.CHUNK_PULL, too_new))[0] == Refusal.STALE_CHUNK
    assert (await refusal(other, Operation.CHUNK_PULL, pull._replace(version=(1, 9))))[0] == Refusal.STALE_CHUNK
    assert (await client(cluster, 3).call(Operation.CHUNK_PULL, pull)).metadata == ((2, 5),)


@in_cluster
async def test_a_layer_that_is_dropped_stays_away(cluster: LoopbackCluster) -> None:
    peer, device = client(cluster), cluster.devices[0]
    for number in range(3):
        await peer.call(Operation.CHUNK_WRITE, write(1, chunk=number), BLOCK)
    await peer.call(Operation.CHUNK_WRITE, write(2, (0, 0), chunk=0, layer=2, base=(1, (1, 1)), offset=4096), BLOCK)
    await peer.call(Operation.CHUNK_DROP, (FAMILY, 1, (2,)))
    await peer.call(Operation.CHUNK_WRITE, write(7, (0, 0), chunk=2, offset=4096), BLOCK)
    for _ in range(2):
        found = (await peer.call(Operation.CHUNK_MAP, (FAMILY, 1, 0, 10))).metadata
        assert [entry[:2] for entry in found] == [(0, (1, 1)), (1, (1, 1)), (2, (1, 7))]
        reply = await peer.call(Operation.CHUNK_READ, ChunkRead(FAMILY, 2, ((1, (1, 7)),), 0, 8192))
        assert bytes(reply.payload) == bytes(4096) + BLOCK
        await device.crash()
        device.start()
    await peer.call(Operation.CHUNK_DROP, (FAMILY, 1, None))
    for _ in range(2):
        assert (await peer.call(Operation.CHUNK_MAP, (FAMILY, 1, 0, 10))).metadata == ()
        refused = await refusal(peer, Operation.CHUNK_WRITE, write(1, chunk=4), BLOCK)
        assert refused == (Refusal.FENCED, NEVER)
        reply = await peer.call(Operation.CHUNK_READ, ChunkRead(FAMILY, 0, ((2, (1, 2)),), 0, 8192))
        assert bytes(reply.payload) == BLOCK * 2, "what was cloned from it is whole"
        await device.crash()
        device.start()
    await peer.call(Operation.CHUNK_DROP, (FAMILY, 1, None))


@in_cluster
async def test_a_device_that_lost_data_neither_tells_nor_takes_but_copies(cluster: LoopbackCluster) -> None:
    one, lost = client(cluster, 1), client(cluster, 2)
    await one.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    cluster.devices[2].service.votes.restrict()
    for operation, message, payload in (
        (Operation.CHUNK_STAT, (FAMILY, (1,), 7), b""),
        (Operation.CHUNK_FENCE, (FAMILY, 1, 3), b""),
        (Operation.CHUNK_WRITE, write(1), BLOCK),
        (Operation.CHUNK_WRITE_MANY, (write(1),), BLOCK),
        (Operation.CHUNK_READ, ChunkRead(FAMILY, 7, ((1, (0, 0)),), 0, 1), b""),
    ):
        assert (await refusal(lost, operation, message, payload))[0] == Refusal.REBUILDING
    assert (await lost.call(Operation.CHUNK_PULL, ChunkPull(FAMILY, 7, 1, (1, 1), 1))).metadata == ((1, 1),)


@in_cluster
async def test_what_makes_no_sense_is_a_bad_request(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    for operation, message, payload in (
        (Operation.CHUNK_WRITE, write(1), BLOCK + b"x"),
        (Operation.CHUNK_WRITE, write(1, offset=CHUNK_SIZE - 4095), BLOCK),
        (Operation.CHUNK_WRITE, write(1, offset=-1), BLOCK),
        (Operation.CHUNK_WRITE, write(1, chunk=1 << 32), BLOCK),
        (Operation.CHUNK_WRITE, write(1, layer=0), BLOCK),
        (Operation.CHUNK_WRITE, write(-1, (0, 0)), BLOCK),
        (Operation.CHUNK_WRITE, write(1)._replace(family=b"short"), BLOCK),
        (Operation.CHUNK_WRITE, (FAMILY, 7), BLOCK),
        (Operation.CHUNK_FENCE, (FAMILY, 1, 0), b""),
        (Operation.CHUNK_FENCE, (FAMILY, 1, -1), b""),
        (Operation.CHUNK_STAT, (FAMILY, (), 1), b""),
        (Operation.CHUNK_FLUSH, (), b""),
        (Operation.CHUNK_PULL, ChunkPull(FAMILY, 7, 1, (1, 1), 0), b""),
        (Operation.CHUNK_DROP, (FAMILY, 1, (-1,)), b""),
        (Operation.CHUNK_MAP, (FAMILY, 1), b""),
    ):
        assert (await refusal(peer, operation, message, payload))[0] == Refusal.BAD_REQUEST, (operation, message)


@in_cluster
async def test_a_copy_whose_asker_has_gone_is_put_in_its_place_and_known(cluster: LoopbackCluster) -> None:
    """A thread is at it: were it not known, what comes next would be written to the file that was there before."""
    one, device = client(cluster, 1), cluster.devices[2]
    other = client(cluster, 2)
    for peer in (one, other):
        await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    await one.call(Operation.CHUNK_WRITE, write(2, offset=4096), BLOCK)
    files, begun, may_end = device.chunks.files, threading.Event(), threading.Event()
    install = files.install_copy

    def slow(*place: Any) -> None:
        begun.set()
        may_end.wait(5)
        install(*place)

    files.install_copy = slow  # type: ignore[assignment,method-assign]
    assert device.service.chunks is not None
    pulls = device.service.chunks.pulls
    pulling = asyncio.ensure_future(pulls.copy(ChunkPull(FAMILY, 7, 1, (1, 2), 1)))
    await asyncio.to_thread(begun.wait, 5)
    pulling.cancel()
    await asyncio.sleep(0.01)
    may_end.set()
    await device.chunks.undisturbed.settle()
    assert (await other.call(Operation.CHUNK_STAT, (FAMILY, (1,), 7))).metadata == (1, ((1, (1, 2)),))
    await other.call(Operation.CHUNK_WRITE, write(3, offset=8192, flags=ChunkFlag.FUA), BLOCK)
    await device.stop()
    device.start()
    assert await read(other, ((1, (1, 3)),), 0, 12288) == (1, BLOCK * 3)


@in_cluster
async def test_what_is_being_dropped_goes_although_nobody_waits_for_it(cluster: LoopbackCluster) -> None:
    peer, store = client(cluster), cluster.devices[0].chunks
    await peer.call(Operation.CHUNK_WRITE, write(1), BLOCK)
    dropping = asyncio.ensure_future(store.drop(FAMILY, 1, (7,)))
    await asyncio.sleep(0)
    dropping.cancel()
    await store.undisturbed.settle()
    assert (await peer.call(Operation.CHUNK_STAT, (FAMILY, (1,), 7))).metadata == (1, ())
