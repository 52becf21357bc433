"""storage.service: a device's answers to the operations of storage.messages, as a peer gets them."""

import asyncio
import os

import pytest

from cluster.clock import Timestamp, pack
from cluster.wire import RemoteError, Request
from storage import metadata
from storage.messages import (
    BlobCopyMany,
    BlobDelete,
    BlobFetch,
    BlobFlag,
    BlobGet,
    BlobPromise,
    BlobPut,
    BlobReclaim,
    BlobUpdate,
    Changes,
    ChunkPull,
    ChunkRead,
    ChunkWrite,
    DatabaseKind,
    IndexChanges,
    IndexCreate,
    IndexInfo,
    IndexList,
    IndexMove,
    IndexReclaim,
    IndexRows,
    Info,
    Operation,
    Refusal,
    Row,
    Version,
    parse,
)
from storage.metadata import Lineage, ObjectMetadata
from storage.rings.document import Stage
from storage.service import UNFENCED
from tests.loopback import LoopbackCluster, LoopbackPeer, MiB, in_cluster, rings_of

KEY = bytes(range(16))
CONTAINER = bytes(range(16, 32))
METADATA = metadata.pack(ObjectMetadata("a", "c", "o", 5, "etag", "text/plain", 7, {}, {}, {}, {}))


def at(number: int) -> Timestamp:
    """Return the number-th timestamp."""
    return pack(number, 0, 1)


def client(cluster: LoopbackCluster, device_id: int = 0) -> LoopbackPeer:
    """Return a connection to a device."""
    return LoopbackPeer(cluster, device_id, "test")


async def refusal_of(peer: LoopbackPeer, operation: int, message: object) -> int:
    """Return the code with which a call is refused."""
    with pytest.raises(RemoteError) as refused:
        await peer.call(operation, message)
    return refused.value.code


async def stream(peer: LoopbackPeer, upload_id: bytes, data: bytes, size: int | None = None) -> tuple[int, ...]:
    """Prepare `data`; return the reply."""
    upload = peer.open(Operation.BLOB_PREPARE, (upload_id, size), 5.0)
    for start in range(0, len(data), MiB):
        await upload.send(data[start : start + MiB])
    return tuple((await upload.finish()).metadata)


@in_cluster
async def test_unknown_operations_and_wrong_shapes_are_bad_requests(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    assert await refusal_of(peer, 4711, ()) == Refusal.BAD_REQUEST
    for operation, message in (
        (Operation.BLOB_PUT, (KEY,)),
        (Operation.BLOB_STAT, ()),
        (Operation.BLOB_STAT, None),
        (Operation.BLOB_PROMISE, (KEY,)),
        (Operation.BLOB_PREPARE, (bytes(16), None)),
        (Operation.BLOB_GET, 5),
        (Operation.INDEX_ROWS, ("nonsense",)),
        (Operation.INDEX_INVENTORY, (1, b"")),
        (Operation.INDEX_LIST, ()),
        (Operation.BLOB_DIGESTS, (cluster.ring.part_power + 1, (0,))),
    ):
        assert await refusal_of(peer, operation, message) == Refusal.BAD_REQUEST, operation


@in_cluster
async def test_a_write_is_answered_with_what_it_replaced(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    reply = await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"data")
    assert reply.metadata is None
    reply = await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(2), BlobFlag.MANIFEST, METADATA), b"table")
    assert parse(Version, reply.metadata) == Version(at(1), False, 0, 4)
    reply = await peer.call(Operation.BLOB_DELETE, BlobDelete(KEY, at(3), 0, METADATA))
    assert parse(Version, reply.metadata) == Version(at(2), False, BlobFlag.MANIFEST, 5, METADATA)
    await stream(peer, bytes(16), bytes(2 * MiB))
    reply = await peer.call(Operation.BLOB_COMMIT, (bytes(16), KEY, at(4), 0, METADATA))
    previous = parse(Version, reply.metadata)
    assert (previous.timestamp, previous.deleted) == (at(3), True)


