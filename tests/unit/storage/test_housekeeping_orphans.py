"""storage.housekeeping.orphans: parts that nothing names go, all others stay."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.objects import multipart
from proxy.objects.errors import NoSuchContainer, NoSuchUpload
from proxy.objects.model import ObjectInfo, ObjectName
from proxy.objects.multipart import Multipart
from proxy.objects.service import ObjectService
from storage.housekeeping import hidden as hidden_rows
from storage.housekeeping.hidden import PARTS, UPLOADS
from storage.housekeeping.orphans import INTERVAL_S
from tests.loopback import TEXT, LoopbackCluster, body_of, get, in_cluster, names_in, put, until

ACCOUNT = "AUTH_a"
NAME = ObjectName(ACCOUNT, "c", "o")
GRACE_S = 3600.0
Chosen = list[tuple[int, str, dict[str, str]]]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts be small, and let nobody clean up behind himself."""
    monkeypatch.setattr(multipart, "MINIMUM_PART_SIZE", 1)
    monkeypatch.setattr(hidden_rows, "PAGE", 3)
    monkeypatch.setattr(hidden_rows, "GLANCE_S", 0.0)


@pytest.fixture
def proxies_die(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let proxies die before they delete what nobody needs any more."""

    async def nothing(*_arguments: object) -> None: ...

    monkeypatch.setattr(Multipart, "_delete_all", nothing)
    monkeypatch.setattr(Multipart, "_expire_all", nothing)
    monkeypatch.setattr(Multipart, "_empty", nothing)


async def a_service(cluster: LoopbackCluster) -> ObjectService:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    return service


async def begin(service: ObjectService, count: int, name: ObjectName = NAME) -> tuple[str, Chosen]:
    """Begin an upload and store parts; return what completes it."""
    upload_id = await service.create_upload(name, TEXT)
    infos = [await service.put_part(name, upload_id, n, body_of(b"%05d" % n), TEXT) for n in range(1, count + 1)]
    return upload_id, [(n, info.metadata.etag, {}) for n, info in enumerate(infos, 1)]


async def make(service: ObjectService, count: int, name: ObjectName = NAME) -> ObjectInfo:
    upload_id, chosen = await begin(service, count, name)
    return await service.complete_upload(name, upload_id, chosen)


async def hidden(service: ObjectService, prefix: str) -> list[str]:
    """Return what a container of our own lists."""
    try:
        return await names_in(service, ACCOUNT, prefix + NAME.container)
    except NoSuchContainer:
        return []


async def known(cluster: LoopbackCluster, service: ObjectService) -> None:
    """Have rows confirmed, replicas equal, and accounts know of their containers, hidden ones too."""
    await service.close()
    await until(lambda: not any(device.blobs.index.unlisted_count for device in cluster.devices))
    for device in cluster.devices:
        await device.report().step()


async def walk(cluster: LoopbackCluster) -> int:
    """Let each device walk through what it leads, once; return how much was deleted."""
    count = 0
    for device in cluster.devices:
        task = device.orphans(GRACE_S)
        for _ in range(200):
            if await task.step() == INTERVAL_S:
                break
        else:
            raise AssertionError("it does not end")
        count += task.deleted_count
    return count


async def an_hour_later(cluster: LoopbackCluster, service: ObjectService) -> int:
    await known(cluster, service)
    assert await walk(cluster) == 0, "not before the grace time is over"
    cluster.wall_offset_s = GRACE_S + 60
    return await walk(cluster)


@in_cluster
async def test_parts_of_objects_and_of_uploads_under_way_stay(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await make(service, 7)
    upload_id, chosen = await begin(service, 5, NAME._replace(object="under way"))
    assert await an_hour_later(cluster, service) == 0
    assert await get(service, NAME) == b"".join(b"%05d" % n for n in range(1, 8))
    await service.complete_upload(NAME._replace(object="under way"), upload_id, chosen)
    assert len(await get(service, NAME._replace(object="under way"))) == 25


@pytest.mark.usefixtures("proxies_die")
def test_parts_of_what_was_replaced_or_deleted_go() -> None:
    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        service = await a_service(cluster)
        await make(service, 5)
        await make(service, 4, NAME._replace(object="deleted"))
        await make(service, 3, NAME._replace(object="made anew"))
        await put(service, NAME, b"small")
        await service.delete_object(NAME._replace(object="deleted"))
        await make(service, 2, NAME._replace(object="made anew"))
        assert len(await hidden(service, PARTS)) == 14
        assert await an_hour_later(cluster, service) == 12
        assert len(await hidden(service, PARTS)) == 2
        assert len(await get(service, NAME._replace(object="made anew"))) == 10
        assert await walk(cluster) == 0

    play()


@pytest.mark.usefixtures("proxies_die")
def test_parts_of_what_was_just_replaced_stay_for_those_who_read_it() -> None:
    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        await make(await a_service(cluster), 3)
        cluster.wall_offset_s = GRACE_S + 60
        service = cluster.proxy(cluster.time_us).service
        await put(service, NAME, b"small")
        await known(cluster, service)
        assert await walk(cluster) == 0
        cluster.wall_offset_s += GRACE_S + 60
        assert await walk(cluster) == 3

    play()


@in_cluster
async def test_parts_that_expire_are_left_to_that(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await make(service, 3)
    await put(service, NAME, b"small")
    assert await an_hour_later(cluster, service) == 0
    for device in cluster.devices:
        await device.expire().step()
    assert await hidden(service, PARTS) == []


@pytest.mark.usefixtures("proxies_die")
def test_parts_of_an_aborted_upload_go() -> None:
    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        service = await a_service(cluster)
        upload_id, _chosen = await begin(service, 5)
        await service.abort_upload(NAME, upload_id)
        assert await an_hour_later(cluster, service) == 5
        assert await hidden(service, PARTS) == []

    play()


@pytest.mark.usefixtures("proxies_die")
def test_parts_that_were_left_out_go_and_the_others_stay() -> None:
    """Tries that were replaced, and numbers that were not named."""

    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        service = await a_service(cluster)
        upload_id, chosen = await begin(service, 6)
        await service.put_part(NAME, upload_id, 2, body_of(b"00002"), TEXT)
        await service.complete_upload(NAME, upload_id, chosen[:4])
        assert len(await hidden(service, PARTS)) == 7
        assert await an_hour_later(cluster, service) == 3
        assert await get(service, NAME) == b"00001000020000300004"

    play()


@pytest.mark.usefixtures("proxies_die")
def test_what_a_deleted_container_had_of_uploads_goes() -> None:
    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        service = await a_service(cluster)
        upload_id, _chosen = await begin(service, 4)
        await service.delete_container(ACCOUNT, "c")
        await service.create_container(ACCOUNT, "c", {})
        assert await an_hour_later(cluster, service) == 5
        assert await hidden(service, PARTS) == await hidden(service, UPLOADS) == []
        with pytest.raises(NoSuchUpload):
            await service.list_parts(NAME, upload_id, 0, 10)

    play()


@pytest.mark.usefixtures("proxies_die")
def test_a_version_in_doubt_decides_nothing() -> None:
    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        service = await a_service(cluster)
        await make(service, 3)
        await put(service, NAME, b"small")
        await known(cluster, service)
        cluster.wall_offset_s = GRACE_S + 60
        holders = cluster.holders(cluster.key(*NAME))
        for holder in holders[1:]:
            holder.service.votes.restrict()
        assert await walk(cluster) == 0
        for holder in holders[1:]:
            holder.service.votes.allow_all()
        assert await walk(cluster) == 3

    play()


@pytest.mark.usefixtures("proxies_die")
def test_the_walk_goes_on_where_it_was() -> None:
    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        service = await a_service(cluster)
        for number in range(8):
            await make(service, 2, NAME._replace(object=f"{number}"))
        await known(cluster, service)
        leader = cluster.holders(cluster.key(ACCOUNT))[0]
        task = leader.orphans(GRACE_S)
        await task.step()
        await task.step()
        await task._bookmark.save(task._walk.position.encode())
        again = leader.orphans(GRACE_S)
        while await again.step() != INTERVAL_S:
            pass
        assert task.looked_at_count + again.looked_at_count == 16
        fresh = leader.orphans(GRACE_S)
        while await fresh.step() != INTERVAL_S:
            pass
        assert fresh.looked_at_count == 16, "the next walk begins anew"

    play()


@in_cluster
async def test_completing_while_it_walks_loses_nothing(cluster: LoopbackCluster) -> None:
    """The parts and the entry are old; only the completion is of now."""
    service = await a_service(cluster)
    uploads = [(number, *await begin(service, 3, NAME._replace(object=f"{number}"))) for number in range(6)]
    await known(cluster, service)
    cluster.wall_offset_s = GRACE_S + 60

    async def complete() -> None:
        for number, upload_id, chosen in uploads:
            await service.complete_upload(NAME._replace(object=f"{number}"), upload_id, chosen)

    async def walk_on(done: Callable[[], bool]) -> None:
        while not done():
            await walk(cluster)

    completing = asyncio.ensure_future(complete())
    await asyncio.gather(completing, walk_on(completing.done))
    await walk(cluster)
    for number, _upload_id, _chosen in uploads:
        assert await get(service, NAME._replace(object=f"{number}")) == b"000010000200003"
