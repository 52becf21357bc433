"""proxy.objects.multipart with real devices: Amazon S3 User Guide, "Multipart upload"."""

import asyncio
from dataclasses import replace
from hashlib import md5

import pytest

from proxy.objects import multipart
from proxy.objects.errors import InvalidPart, NoSuchContainer, NoSuchObject, NoSuchUpload, PartTooSmall, Unavailable
from proxy.objects.model import CommonPrefix, NewObject, ObjectInfo, ObjectName, Part, Upload, UploadListing
from proxy.objects.service import ObjectService
from storage.messages import Operation
from tests.loopback import TEXT, LoopbackCluster, Loss, MiB, Pieces, body_of, get, in_cluster, names_in, put

ACCOUNT = "AUTH_a"
NAME = ObjectName(ACCOUNT, "c", "o")
PARTS = f"\0parts\0{NAME.container}"
UPLOADS = f"\0uploads\0{NAME.container}"
Chosen = list[tuple[int, str, dict[str, str]]]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts be as small as a test likes."""
    monkeypatch.setattr(multipart, "MINIMUM_PART_SIZE", 10)


async def upload_parts(
    service: ObjectService, upload_id: str, parts: dict[int, bytes], name: ObjectName = NAME
) -> Chosen:
    """Store parts; return what completes the upload with all of them."""
    infos = [await service.put_part(name, upload_id, number, body_of(data), TEXT) for number, data in parts.items()]
    return [(number, info.metadata.etag, {}) for number, info in zip(parts, infos, strict=True)]


async def make(service: ObjectService, parts: dict[int, bytes], name: ObjectName = NAME) -> ObjectInfo:
    """Make an object of parts."""
    upload_id = await service.create_upload(name, TEXT)
    return await service.complete_upload(name, upload_id, await upload_parts(service, upload_id, parts, name))


async def hidden(service: ObjectService, container: str) -> list[str]:
    """Return what a container of our own lists, once what runs behind answers has ended."""
    await service.close()
    try:
        return await names_in(service, ACCOUNT, container)
    except NoSuchContainer:
        return []


@in_cluster
async def test_an_object_is_made_of_its_parts(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    await one.create_container(ACCOUNT, "c", {})
    new = NewObject("image/png", {"cache-control": "no-store"}, {"k": "v"}, {"algorithm": "CRC32"}, {"shown": 1})
    upload_id = await one.create_upload(NAME, new)
    data = {1: b"first part,", 3: bytes(2 * MiB), 10: b"end"}
    chosen = await upload_parts(other, upload_id, data)
    with pytest.raises(NoSuchObject):
        await other.head_object(NAME)
    info = await other.complete_upload(NAME, upload_id, chosen)
    whole = b"".join(data.values())
    digest = md5(b"".join(md5(part).digest() for part in data.values())).hexdigest()
    metadata = info.metadata
    assert (metadata.etag, metadata.size) == (f"{digest}-3", len(whole))
    assert (metadata.content_type, metadata.headers, metadata.user) == ("image/png", new.headers, new.user)
    assert (metadata.system["algorithm"], metadata.system["parts"], metadata.row) == ("CRC32", 3, {"shown": 1})
    assert await one.head_object(NAME) == info
    assert await get(one, NAME) == whole
    assert await names_in(one, ACCOUNT, "c") == ["o"]
    assert await one.list_uploads(ACCOUNT, "c", "", "", "", "", 10) == UploadListing([], False)


@in_cluster
async def test_ranges_cross_parts(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    parts = {1: bytes(range(100)), 2: bytes(MiB) + b"large", 3: bytes(range(50))}
    await make(service, parts)
    whole = b"".join(parts.values())
    size = len(whole)
    for first, last in ((0, 0), (99, 100), (95, size - 10), (100, 100 + MiB), (size - 51, size - 1), (3, 7)):
        assert await get(service, NAME, (first, last)) == whole[first : last + 1]
    assert await get(service, NAME, (None, 60)) == whole[-60:]
    assert await get(service, NAME, (size - 5, None)) == whole[-5:]


@in_cluster
async def test_completing_an_upload_again_gives_the_same_and_harms_nothing(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    await one.create_container(ACCOUNT, "c", {})
    upload_id = await one.create_upload(NAME, TEXT)
    chosen = await upload_parts(one, upload_id, {1: b"0123456789", 2: b"end"})
    info = await one.complete_upload(NAME, upload_id, chosen)
    assert await other.complete_upload(NAME, upload_id, chosen) == info
    await one.close()
    await other.close()
    assert await get(one, NAME) == b"0123456789end"
    await put(one, NAME, b"something else")
    with pytest.raises(NoSuchUpload):
        await one.complete_upload(NAME, upload_id, chosen)


async def half_completed(cluster: LoopbackCluster) -> tuple[str, Chosen]:
    """Have a proxy die in the middle: the manifest is there, the upload's entry too. Return its id and its parts."""
    dying = cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    upload_id = await dying.service.create_upload(NAME, TEXT)
    chosen = await upload_parts(dying.service, upload_id, {1: b"0123456789", 2: b"end"})
    for peer in dying.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.BLOB_DELETE else None
    with pytest.raises(Unavailable):
        await dying.service.complete_upload(NAME, upload_id, chosen)
    return upload_id, chosen