@in_cluster
async def test_something_newer_refuses_what_is_older_and_tells_its_timestamp(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(5), 0, METADATA), b"data")
    for operation, message in (
        (Operation.BLOB_PUT, BlobPut(KEY, at(4), 0, METADATA)),
        (Operation.BLOB_DELETE, BlobDelete(KEY, at(4), 0, METADATA)),
    ):
        with pytest.raises(RemoteError) as refused:
            await peer.call(operation, message, b"old")
        assert (refused.value.code, refused.value.detail) == (Refusal.SUPERSEDED, at(5))
    again = await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(5), 0, METADATA), b"data")
    assert again.metadata is None, "a version does not replace itself"


@in_cluster
async def test_a_version_that_comes_late_was_taken_if_it_was_here_before(cluster: LoopbackCluster) -> None:
    """A reader may have brought it: to refuse it would say that nobody has seen it."""
    peer = client(cluster)
    for number in (2, 4):
        await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(number), 0, METADATA), b"data")
    for operation, message in (
        (Operation.BLOB_PUT, BlobPut(KEY, at(2), 0, METADATA)),
        (Operation.BLOB_DELETE, BlobDelete(KEY, at(2), 0, METADATA)),
        (Operation.BLOB_COMMIT, (bytes(16), KEY, at(2), 0, METADATA)),
        (Operation.BLOB_UPDATE, BlobUpdate(KEY, at(1), at(2), 0, METADATA)),
        (Operation.BLOB_FETCH, BlobFetch(KEY, at(2), 1)),
    ):
        reply = await peer.call(operation, message)
        assert not reply.metadata, "what is newer was not replaced by it"
    assert parse(Version, (await peer.call(Operation.BLOB_STAT, (KEY,))).metadata).timestamp == at(4)
    assert await refusal_of(peer, Operation.BLOB_PUT, BlobPut(KEY, at(3), 0, METADATA)) == Refusal.SUPERSEDED


@in_cluster
async def test_a_version_that_comes_late_was_taken_if_what_is_here_was_decided_upon_it(
    cluster: LoopbackCluster,
) -> None:
    peer = client(cluster)
    descended = metadata.pack(metadata.unpack(METADATA), Lineage((at(3), at(1)), origin=at(6)))
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(8), 0, descended), b"data")
    for number in (1, 3, 6):
        await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(number), 0, METADATA), b"data")
    for number in (2, 7):
        assert await refusal_of(peer, Operation.BLOB_PUT, BlobPut(KEY, at(number), 0, METADATA)) == Refusal.SUPERSEDED


@in_cluster
async def test_a_version_that_comes_late_was_taken_if_it_is_just_being_replaced(cluster: LoopbackCluster) -> None:
    """Readers see it until what replaces it is durable: to refuse it would say that it has never been here."""
    peer = client(cluster)
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(2), 0, METADATA), b"data")
    newer = peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(4), 0, METADATA), b"data")
    reply = await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(2), 0, METADATA), b"data")
    assert newer.done()
    assert reply.metadata is None, "what is newer was not replaced by it"


@in_cluster
async def test_a_version_that_comes_late_was_taken_if_what_is_on_its_way_was_decided_upon_it(
    cluster: LoopbackCluster,
) -> None:
    peer = client(cluster)
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(5), 0, METADATA), b"data")
    descended = metadata.pack(metadata.unpack(METADATA), Lineage((at(3), at(1)), origin=at(6)))
    newer = peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(8), 0, descended), b"data")
    late = [peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(number), 0, METADATA), b"data") for number in (1, 3, 4)]
    await asyncio.wait([newer, *late])
    refusals = [call.exception() for call in late]
    assert refusals[:2] == [None, None]
    assert isinstance(refusals[2], RemoteError)
    assert refusals[2].code == Refusal.SUPERSEDED


@in_cluster
async def test_who_has_just_started_cannot_tell_what_was_here(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    for number in (2, 4):
        await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(number), 0, METADATA), b"data")
    await cluster.devices[0].stop()
    cluster.devices[0].start()
    for number in (2, 3):
        assert await refusal_of(peer, Operation.BLOB_PUT, BlobPut(KEY, at(number), 0, METADATA)) == Refusal.OVERTAKEN


