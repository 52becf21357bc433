"""proxy.objects: large objects of other objects, copies and metadata changes, with real devices."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5

import pytest

from cluster.clock import wall_us
from proxy.objects.errors import NoSuchObject, RangeNotSatisfiable, SegmentChanged, Unavailable
from proxy.objects.model import ListingQuery, NewObject, ObjectInfo, ObjectName, ObjectReader, Segment
from proxy.objects.service import ObjectService
from storage.messages import Operation, Row
from storage.metadata import DELETE_AT, ObjectMetadata
from tests.loopback import TEXT, LoopbackCluster, Loss, MiB, body_of, get, in_cluster, names_in, put, until

ACCOUNT = "AUTH_a"
NAME = ObjectName(ACCOUNT, "c", "o")
LARGE = bytes(range(251)) * 12_000  # about three megabytes: streamed
LISTING = ListingQuery()


def named(text: str, container: str = "c") -> ObjectName:
    """Return an object's name in the test's account."""
    return ObjectName(ACCOUNT, container, text)


async def segment_of(service: ObjectService, text: str, data: bytes) -> Segment:
    """Store an object, and return the segment that is all of it."""
    info = await put(service, named(text), data)
    return Segment(*named(text), len(data), info.metadata.etag)


async def put_manifest(service: ObjectService, name: ObjectName, segments: list[Segment]) -> ObjectInfo:
    """Store a static large object."""
    size = sum(segment.size for segment in segments)
    new = NewObject("text/plain", system={"slo": True}, row={"slo_etag": "x"}, etag="whole")
    return await service.put_manifest(name, segments, new, size)


# static large objects


@in_cluster
async def test_a_manifest_gives_segments_parts_of_them_and_inline_data(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    small = await segment_of(service, "small", b"0123456789")
    large = await segment_of(service, "large", LARGE)
    segments = [
        small,
        large._replace(size=MiB, offset=77),
        Segment("", "", "", 6, "", data=b"inline"),
        small._replace(size=3, offset=4),
    ]
    whole = b"0123456789" + LARGE[77 : 77 + MiB] + b"inline" + b"456"
    info = await put_manifest(service, NAME, segments)
    assert info.manifest
    assert (info.metadata.size, info.metadata.etag) == (len(whole), "whole")
    assert await service.head_object(NAME) == info
    assert await get(service, NAME) == whole
    size = len(whole)
    for first, last in ((0, 9), (5, 15), (10, 10 + MiB), (MiB, size - 1), (size - 4, size - 2), (size - 9, size - 1)):
        assert await get(service, NAME, (first, last)) == whole[first : last + 1]
    assert await get(service, NAME, (None, 2)) == b"56"
    with pytest.raises(RangeNotSatisfiable):
        await service.get_object(NAME, (size, None))
    assert await service.segments(NAME) == (info, segments)
    _info, itself = await service.segments(named("small"))
    assert itself == [small]
    assert await names_in(service, ACCOUNT, "c") == ["large", "o", "small"]


@in_cluster
async def test_manifests_are_nested(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    segment = await segment_of(service, "leaf", b"0123456789")
    whole = b"0123456789"
    for depth in range(4):
        inner = [segment, Segment("", "", "", 1, "", data=b"-"), segment._replace(offset=2, size=5)]
        await put_manifest(service, named(f"level{depth}"), inner)
        whole = whole + b"-" + whole[2:7]
        segment = Segment(*named(f"level{depth}"), len(whole), "whole")
        assert await get(service, named(f"level{depth}")) == whole
        assert await get(service, named(f"level{depth}"), (9, 12)) == whole[9:13]


@in_cluster
async def test_a_manifest_that_contains_itself_is_not_followed_for_ever(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put_manifest(service, NAME, [Segment(*NAME, 10, "whole")])
    with pytest.raises(SegmentChanged):
        await get(service, NAME)


@in_cluster
async def test_a_segment_that_changed_or_is_gone_ends_the_download(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    segments = [await segment_of(service, text, text.encode() * 10) for text in ("one", "two")]
    await put_manifest(service, NAME, segments)
    await put(service, named("two"), b"another")
    with pytest.raises(SegmentChanged):
        await get(service, NAME)
    assert await get(service, NAME, (0, 29)) == b"one" * 10
    await service.delete_object(named("two"))
    with pytest.raises(SegmentChanged):
        await get(service, NAME)


@in_cluster
async def test_the_segments_outlive_their_manifest(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put_manifest(service, NAME, [await segment_of(service, "one", b"data")])
    assert await service.delete_object(NAME)
    await service.close()
    assert await get(service, named("one")) == b"data"


@in_cluster
async def test_a_manifest_may_be_large_itself(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    segments = [Segment("", "", "", 300, "", data=bytes([number % 256]) * 300) for number in range(4000)]
    whole = b"".join(segment.data or b"" for segment in segments)
    await put_manifest(service, NAME, segments)
    assert await get(service, NAME) == whole
    assert await get(service, NAME, (100_000, 100_999)) == whole[100_000:101_000]
    assert len((await service.segments(NAME))[1]) == 4000


@in_cluster
async def test_a_large_object_is_read_with_any_one_device_down_or_dying(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    segments = [await segment_of(service, f"part{number}", LARGE + bytes([number])) for number in range(4)]
    whole = b"".join(LARGE + bytes([number]) for number in range(4))
    await put_manifest(service, NAME, segments)
    for device in cluster.devices:
        reader = await service.get_object(NAME)
        got = [bytes(await anext(reader.pieces))]
        with cluster.without(device):
            got += [bytes(piece) async for piece in reader.pieces]
        assert b"".join(got) == whole


@in_cluster
async def test_a_download_that_is_given_up_leaves_nothing_open(cluster: LoopbackCluster) -> None:
    proxy = cluster.proxy()
    await proxy.service.create_container(ACCOUNT, "c", {})
    segments = [await segment_of(proxy.service, f"part{number}", LARGE * 3) for number in range(2)]
    await put_manifest(proxy.service, NAME, segments)
    for name in (NAME, named("part0")):
        reader = await proxy.service.get_object(name)
        await anext(reader.pieces)
        await reader.pieces.aclose()
    await until(lambda: not [exchange for peer in proxy.peers.values() for exchange in peer.exchanges])


# dynamic large objects


@in_cluster
async def test_a_dynamic_large_object_is_what_is_listed_when_it_is_read(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await service.create_container(ACCOUNT, "parts", {})
    await put(service, NAME, b"its own bytes", NewObject("text/plain", system={"dlo": "parts/a/"}))
    assert await get(service, NAME) == b""
    data = {"a/1": b"first,", "a/2": LARGE, "b/1": b"not this", "a/3": b"end"}
    infos = {text: await put(service, named(text, "parts"), part) for text, part in data.items()}
    whole = data["a/1"] + data["a/2"] + data["a/3"]
    head = await service.head_object(NAME)
    etags = "".join(infos[text].metadata.etag for text in ("a/1", "a/2", "a/3"))
    assert (head.metadata.size, head.metadata.etag) == (len(whole), md5(etags.encode()).hexdigest())
    assert await get(service, NAME) == whole
    assert await get(service, NAME, (3, 9)) == whole[3:10]
    assert await get(service, NAME, (None, 5)) == whole[-5:]
    raw = await service.get_object(NAME, raw_manifest=True)
    assert bytes(raw.data or b"") == b"its own bytes"
    await service.delete_object(named("a/2", "parts"))
    assert await get(service, NAME) == b"first,end"


@in_cluster
async def test_ranges_apply_to_the_whole_of_a_dynamic_large_object(cluster: LoopbackCluster) -> None:
    """Its own bytes are usually none, and a range of them would be unsatisfiable."""
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put(service, NAME, b"", NewObject("text/plain", system={"dlo": "c/part"}))
    await put(service, named("part1"), b"0123456789")
    assert await get(service, NAME, (2, 4)) == b"234"
    with pytest.raises(RangeNotSatisfiable) as refused:
        await service.get_object(NAME, (10, None))
    assert refused.value.size == 10


# copies


@in_cluster
async def test_an_object_is_copied_with_new_metadata(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    for data in (b"small", LARGE):
        source = await put(service, NAME, data, NewObject("image/png", user={"k": "v"}))

        def renewed(info: ObjectInfo) -> NewObject:
            return NewObject(info.metadata.content_type, user={**info.metadata.user, "more": "x"})

        copied = await service.copy_object(NAME, named("target"), renewed)
        assert copied.metadata.etag == source.metadata.etag
        assert (copied.metadata.content_type, copied.metadata.user) == ("image/png", {"k": "v", "more": "x"})
        assert await get(service, named("target")) == data
        await service.copy_object(NAME, named("some"), lambda _info: TEXT, wanted=(1, 3))
        assert await get(service, named("some")) == data[1:4]
        await service.copy_object(named("target"), named("target"), lambda _info: TEXT)
        assert await get(service, named("target")) == data


@in_cluster
async def test_a_copy_of_a_manifest_is_plain_and_conditions_on_the_source_hold(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put_manifest(service, NAME, [await segment_of(service, "a", b"one"), await segment_of(service, "b", LARGE)])

    class Wrong(Exception):
        pass

    def refuse(info: ObjectInfo | None) -> None:
        assert info is not None
        raise Wrong

    with pytest.raises(Wrong):
        await service.copy_object(NAME, named("target"), lambda _info: TEXT, refuse)
    with pytest.raises(NoSuchObject):
        await service.head_object(named("target"))
    copied = await service.copy_object(NAME, named("target"), lambda _info: TEXT)
    assert not copied.manifest
    assert await get(service, named("target")) == b"one" + LARGE
    with pytest.raises(NoSuchObject):
        await service.copy_object(named("nothing"), named("target"), lambda _info: TEXT)


# metadata changes


def marked(value: str) -> Callable[[ObjectMetadata], ObjectMetadata]:
    """Return a change that sets one name."""
    return lambda metadata: metadata._replace(user={"k": value}, content_type="image/png")


@pytest.mark.parametrize("data", [b"small", b"", LARGE], ids=["small", "empty", "large"])
def test_a_metadata_change_keeps_the_data(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        one, other = cluster.proxy().service, cluster.proxy().service
        await one.create_container(ACCOUNT, "c", {})
        before = await put(one, NAME, data)
        for step in range(3):
            info = await other.update_object(NAME, marked(str(step)))
            assert info.timestamp > before.timestamp
            assert await one.head_object(NAME) == info
            assert info.metadata.user == {"k": str(step)}
            assert info.metadata.etag == before.metadata.etag
            assert await get(one, NAME) == data
            [row] = (await one.list_container(ACCOUNT, "c", LISTING)).items
            assert isinstance(row, Row)
            assert (row.content_type, row.size, row.timestamp) == ("image/png", len(data), info.timestamp)
        await one.delete_object(NAME)
        with pytest.raises(NoSuchObject):
            await one.update_object(NAME, marked("x"))

    scenario()


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_what_has_expired_is_as_good_as_deleted(data: bytes) -> None:
    """Swift's X-Delete-At, in either dialect; the devices may come to it much later."""

    def absent(current: ObjectInfo | None) -> None:
        if current is not None:
            raise KeyError

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        for due_s, there in ((wall_us() // 1_000_000 + 1000, True), (wall_us() // 1_000_000, False)):
            await service.put_object(NAME, body_of(data), replace(TEXT, system={DELETE_AT: due_s}))
            calls = (service.head_object, service.get_object, service.segments)
            for call in calls:
                if there:
                    found = await call(NAME)  # type: ignore[operator]
                    if isinstance(found, ObjectReader):
                        await found.pieces.aclose()
                    continue
                with pytest.raises(NoSuchObject):
                    await call(NAME)  # type: ignore[operator]
        with pytest.raises(NoSuchObject):
            await service.update_object(NAME, marked("x"))
        await service.put_object(NAME, body_of(b"new"), replace(TEXT, condition=absent))
        assert await get(service, NAME) == b"new"

    scenario()


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_metadata_change_succeeds_although_one_replica_missed_the_data(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        holders = cluster.holders(cluster.key(*NAME))
        for stale in holders:
            for away in holders:
                with cluster.without(stale):
                    await put(service, NAME, data + bytes([stale.id, away.id]))
                with cluster.without(*([] if away is stale else [away])):
                    await service.update_object(NAME, marked(f"{stale.id}-{away.id}"))
                assert (await service.head_object(NAME)).metadata.user == {"k": f"{stale.id}-{away.id}"}
                assert await get(service, NAME) == data + bytes([stale.id, away.id])

    scenario()


@in_cluster
async def test_metadata_changes_and_writes_at_once_end_in_one_order(cluster: LoopbackCluster) -> None:
    services = [cluster.proxy().service for _ in range(2)]
    await services[0].create_container(ACCOUNT, "c", {})
    await put(services[0], NAME, b"before")

    async def write(number: int) -> None:
        await put(services[number % 2], NAME, b"data %d" % number)

    async def change(number: int) -> None:
        await services[number % 2].update_object(NAME, marked(str(number)))

    outcomes = await asyncio.gather(
        *(write(number) for number in range(4)), *(change(number) for number in range(4)), return_exceptions=True
    )
    assert all(outcome is None or isinstance(outcome, Unavailable) for outcome in outcomes), outcomes
    data = await get(services[0], NAME)
    assert data.startswith(b"data ")
    for service in services:
        head = await service.head_object(NAME)
        assert head.metadata.etag == md5(data).hexdigest()
        [row] = (await service.list_container(ACCOUNT, "c", LISTING)).items
        assert isinstance(row, Row)
        assert row.timestamp == head.timestamp


@in_cluster
async def test_a_metadata_change_that_reached_one_replica_only_is_finished_or_forgotten(
    cluster: LoopbackCluster,
) -> None:
    failing, other = cluster.proxy(), cluster.proxy()
    await failing.service.create_container(ACCOUNT, "c", {})
    await put(failing.service, NAME, LARGE)
    for device in cluster.holders(cluster.key(*NAME))[1:]:
        failing.peers[device.id].faults.loss = lambda operation: (
            Loss.REQUEST if operation == Operation.BLOB_UPDATE else None
        )
    with pytest.raises(Unavailable):
        await failing.service.update_object(NAME, marked("half"))
    seen = []
    for away in (*cluster.holders(cluster.key(*NAME)), *cluster.holders(cluster.key(*NAME))):
        with cluster.without(away):
            seen.append((await other.service.head_object(NAME)).metadata.user)
            assert await get(other.service, NAME) == LARGE
    changed = [user == {"k": "half"} for user in seen]
    assert changed == sorted(changed)


@in_cluster
async def test_an_object_put_by_a_copy_of_itself_is_read_while_it_is_replaced(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put(service, NAME, LARGE)
    info = await service.copy_object(NAME, NAME, lambda _info: TEXT)
    assert info.metadata.etag == md5(LARGE).hexdigest()
    assert await get(service, NAME) == LARGE
    reader = await service.get_object(NAME)
    await service.put_object(NAME, body_of(b"small"), TEXT)
    assert b"".join([bytes(piece) async for piece in reader.pieces]) == LARGE