@in_cluster
async def test_completing_an_upload_that_a_proxy_left_half_completed_keeps_its_parts(cluster: LoopbackCluster) -> None:
    upload_id, chosen = await half_completed(cluster)
    other = cluster.proxy()
    assert await get(other.service, NAME) == b"0123456789end"
    await asyncio.gather(*(other.service.complete_upload(NAME, upload_id, chosen) for _ in range(2)))
    await other.service.close()
    assert await get(other.service, NAME) == b"0123456789end"
    assert await hidden(other.service, UPLOADS) == []


@in_cluster
async def test_aborting_an_upload_that_a_proxy_left_half_completed_keeps_its_parts(cluster: LoopbackCluster) -> None:
    upload_id, _chosen = await half_completed(cluster)
    other = cluster.proxy()
    await other.service.abort_upload(NAME, upload_id)
    assert await hidden(other.service, UPLOADS) == []
    assert await get(other.service, NAME) == b"0123456789end"


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.004, 0.006, 0.01])
def test_an_upload_is_completed_or_aborted_but_not_both(delay_s: float) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        one, other = cluster.proxy().service, cluster.proxy().service
        await one.create_container(ACCOUNT, "c", {})
        upload_id = await one.create_upload(NAME, TEXT)
        chosen = await upload_parts(one, upload_id, {1: b"0123456789", 2: b"end"})

        async def abort() -> None:
            await asyncio.sleep(delay_s)
            await other.abort_upload(NAME, upload_id)

        completed, _aborted = await asyncio.gather(
            one.complete_upload(NAME, upload_id, chosen), abort(), return_exceptions=True
        )
        await other.close()
        if isinstance(completed, ObjectInfo):
            assert await get(one, NAME) == b"0123456789end"
        else:
            assert isinstance(completed, NoSuchUpload)
            with pytest.raises(NoSuchObject):
                await one.head_object(NAME)
        assert await hidden(one, UPLOADS) == []

    scenario()