@in_cluster
async def test_what_is_not_durable_refuses_nothing_that_is_older(cluster: LoopbackCluster) -> None:
    """Nor does it take its place: who is refused counts on it that what is newer stays."""
    peer = client(cluster)
    newer = peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(5), 0, METADATA), b"data")
    older = peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(4), 0, METADATA), b"data")
    await asyncio.wait([older])
    assert newer.done(), "refused before what is newer was durable"
    refusal = older.exception()
    assert isinstance(refusal, RemoteError)
    assert refusal.code == Refusal.SUPERSEDED


@in_cluster
async def test_stat_head_and_get_tell_of_the_same_version(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    for operation, message in (
        (Operation.BLOB_STAT, (KEY,)),
        (Operation.BLOB_HEAD, (KEY,)),
        (Operation.BLOB_GET, BlobGet(KEY)),
    ):
        assert (await peer.call(operation, message)).metadata is None
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"0123456789")
    stat = parse(Version, (await peer.call(Operation.BLOB_STAT, (KEY,))).metadata)
    head = parse(Version, (await peer.call(Operation.BLOB_HEAD, (KEY,))).metadata)
    got = await peer.call(Operation.BLOB_GET, BlobGet(KEY, 2, 5, at(1)))
    assert stat == Version(at(1), False, 0, 10)
    assert head == parse(Version, got.metadata) == stat._replace(metadata=METADATA)
    assert (got.payload, got.body) == (b"234", None)
    assert await refusal_of(peer, Operation.BLOB_GET, BlobGet(KEY, 0, None, at(2))) == Refusal.NOT_FOUND


@in_cluster
async def test_large_data_is_streamed_both_ways(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    data = os.urandom(5 * MiB + 17)
    assert await stream(peer, bytes(16), data, len(data)) == (len(data),)
    assert (await peer.call(Operation.BLOB_STAT, (KEY,))).metadata is None
    await peer.call(Operation.BLOB_COMMIT, (bytes(16), KEY, at(1), 0, METADATA))
    reply = await peer.call(Operation.BLOB_GET, BlobGet(KEY, 100))
    got = b""
    while piece := await reply.body.read():
        got += piece
    assert got == data[100:]
    assert await refusal_of(peer, Operation.BLOB_COMMIT, (bytes(16), KEY, at(2), 0, METADATA)) == Refusal.NOT_FOUND


@in_cluster
async def test_an_upload_of_another_size_than_announced_is_refused(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    with pytest.raises(RemoteError) as refused:
        await stream(peer, bytes(16), bytes(1000), 999)
    assert refused.value.code == Refusal.BAD_REQUEST
    assert cluster.devices[0].blobs.status()["uploads"] == 0


@in_cluster
async def test_an_aborted_upload_is_gone(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    await stream(peer, bytes(16), bytes(3 * MiB))
    await peer.call(Operation.BLOB_ABORT, (bytes(16),))
    await peer.call(Operation.BLOB_ABORT, (bytes(16),))
    assert await refusal_of(peer, Operation.BLOB_COMMIT, (bytes(16), KEY, at(2), 0, METADATA)) == Refusal.NOT_FOUND


@in_cluster
async def test_a_promise_tells_what_is_there_and_keeps_what_is_older_out(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"data")
    reply = await peer.call(Operation.BLOB_PROMISE, BlobPromise(KEY, at(3)))
    assert parse(Version, reply.metadata) == Version(at(1), False, 0, 4, METADATA)
    assert await refusal_of(peer, Operation.BLOB_PROMISE, BlobPromise(KEY, at(2))) == Refusal.PROMISED
    assert await refusal_of(peer, Operation.BLOB_PUT, BlobPut(KEY, at(2), 0, METADATA)) == Refusal.PROMISED
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(3), 0, METADATA), b"decided")
    assert await refusal_of(peer, Operation.BLOB_PROMISE, BlobPromise(KEY, at(3))) == Refusal.SUPERSEDED


@in_cluster
async def test_an_update_keeps_the_data_of_a_version_that_is_still_the_newest(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    renewed = metadata.pack(metadata.unpack(METADATA)._replace(user={"k": "v"}))
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"data")
    reply = await peer.call(Operation.BLOB_UPDATE, BlobUpdate(KEY, at(1), at(2), 0, renewed))
    assert reply.metadata == ()
    got = await peer.call(Operation.BLOB_GET, BlobGet(KEY))
    assert parse(Version, got.metadata) == Version(at(2), False, 0, 4, renewed)
    assert got.payload == b"data"
    late = BlobUpdate(KEY, at(1), at(3), 0, renewed)
    assert await refusal_of(peer, Operation.BLOB_UPDATE, late) == Refusal.NOT_FOUND


@pytest.mark.parametrize("size", [0, 100, 3 * MiB])
def test_a_version_is_fetched_from_another_device(size: int) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        source, target = client(cluster, 1), client(cluster, 0)
        data = os.urandom(size)
        await stream(source, bytes(16), data)
        await source.call(Operation.BLOB_COMMIT, (bytes(16), KEY, at(3), BlobFlag.UNLISTED, METADATA))
        await target.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"old")
        assert await refusal_of(target, Operation.BLOB_FETCH, BlobFetch(KEY, at(4), 1)) == Refusal.NOT_FOUND
        assert await refusal_of(target, Operation.BLOB_FETCH, BlobFetch(bytes(16), at(1), 1)) == Refusal.NOT_FOUND
        newer_is_here = await refusal_of(target, Operation.BLOB_FETCH, BlobFetch(KEY, at(2), 1))
        assert newer_is_here == Refusal.SUPERSEDED, "a copy, but no vote for what was asked for"
        await target.call(Operation.BLOB_FETCH, BlobFetch(KEY, at(3), 1))
        reply = await target.call(Operation.BLOB_GET, BlobGet(KEY))
        version = parse(Version, reply.metadata)
        assert version == Version(at(3), False, BlobFlag.UNLISTED, size, METADATA)
        got = bytes(reply.payload)
        while reply.body is not None and (piece := await reply.body.read()):
            got += piece
        assert got == data
        await source.call(Operation.BLOB_DELETE, BlobDelete(KEY, at(5), 0, METADATA))
        await target.call(Operation.BLOB_FETCH, BlobFetch(KEY, at(5), 1))
        assert parse(Version, (await target.call(Operation.BLOB_HEAD, (KEY,))).metadata).deleted

    scenario()


