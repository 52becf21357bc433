"""storage.copying: versions go from device to device, many at a time, damage and replacement included."""

import asyncio

import pytest

from cluster.clock import Timestamp, pack
from cluster.wire import RemoteError
from proxy.objects.model import ObjectName
from storage import copying
from storage.blobs.reader import FileReader
from storage.copying import ALONE_FROM, KEYS, Listed
from storage.housekeeping.budget import Budget
from storage.messages import COPY_ALONE, BlobCopyMany, BlobGet, BlobPut, Operation, Refusal
from tests.loopback import LoopbackCluster, LoopbackDevice, in_cluster, put, until
from tests.unit.storage.moving import held


def at(number: int) -> Timestamp:
    return pack(number, 0, 1)


def key_of(number: int) -> bytes:
    return number.to_bytes(4, "big") * 4


async def store(device: LoopbackDevice, number: int, data: bytes, version: int = 1) -> Listed:
    message = BlobPut(key_of(number), at(version), 1, b"\x80")
    await device.blobs.put(message, data)
    return key_of(number), at(version), False


@in_cluster
async def test_many_small_versions_take_few_messages(cluster: LoopbackCluster) -> None:
    source, target = cluster.devices[:2]
    listed = [await store(source, number, b"%d" % number * 100) for number in range(3 * KEYS)]
    fetched = await target.service.copies.fetch_many(listed, 0)
    assert (fetched.count, fetched.failures, fetched.overtaken_count) == (len(listed), [], 0)
    assert held(target) == held(source)
    assert target.peers[0].sent == [Operation.BLOB_COPY_MANY] * 3
    for number in (0, 50, 95):
        data = await _got(target, number)
        assert data == b"%d" % number * 100
    again = await target.service.copies.fetch_many(listed, 0)
    assert again.count == 0
    assert len(target.peers[0].sent) == 3


@in_cluster
async def test_large_ones_come_alone_and_what_does_not_fit_comes_next(cluster: LoopbackCluster) -> None:
    source, target = cluster.devices[:2]
    listed = [await store(source, number, bytes(ALONE_FROM - 1)) for number in range(8)]
    listed.append(await store(source, 8, bytes(ALONE_FROM)))
    fetched = await target.service.copies.fetch_many(listed, 0)
    assert fetched.count == 9
    assert fetched.byte_count == 8 * (ALONE_FROM - 1) + ALONE_FROM
    assert held(target) == held(source)
    assert target.peers[0].sent.count(Operation.BLOB_COPY_MANY) == 2
    assert target.peers[0].sent.count(Operation.BLOB_COPY) == 1


@in_cluster
async def test_a_streamed_object_is_copied_with_its_metadata(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("a", "c", {})
    await put(service, ObjectName("a", "c", "o"), bytes(range(256)) * 9000)
    key = cluster.key("a", "c", "o")
    source = cluster.holders(key)[0]
    target = next(device for device in cluster.devices if device not in cluster.holders(key))
    await until(lambda: key in held(source))
    wanted = held(source)[key]
    fetched = await target.service.copies.fetch_many([(key, Timestamp(wanted), False)], source.id)
    assert (fetched.count, fetched.byte_count) == (1, 256 * 9000)
    assert target.service.copied_objects == 1
    assert target.service.copied_bytes == 256 * 9000


@in_cluster
async def test_what_the_source_has_replaced_lost_or_damaged_is_told_apart(cluster: LoopbackCluster) -> None:
    source, target = cluster.devices[:2]
    fine, newer, absent, damaged = [await store(source, number, b"%d" % number) for number in range(4)]
    await store(source, 1, b"newer", version=2)
    await source.blobs.forget([absent[:2]])
    get = source.blobs.get

    def get_or_refuse(message: object) -> object:
        if message.key == damaged[0]:  # type: ignore[attr-defined]
            raise RemoteError(Refusal.CORRUPT, "flipped")
        return get(message)  # type: ignore[arg-type]

    source.blobs.get = get_or_refuse  # type: ignore[assignment]
    fetched = await target.service.copies.fetch_many([fine, newer, absent, damaged], 0)
    assert fetched.count == 2
    assert fetched.overtaken_count == 1
    assert [(key, error.code) for key, error in fetched.failures] == [(damaged[0], Refusal.CORRUPT)]
    assert held(target) == {fine[0]: at(1), newer[0]: at(2)}


@in_cluster
async def test_the_answer_covers_at_least_the_first_key_and_no_more_than_the_limit(cluster: LoopbackCluster) -> None:
    source = cluster.devices[0]
    for number in range(4):
        await store(source, number, bytes(1000))
    await store(source, 4, bytes(ALONE_FROM))
    peer = cluster.devices[1].peers[0]
    keys = tuple(key_of(number) for number in range(4))
    reply = await peer.call(Operation.BLOB_COPY_MANY, BlobCopyMany(keys, 2500))
    assert [status for status, _version in reply.metadata] == [1000, 1000]
    assert len(reply.payload) == 2000
    reply = await peer.call(Operation.BLOB_COPY_MANY, BlobCopyMany(keys, 1))
    assert len(reply.metadata) == 1
    reply = await peer.call(Operation.BLOB_COPY_MANY, BlobCopyMany((key_of(4), key_of(9)), 1 << 20))
    assert [status for status, _version in reply.metadata] == [COPY_ALONE, 0]
    assert reply.metadata[1][1] is None


@in_cluster
async def test_what_a_source_copies_itself_does_not_keep_others_waiting_until_they_give_up(
    cluster: LoopbackCluster,
) -> None:
    """It pays for a large object for minutes, when clients leave it little."""
    source, target = cluster.devices[:2]
    listed = [await store(source, number, b"data") for number in range(3)]
    budget = Budget(1 << 20)
    source.service._budget = budget
    paying = asyncio.ensure_future(budget.took(1 << 32))
    await asyncio.sleep(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "GIVE_S", 0.05)
        patch.setattr(copying, "FETCH_TIMEOUT_S", 2.0)
        fetched = await target.service.copies.fetch_many(listed, 0)
    assert fetched.count == 3
    assert budget.took_bytes > 1 << 32
    paying.cancel()


@in_cluster
async def test_a_source_without_it_is_refused_as_not_found(cluster: LoopbackCluster) -> None:
    listed = await store(cluster.devices[0], 1, b"x")
    with pytest.raises(RemoteError) as refused:
        await cluster.devices[1].service.fetch(listed[0], at(5), 0)
    assert refused.value.code == Refusal.NOT_FOUND


async def _got(device: LoopbackDevice, number: int) -> bytes:
    answer = device.blobs.get(BlobGet(key_of(number)))
    _version, data = answer if isinstance(answer, tuple) else await answer
    assert not isinstance(data, FileReader)
    return bytes(data)