@in_cluster
async def test_an_aborted_upload_leaves_nothing(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    chosen = await upload_parts(service, upload_id, {1: b"0123456789", 2: b"end"})
    await service.abort_upload(NAME, upload_id)
    for call in (
        service.abort_upload(NAME, upload_id),
        service.complete_upload(NAME, upload_id, chosen),
        service.put_part(NAME, upload_id, 3, body_of(b"late"), TEXT),
        service.list_parts(NAME, upload_id, 0, 10),
    ):
        with pytest.raises(NoSuchUpload):
            await call
    assert await hidden(service, PARTS) == await hidden(service, UPLOADS) == []
    with pytest.raises(NoSuchObject):
        await service.head_object(NAME)


@in_cluster
async def test_a_part_that_arrives_while_its_upload_is_aborted_takes_itself_away(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    part = asyncio.create_task(service.put_part(NAME, upload_id, 1, body_of(bytes(3 * MiB), 4096), TEXT))
    await asyncio.sleep(0.01)
    await service.abort_upload(NAME, upload_id)
    with pytest.raises(NoSuchUpload):
        await part
    assert await hidden(service, PARTS) == []


@in_cluster
async def test_a_try_of_a_part_that_ends_after_the_completion_takes_only_itself_away(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)

    class Late(Pieces):
        async def read(self) -> bytes | bytearray | memoryview:
            piece = await super().read()
            if not piece:
                chosen = await upload_parts(service, upload_id, {1: b"0123456789"})
                await service.complete_upload(NAME, upload_id, chosen)
            return piece

    for data in (b"0123456789", b"something else"):
        with pytest.raises(NoSuchUpload):
            await service.put_part(NAME, upload_id, 1, Late([data]), TEXT)
        assert await get(service, NAME) == b"0123456789"
        assert len([name for name in await hidden(service, PARTS) if upload_id in name]) == 1
        upload_id = await service.create_upload(NAME, TEXT)


@in_cluster
async def test_unused_and_replaced_parts_are_removed(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    await upload_parts(service, upload_id, {1: b"replaced by another", 2: b"not used at all"})
    chosen = await upload_parts(service, upload_id, {1: b"0123456789", 4: b"end"})
    await service.complete_upload(NAME, upload_id, chosen)
    assert [name.split("\0")[2] for name in await hidden(service, PARTS)] == ["00001", "00004"]
    assert await get(service, NAME) == b"0123456789end"


async def after_downloads(cluster: LoopbackCluster, service: ObjectService) -> list[str]:
    """Return what is left of parts when downloads that began before now are over."""
    await service.close()
    cluster.wall_offset_s += multipart.GRACE_S + 60
    for _round in range(3):  # a device may have got to know of a part only by the removal of another replica
        for device in cluster.devices:
            await device.expire().step()
    return await hidden(service, PARTS)


@pytest.mark.parametrize("how", ["overwritten", "deleted"])
def test_a_download_goes_on_when_its_object_is_no_more(how: str) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        parts = {number: bytes([number]) * (MiB + 5) for number in range(1, 6)}
        await make(service, parts)
        reader = await service.get_object(NAME)
        pieces = [bytes(await anext(reader.pieces))]
        if how == "overwritten":
            await put(service, NAME, b"plain")
        else:
            assert await service.delete_object(NAME)
        await service.close()
        pieces += [bytes(piece) async for piece in reader.pieces]
        assert b"".join(pieces) == b"".join(parts.values())
        assert await after_downloads(cluster, service) == []

    scenario()


@in_cluster
async def test_an_upload_that_goes_on_keeps_its_parts_when_what_it_may_have_made_is_replaced(
    cluster: LoopbackCluster,
) -> None:
    """Its client was told to try again."""
    upload_id, chosen = await half_completed(cluster)
    other = cluster.proxy()
    await put(other.service, NAME, b"plain")
    await other.service.close()
    await other.service.complete_upload(NAME, upload_id, chosen)
    assert len(await after_downloads(cluster, other.service)) == 2
    assert await get(other.service, NAME) == b"0123456789end"


@in_cluster
async def test_a_container_that_is_deleted_takes_parts_along_that_wait_for_downloads(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await make(service, {1: b"0123456789", 2: b"end"})
    await service.delete_object(NAME)
    await service.delete_container(ACCOUNT, "c")
    assert await hidden(service, PARTS) == await hidden(service, UPLOADS) == []
    with pytest.raises(NoSuchContainer):
        await service.container_info(ACCOUNT, PARTS)


@pytest.mark.parametrize("how", ["overwritten", "made again", "deleted"])
def test_the_parts_of_an_object_that_is_no_more_are_removed(how: str) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        await make(service, {1: b"0123456789", 2: bytes(MiB + 5)})
        assert len(await hidden(service, PARTS)) == 2
        if how == "overwritten":
            await put(service, NAME, b"plain")
        elif how == "made again":
            await make(service, {1: b"another"})
        else:
            assert await service.delete_object(NAME)
        assert len(await after_downloads(cluster, service)) == (how == "made again")
        if how != "deleted":
            assert await get(service, NAME) == (b"plain" if how == "overwritten" else b"another")

    scenario()


@in_cluster
async def test_a_metadata_change_keeps_the_parts(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await make(service, {1: b"0123456789", 2: b"end"})
    await service.update_object(NAME, lambda metadata: metadata._replace(user={"k": "v"}))
    assert len(await hidden(service, PARTS)) == 2
    assert (await service.head_object(NAME)).metadata.user == {"k": "v"}
    assert await get(service, NAME) == b"0123456789end"
    await service.delete_object(NAME)
    assert await after_downloads(cluster, service) == []


@in_cluster
async def test_wrong_parts_are_refused_and_the_upload_stays(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    first, second = await upload_parts(service, upload_id, {1: b"short", 2: b"0123456789"})
    for wanted, index, reason in (
        ([first, (3, "0" * 32, {})], 1, "not found"),
        ([second, first], 1, "order"),
        ([first, first], 1, "order"),
        ([(1, "0" * 32, {})], 0, "etag"),
    ):
        with pytest.raises(InvalidPart) as invalid:
            await service.complete_upload(NAME, upload_id, wanted)
        assert (invalid.value.index, invalid.value.reason) == (index, reason)
    with pytest.raises(PartTooSmall) as small:
        await service.complete_upload(NAME, upload_id, [first, second])
    assert small.value.index == 0
    await service.complete_upload(NAME, upload_id, [second])
    assert await get(service, NAME) == b"0123456789"


@in_cluster
async def test_a_check_of_the_completion_refuses_it_or_adds_to_it(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, replace(TEXT, system={"a": 1}))
    chosen = await upload_parts(service, upload_id, {1: b"0123456789", 2: b"end"})

    class Wrong(Exception):
        pass

    def refuse(_upload: Upload, _parts: list[Part]) -> tuple[dict[str, int], dict[str, int]]:
        raise Wrong

    def add(upload: Upload, parts: list[Part]) -> tuple[dict[str, object], dict[str, int]]:
        return {"sizes": [part.size for part in parts], "of": upload.upload_id}, {"parts": len(parts)}

    with pytest.raises(Wrong):
        await service.complete_upload(NAME, upload_id, chosen, None, refuse)
    info = await service.complete_upload(NAME, upload_id, chosen, None, add)
    assert info.metadata.system["sizes"] == [10, 3]
    assert (info.metadata.system["a"], info.metadata.system["of"]) == (1, upload_id)
    assert info.metadata.row == {"parts": 2}


@in_cluster
async def test_a_conditional_completion_that_fails_leaves_object_and_upload(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    chosen = await upload_parts(service, upload_id, {1: b"0123456789"})
    await put(service, NAME, b"there already")

    class There(Exception):
        pass

    def absent(current: ObjectInfo | None) -> None:
        if current is not None:
            raise There

    with pytest.raises(There):
        await service.complete_upload(NAME, upload_id, chosen, absent)
    assert await get(service, NAME) == b"there already"
    await service.complete_upload(NAME, upload_id, chosen)
    assert await get(service, NAME) == b"0123456789"


@in_cluster
async def test_parts_are_listed_in_pages(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, replace(TEXT, system={"a": 1}))
    other_id = await service.create_upload(NAME, TEXT)
    await upload_parts(service, other_id, {5: b"of another upload"})
    for _ in range(4):
        await upload_parts(service, upload_id, {1: b"replaced", 300: b"replaced"})
    sizes = {1: 11, 2: 12, 300: 13, 10_000: 14}
    await upload_parts(service, upload_id, {number: bytes(size) for number, size in sizes.items()})
    page = await service.list_parts(NAME, upload_id, 0, 3)
    assert {part.number: part.size for part in page.parts} == {1: 11, 2: 12, 300: 13}  # the newest of each
    assert page.truncated
    assert page.upload.system == {"a": 1}
    page = await service.list_parts(NAME, upload_id, 300, 3)
    assert [(part.number, part.etag) for part in page.parts] == [(10_000, md5(bytes(14)).hexdigest())]
    assert not page.truncated
    assert (await service.list_parts(NAME, upload_id, 0, 0)).parts == []


@in_cluster
async def test_uploads_are_listed_in_pages_by_name_then_age(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    keys = ["a/1", "a/1", "a/2", "b", "b/x/y", "c"]
    made = [(key, await service.create_upload(NAME._replace(object=key), TEXT)) for key in keys]
    seen: list[tuple[str, str]] = []
    key_marker, id_marker, truncated = "", "", True
    while truncated:
        page = await service.list_uploads(ACCOUNT, "c", "", "", key_marker, id_marker, 2)
        assert len(page.items) <= 2
        seen += [(item.object, item.upload_id) for item in page.items if isinstance(item, Upload)]
        (key_marker, id_marker), truncated = seen[-1], page.truncated
    assert seen == made
    after = await service.list_uploads(ACCOUNT, "c", "", "", "a/1", "", 10)
    assert [item.object for item in after.items if isinstance(item, Upload)] == ["a/2", "b", "b/x/y", "c"]
    prefixed = await service.list_uploads(ACCOUNT, "c", "a/", "", "", "", 10)
    assert [item.upload_id for item in prefixed.items if isinstance(item, Upload)] == [made[i][1] for i in range(3)]
    rolled: list[str] = []
    key_marker, truncated = "", True
    while truncated:
        page = await service.list_uploads(ACCOUNT, "c", "", "/", key_marker, "", 1)
        rolled += [item.object if isinstance(item, Upload) else str(item) for item in page.items]
        key_marker, truncated = rolled[-1], page.truncated
    assert rolled == ["a/", "b", "b/", "c"]
    deeper = await service.list_uploads(ACCOUNT, "c", "b/", "/", "", "", 10)
    assert deeper.items == [CommonPrefix("b/x/")]


@in_cluster
async def test_deleting_the_container_forgets_its_uploads(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    await upload_parts(service, upload_id, {1: b"0123456789"})
    await service.delete_container(ACCOUNT, "c")
    await service.close()
    for container in (UPLOADS, PARTS):
        with pytest.raises(NoSuchContainer):
            await names_in(service, ACCOUNT, container)
    with pytest.raises(NoSuchContainer):
        await service.list_uploads(ACCOUNT, "c", "", "", "", "", 10)
    await service.create_container(ACCOUNT, "c", {})
    assert (await service.list_uploads(ACCOUNT, "c", "", "", "", "", 10)).items == []
    with pytest.raises(NoSuchUpload):
        await service.put_part(NAME, upload_id, 2, body_of(b"late"), TEXT)
    await make(service, {1: b"works again"})
    assert await get(service, NAME) == b"works again"


@in_cluster
async def test_uploads_into_a_container_made_anew_outlive_those_of_the_old(cluster: LoopbackCluster) -> None:
    """While one proxy still clears up, others, which remember the old container, go on with the new."""
    services = [cluster.proxy().service for _ in range(3)]
    for life in range(9):
        one, other = services[life % 3], services[(life + 1) % 3]
        await one.create_container(ACCOUNT, "c", {})
        upload_id = await other.create_upload(NAME, TEXT)
        chosen = await upload_parts(one, upload_id, {1: b"0123456789", 2: b"end"})
        uploads = await services[(life + 2) % 3].list_uploads(ACCOUNT, "c", "", "", "", "", 10)
        assert [item.upload_id for item in uploads.items if isinstance(item, Upload)] == [upload_id]
        if life % 2:
            await other.complete_upload(NAME, upload_id, chosen)
            await one.delete_object(NAME)
        await other.delete_container(ACCOUNT, "c")
    for service in services:
        await service.close()
    for container in (UPLOADS, PARTS):
        assert await hidden(services[0], container) == []


@in_cluster
async def test_an_upload_into_a_container_that_is_not_there_is_refused(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    with pytest.raises(NoSuchContainer):
        await service.create_upload(NAME, TEXT)
    await service.create_container(ACCOUNT, "c", {})
    for upload_id in ("", "x", "0" * 32, "with\0nul"):
        with pytest.raises(NoSuchUpload):
            await service.put_part(NAME, upload_id, 1, body_of(b"data"), TEXT)


@in_cluster
async def test_an_upload_goes_on_with_any_one_device_down(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    upload_id = await service.create_upload(NAME, TEXT)
    chosen: Chosen = []
    for device in cluster.devices:
        with cluster.without(device):
            chosen += await upload_parts(service, upload_id, {device.id + 1: b"part %07d" % device.id})
    for device in cluster.devices:
        with cluster.without(device):
            page = await service.list_parts(NAME, upload_id, 0, 10)
            assert len(page.parts) == len(cluster.devices)
    with cluster.without(cluster.devices[2]):
        await service.complete_upload(NAME, upload_id, chosen)
        assert await get(service, NAME) == b"".join(b"part %07d" % device.id for device in cluster.devices)


@in_cluster
async def test_a_part_is_copied_from_an_object(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    source = NAME._replace(object="source")
    data = bytes(range(256)) * 8192
    await put(service, source, data)
    upload_id = await service.create_upload(NAME, TEXT)
    whole = await service.copy_part(source, NAME, upload_id, 1, lambda _info: TEXT)
    some = await service.copy_part(source, NAME, upload_id, 2, lambda _info: TEXT, wanted=(100, 299))
    assert (whole.metadata.size, some.metadata.size) == (len(data), 200)
    chosen: Chosen = [(1, whole.metadata.etag, {}), (2, some.metadata.etag, {})]
    await service.complete_upload(NAME, upload_id, chosen)
    assert await get(service, NAME) == data + data[100:300]