@in_cluster
async def test_what_is_here_already_is_not_fetched(cluster: LoopbackCluster) -> None:
    target = client(cluster, 0)
    await target.call(Operation.BLOB_PUT, BlobPut(KEY, at(2), 0, METADATA), b"data")
    cluster.take_down(cluster.devices[1])
    await target.call(Operation.BLOB_FETCH, BlobFetch(KEY, at(2), 1), timeout_s=1.0)
    cluster.bring_back(cluster.devices[1])


@in_cluster
async def test_a_fetch_from_a_device_that_is_down_or_asked_itself_is_refused_as_such(
    cluster: LoopbackCluster,
) -> None:
    target = client(cluster)
    cluster.take_down(cluster.devices[1])
    assert await refusal_of(target, Operation.BLOB_FETCH, BlobFetch(KEY, at(2), 0)) == Refusal.BAD_REQUEST
    assert await refusal_of(target, Operation.BLOB_FETCH, BlobFetch(KEY, at(2), 1)) == Refusal.BUSY


@in_cluster
async def test_replicas_are_compared_by_digests_subdigests_and_versions(cluster: LoopbackCluster) -> None:
    power = cluster.ring.part_power
    one, other = client(cluster, 0), client(cluster, 1)
    partition = cluster.ring.partition(KEY)
    everything = tuple(range(1 << power))

    async def digests(peer: LoopbackPeer) -> tuple[bytes, ...]:
        return tuple((await peer.call(Operation.BLOB_DIGESTS, (power, everything))).metadata)

    empty = await digests(one)
    await one.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"data")
    changed = [number for number in everything if (await digests(one))[number] != empty[number]]
    assert changed == [partition]
    assert await digests(other) == empty
    await other.call(Operation.BLOB_FETCH, BlobFetch(KEY, at(1), 0))
    assert await digests(other) == await digests(one)
    subdigests = (await one.call(Operation.BLOB_SUBDIGESTS, (power, partition))).metadata
    assert len(subdigests) == 256
    assert len(set(subdigests)) == 2
    versions = (await one.call(Operation.BLOB_VERSIONS, (bytes(16), None, 10))).metadata
    assert versions == ((KEY, at(1), False),)


