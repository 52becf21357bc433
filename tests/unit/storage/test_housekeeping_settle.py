"""storage.housekeeping.settle: names that a dead write's promise keeps from being copied."""

import asyncio

import pytest

from cluster.clock import HybridClock, pack, wall_us
from cluster.wire import RemoteError
from storage import metadata as stored
from storage.blobs.turns import TURN_S
from storage.housekeeping.promise import Promises
from storage.housekeeping.settle import PATIENCE_S, Settle
from storage.lineage import lineage_of
from storage.messages import BlobDelete, BlobFetch, BlobPromise, BlobPut, Operation, Refusal, Version, parse
from storage.metadata import ObjectMetadata
from tests.loopback import LoopbackCluster, LoopbackPeer, in_cluster

KEY = bytes(16)
METADATA = stored.pack(ObjectMetadata("a", "c", "o", 4, "etag", "", 0, {}, {}, {}, {}))


def settler(cluster: LoopbackCluster) -> Settle:
    return Settle(Promises(cluster.placement("settler"), HybridClock(77)))


def peers(cluster: LoopbackCluster) -> list[LoopbackPeer]:
    own = cluster.proxy().peers
    return [own[device.id] for device in cluster.holders(KEY)]


async def versions(replicas: list[LoopbackPeer]) -> list[Version | None]:
    answers = [await peer.call(Operation.BLOB_HEAD, (KEY,)) for peer in replicas]
    return [None if answer.metadata is None else parse(Version, answer.metadata) for answer in answers]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_version_that_a_dead_write_keeps_from_replicas_is_brought_past_its_promise(deleted: bool) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        first, *others = replicas = peers(cluster)
        older, newer = pack(wall_us(), 0, 1), pack(wall_us() + 1000, 0, 2)
        if deleted:
            await first.call(Operation.BLOB_DELETE, BlobDelete(KEY, older, 0, METADATA))
        else:
            await first.call(Operation.BLOB_PUT, BlobPut(KEY, older, 0, METADATA), b"data")
        for peer in others:
            await peer.call(Operation.BLOB_PROMISE, BlobPromise(KEY, newer))
        with pytest.raises(RemoteError) as caught:
            await others[0].call(Operation.BLOB_FETCH, BlobFetch(KEY, older, first.device_id))
        assert caught.value.code == Refusal.PROMISED
        await asyncio.sleep(1.5 * TURN_S)
        settle = settler(cluster)
        for _ in range(3):  # the settler's clock learns
            await settle._settle(KEY)
        found = await versions(replicas)
        assert found[0] is not None
        assert found[0].timestamp > newer
        assert found[0].deleted is deleted
        assert lineage_of(found[0]).origin == older
        assert found == [found[0]] * 3

    scenario()


@in_cluster
async def test_what_all_have_is_left_as_it_is(cluster: LoopbackCluster) -> None:
    replicas = peers(cluster)
    timestamp = pack(wall_us(), 0, 1)
    for peer in replicas:
        await peer.call(Operation.BLOB_PUT, BlobPut(KEY, timestamp, 0, METADATA), b"data")
    assert await settler(cluster)._settle(KEY)
    assert [version.timestamp for version in await versions(replicas) if version] == [timestamp] * 3


@in_cluster
async def test_names_wait_until_their_writers_must_be_gone(cluster: LoopbackCluster) -> None:
    settle = settler(cluster)
    settle.note(KEY)
    await settle.step()
    assert settle.settled_count == 0
    settle._waiting[KEY] -= PATIENCE_S
    await settle.step()
    assert settle.settled_count == 1
    assert not settle._waiting