@in_cluster
async def test_databases_are_made_filled_listed_and_pulled(cluster: LoopbackCluster) -> None:
    one, other = client(cluster, 0), client(cluster, 1)
    create = IndexCreate(DatabaseKind.CONTAINER, CONTAINER, "a", "c", at(1), {"k": ("v", at(1))})
    await one.call(Operation.INDEX_CREATE, create)
    rows = [Row(name, at(number), False, number, "etag") for number, name in enumerate("xyz", start=2)]
    await one.call(
        Operation.INDEX_ROWS, IndexRows(DatabaseKind.CONTAINER, CONTAINER, "a", "c", at(1), rows)
    )
    info, items, truncated = (
        await one.call(Operation.INDEX_LIST, IndexList(DatabaseKind.CONTAINER, CONTAINER, "a", "c", 2))
    ).metadata
    assert [Row(*item) for item in items] == rows[:2]
    assert truncated
    assert parse(Info, info).object_count == 3
    ask = IndexInfo(DatabaseKind.CONTAINER, CONTAINER, "a", "c")
    assert (await other.call(Operation.INDEX_INFO, ask)).metadata is None
    pulled = parse(Info, (await other.call(Operation.INDEX_INFO, ask._replace(sync_from=0))).metadata)
    assert pulled == parse(Info, info)
    page = await other.call(
        Operation.INDEX_CHANGES, IndexChanges(DatabaseKind.CONTAINER, CONTAINER, b"", 0, 10)
    )
    assert len(parse(Changes, page.metadata).rows) == 3
    inventories = [
        (await peer.call(Operation.INDEX_INVENTORY, (DatabaseKind.CONTAINER, b"", None, 10))).metadata
        for peer in (one, other)
    ]
    assert inventories[0] == inventories[1] != ()


@in_cluster
async def test_the_status_is_a_table_of_names_and_values(cluster: LoopbackCluster) -> None:
    cluster.devices[0].service._status = lambda: {"device": 0}
    assert (await client(cluster).call(Operation.STATUS, ())).metadata == ({"device": 0},)


# by which rings one asks

ARGUMENTS = {
    Operation.BLOB_PUT: BlobPut(KEY, at(1), 0, METADATA),
    Operation.BLOB_DELETE: BlobDelete(KEY, at(1), 0, METADATA),
    Operation.BLOB_COMMIT: (bytes(16), KEY, at(2), 0, METADATA),
    Operation.BLOB_ABORT: (bytes(16),),
    Operation.BLOB_STAT: (KEY,),
    Operation.BLOB_HEAD: (KEY,),
    Operation.BLOB_GET: BlobGet(KEY),
    Operation.BLOB_COPY: (KEY,),
    Operation.BLOB_COPY_MANY: BlobCopyMany((KEY,), 1000),
    Operation.BLOB_UPDATE: BlobUpdate(KEY, at(1), at(2), 0, METADATA),
    Operation.BLOB_PROMISE: BlobPromise(KEY, at(2)),
    Operation.BLOB_RECLAIM: BlobReclaim(at(1), ((KEY, at(1)),)),
    Operation.BLOB_FETCH: BlobFetch(KEY, at(1), 1),
    Operation.ROWS_CONFIRM: ((KEY, at(1)),),
    Operation.BLOB_DIGESTS: (4, (0,)),
    Operation.BLOB_SUBDIGESTS: (4, 0),
    Operation.BLOB_VERSIONS: (b"", None, 1),
    Operation.INDEX_CREATE: IndexCreate(DatabaseKind.CONTAINER, CONTAINER, "a", "c", at(1), {}),
    Operation.INDEX_INFO: IndexInfo(DatabaseKind.CONTAINER, CONTAINER, "a", "c"),
    Operation.INDEX_ROWS: IndexRows(DatabaseKind.CONTAINER, CONTAINER, "a", "c", at(1), []),
    Operation.INDEX_LIST: IndexList(DatabaseKind.CONTAINER, CONTAINER, "a", "c", 2),
    Operation.INDEX_FREEZE: (DatabaseKind.CONTAINER, CONTAINER, b"token", 1.0),
    Operation.INDEX_THAW: (DatabaseKind.CONTAINER, CONTAINER, b"token", at(2)),
    Operation.INDEX_MOVE: IndexMove(DatabaseKind.CONTAINER, CONTAINER, "a", "c", at(1), at(2), [], {}, at(0), b"token"),
    Operation.INDEX_SAMPLE: (DatabaseKind.CONTAINER, CONTAINER, 1),
    Operation.INDEX_INVENTORY: (DatabaseKind.CONTAINER, b"", None, 1),
    Operation.INDEX_CHANGES: IndexChanges(DatabaseKind.CONTAINER, CONTAINER, b"", 0, 1),
    Operation.INDEX_RECLAIM: IndexReclaim(at(1), (), 0),
    Operation.CHUNK_STAT: (KEY, (1,), 0),
    Operation.CHUNK_FENCE: (KEY, 1, 1),
    Operation.CHUNK_WRITE: ChunkWrite(KEY, 0, 1, None, 1, 1, (0, 0), ()),
    Operation.CHUNK_WRITE_MANY: (),
    Operation.CHUNK_FLUSH: (KEY, 1),
    Operation.CHUNK_READ: ChunkRead(KEY, 0, (), 0, 1),
    Operation.CHUNK_COPY: (KEY, 0, 1, (1, 1)),
    Operation.CHUNK_PULL: ChunkPull(KEY, 0, 1, (1, 1), 1),
    Operation.CHUNK_MAP: (KEY, 1, 0, 1),
    Operation.CHUNK_DROP: (KEY, 1, (0,)),
    Operation.CHUNK_EXTENTS: (KEY, 0, 1),
    Operation.CHUNK_DIGESTS: (4, (1,)),
    Operation.CHUNK_LIST: (4, 1, None, 1),
    Operation.CHUNK_FENCES: (b"", None, 1),
    Operation.CHUNK_SUM: (KEY, 0, 1, (1, 1)),
    Operation.CHUNK_MEND: ChunkPull(KEY, 0, 1, (1, 1), 1),
    Operation.STATUS: (),
    Operation.SCRUB: (),
}


def fence(cluster: LoopbackCluster, floor: int, version: int) -> None:
    """Let all devices know of a floor."""
    ring = cluster.ring
    cluster.publish(rings_of(version, Stage.STABLE, floor, ring))


@in_cluster
async def test_who_asks_by_rings_below_the_floor_is_refused_first(cluster: LoopbackCluster) -> None:
    assert {*ARGUMENTS, Operation.BLOB_PREPARE} == set(Operation)
    fence(cluster, floor=3, version=4)
    peer = client(cluster)
    for operation, message in ARGUMENTS.items():
        for tag in (0, 2):
            (answer,) = await asyncio.gather(peer.call(operation, message, b"", 2.0, tag), return_exceptions=True)
            refused = isinstance(answer, RemoteError) and (answer.code, answer.detail) == (Refusal.STALE_RINGS, 3)
            assert refused == (operation not in UNFENCED), operation.name
    assert cluster.devices[0].blobs.stat(KEY) is None
    await peer.call(Operation.BLOB_PUT, ARGUMENTS[Operation.BLOB_PUT], b"", 2.0, 3)
    assert cluster.devices[0].blobs.stat(KEY) is not None


@in_cluster
async def test_nobody_is_refused_before_there_is_a_floor(cluster: LoopbackCluster) -> None:
    fence(cluster, floor=0, version=4)
    await client(cluster).call(Operation.BLOB_PUT, ARGUMENTS[Operation.BLOB_PUT])


@in_cluster
async def test_who_asks_by_newer_rings_is_answered_and_makes_us_read_them(cluster: LoopbackCluster) -> None:
    cluster.rings = rings_of(7, Stage.STABLE, 5, cluster.ring)
    device, peer = cluster.devices[0], client(cluster)
    await peer.call(Operation.BLOB_STAT, (KEY,), b"", 2.0, 7)
    assert device.placement.rings.version == 7
    await peer.call(Operation.BLOB_STAT, (KEY,), b"", 2.0, 8)
    assert await refusal_of(peer, Operation.BLOB_STAT, (KEY,)) == Refusal.STALE_RINGS


@in_cluster
async def test_who_names_a_device_that_newer_rings_lack_is_told_to_read_them(cluster: LoopbackCluster) -> None:
    fence(cluster, floor=3, version=4)
    container = IndexInfo(DatabaseKind.CONTAINER, CONTAINER, "AUTH_a", "c", sync_from=99)
    for operation, message in ((Operation.INDEX_INFO, container), (Operation.BLOB_FETCH, BlobFetch(KEY, at(1), 99))):
        with pytest.raises(RemoteError) as refusal:
            await client(cluster).call(operation, message, b"", 2.0, 4)
        assert (refusal.value.code, refusal.value.detail) == (Refusal.STALE_RINGS, 4)


@in_cluster
async def test_a_copy_is_given_by_whatever_rings_it_is_asked_for(cluster: LoopbackCluster) -> None:
    """It says what is here; what that is worth is for who asks."""
    await client(cluster, 1).call(Operation.BLOB_PUT, BlobPut(KEY, at(1), 0, METADATA), b"data")
    asleep = cluster.devices[0]
    cluster.publish(rings_of(7, Stage.STABLE, 5, cluster.ring), [asleep.placement])
    await client(cluster).call(Operation.BLOB_FETCH, BlobFetch(KEY, at(1), 1))
    assert asleep.blobs.stat(KEY) is not None


@in_cluster
async def test_settling_waits_for_every_write_that_was_let_in(cluster: LoopbackCluster) -> None:
    """Also for those that wait for something before they append to the log."""
    device, peer = cluster.devices[0], client(cluster)
    await client(cluster, 1).call(Operation.BLOB_PUT, BlobPut(CONTAINER, at(1), 0, METADATA), b"data")
    await stream(peer, bytes(16), bytes(3 * MiB))
    writes = [
        peer.call(Operation.BLOB_PUT, BlobPut(bytes(16), at(1), 0, METADATA), b"data"),
        peer.call(Operation.BLOB_COMMIT, (bytes(16), KEY, at(2), 0, METADATA)),
        peer.call(Operation.BLOB_FETCH, BlobFetch(CONTAINER, at(1), 1)),
        peer.call(
            Operation.INDEX_ROWS,
            IndexRows(DatabaseKind.CONTAINER, CONTAINER, "a", "c", at(1), [Row("x", at(2), False, 1, "")]),
        ),
    ]
    await asyncio.sleep(0)  # they arrive
    await device.service.settle()
    for key in (bytes(16), KEY, CONTAINER):
        assert device.blobs.stat(key) is not None
    assert len(await device.indexes.inventory(DatabaseKind.CONTAINER, b"", None, 10)) == 1
    await asyncio.gather(*writes)


@in_cluster
async def test_a_write_whose_client_has_gone_is_not_taken_back_from_others_who_wait_for_it(
    cluster: LoopbackCluster,
) -> None:
    device, peer = cluster.devices[0], client(cluster)
    await peer.call(Operation.BLOB_PUT, BlobPut(KEY, at(1), BlobFlag.MANIFEST, METADATA), b"read before it is replaced")
    message = Request(Operation.BLOB_PUT, BlobPut(KEY, at(2), 0, METADATA), b"data", None, 5.0, tag=1)
    gone, waiting = device.service.handle(message), device.service.handle(message)
    assert isinstance(gone, asyncio.Task)
    assert isinstance(waiting, asyncio.Task)
    for _turn in range(10):
        if device.blobs.pending(KEY) is None:
            await asyncio.sleep(0)
    assert device.blobs.pending(KEY) is not None
    gone.cancel()
    await asyncio.wait([gone, waiting])
    assert not waiting.cancelled()
    assert parse(Version, (await peer.call(Operation.BLOB_STAT, (KEY,))).metadata).timestamp == at(2)


@in_cluster
async def test_settling_does_not_wait_for_uploads_that_are_still_coming(cluster: LoopbackCluster) -> None:
    peer = client(cluster)
    upload = peer.open(Operation.BLOB_PREPARE, (bytes(16), 10), 5.0)
    await upload.send(b"12345")
    await asyncio.sleep(0.01)
    async with asyncio.timeout(1.0):
        await cluster.devices[0].service.settle()
    upload.cancel()
