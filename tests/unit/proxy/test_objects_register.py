"""proxy.objects: single objects as linearizable registers, with real devices (ARCHITECTURE.md, "Consistency")."""

import asyncio
from dataclasses import replace

import pytest

from cluster.clock import pack, wall_us
from proxy.objects import upload
from proxy.objects.errors import NoSuchObject, RangeNotSatisfiable, Unavailable
from proxy.objects.model import ListingQuery, ObjectInfo, ObjectName
from storage.messages import BlobPromise, Operation, Row
from tests.loopback import (
    TEXT,
    LoopbackCluster,
    LoopbackDevice,
    LoopbackProxy,
    Loss,
    MiB,
    Pieces,
    get,
    in_cluster,
    names_in,
    put,
    until,
)

NAME = ObjectName("AUTH_a", "c", "o")
LARGE = bytes(range(251)) * 12_000  # about three megabytes: streamed
HOUR_US = 3600 * 1_000_000


class Refused(Exception):
    """A condition does not hold."""


def absent(current: ObjectInfo | None) -> None:
    """Demand what If-None-Match: * does."""
    if current is not None:
        raise Refused


def key_of(cluster: LoopbackCluster, name: ObjectName = NAME) -> bytes:
    """Return the key of an object."""
    return cluster.key(*name)


def size_at(device: LoopbackDevice, name: ObjectName) -> int:
    """Return the size of the version that a device has of an object."""
    version = device.blobs.stat(device.cluster.key(*name))
    return -1 if version is None else version.size


def nothing_is_left(cluster: LoopbackCluster) -> bool:
    """Tell whether no device has anything of any object: no version, no upload, no file."""
    statuses = [device.blobs.status() for device in cluster.devices]
    files = [path for path in cluster.devices[0].directory.parent.glob("*/blobs/files/**/*") if path.is_file()]
    return not files and all(status["blobs"] == status["uploads"] == 0 for status in statuses)


@in_cluster
async def test_what_is_put_is_read_back_and_listed_until_it_is_deleted(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    assert await service.create_container("AUTH_a", "c", {})
    for data in (b"", b"small", bytes(MiB), bytes(MiB + 1), LARGE):
        written = await put(service, NAME, data)
        head = await service.head_object(NAME)
        assert head == written
        assert head.metadata.size == len(data)
        assert await get(service, NAME) == data
        assert await names_in(service, "AUTH_a", "c") == ["o"]
        assert await service.delete_object(NAME)
        with pytest.raises(NoSuchObject):
            await service.get_object(NAME)
        with pytest.raises(NoSuchObject):
            await service.head_object(NAME)
        assert await names_in(service, "AUTH_a", "c") == []
        assert not await service.delete_object(NAME)


@in_cluster
async def test_another_proxy_sees_an_overwrite_at_once(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy().service, cluster.proxy().service
    await one.create_container("AUTH_a", "c", {})
    for number in range(20):
        data = f"{number}".encode() if number % 5 else LARGE + bytes([number])
        await put(one, NAME, data)
        assert await get(other, NAME) == data
        one, other = other, one


@in_cluster
async def test_ranges_of_small_and_large_objects(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    for data in (b"0123456789", LARGE):
        await put(service, NAME, data)
        size = len(data)
        assert await get(service, NAME, (2, 4)) == data[2:5]
        assert await get(service, NAME, (7, None)) == data[7:]
        assert await get(service, NAME, (None, 3)) == data[-3:]
        assert await get(service, NAME, (None, size + 5)) == data
        assert await get(service, NAME, (size - 1, size + 100)) == data[-1:]
        reader = await service.get_object(NAME, (2, 4))
        assert (reader.start, reader.end, reader.info.metadata.size) == (2, 5, size)
        await reader.pieces.aclose()
        for unsatisfiable in ((size, None), (size + 9, size + 10), (None, 0)):
            with pytest.raises(RangeNotSatisfiable):
                await service.get_object(NAME, unsatisfiable)


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_write_succeeds_with_one_of_three_replicas_down(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        for device in cluster.devices:
            with cluster.without(device):
                await put(service, NAME, data + bytes([device.id]))
                assert await get(service, NAME) == data + bytes([device.id])
                assert await names_in(service, "AUTH_a", "c") == ["o"]

    scenario()


@pytest.mark.alone
@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_write_is_refused_at_once_with_two_of_three_replicas_down(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        holders = cluster.holders(key_of(cluster))
        loop = asyncio.get_running_loop()
        with cluster.without(*holders[:2]):
            began = loop.time()
            with pytest.raises(Unavailable):
                await put(service, NAME, data)
            with pytest.raises(Unavailable):
                await service.delete_object(NAME)
            assert loop.time() - began < 0.5
        with pytest.raises(NoSuchObject):
            await service.get_object(NAME)
        assert await names_in(service, "AUTH_a", "c") == []
        await until(lambda: nothing_is_left(cluster))

    scenario()


@in_cluster
async def test_a_write_in_the_middle_of_which_two_replicas_die_is_refused(cluster: LoopbackCluster) -> None:
    proxy = cluster.proxy()
    await proxy.service.create_container("AUTH_a", "c", {})
    holders = cluster.holders(key_of(cluster))

    class Dying(Pieces):
        async def read(self) -> bytes | bytearray | memoryview:
            piece = await super().read()
            if not piece:
                cluster.take_down(*holders[:2])
            return piece

    pieces = [LARGE[at : at + MiB] for at in range(0, len(LARGE), MiB)]
    with pytest.raises(Unavailable):
        await proxy.service.put_object(NAME, Dying(pieces), TEXT)
    cluster.bring_back(*holders[:2])
    with pytest.raises(NoSuchObject):
        await proxy.service.get_object(NAME)
    await until(lambda: nothing_is_left(cluster))


@pytest.mark.parametrize("data", [b"newer", LARGE], ids=["small", "large"])
def test_what_a_read_found_on_one_replica_only_is_not_unseen_by_a_later_read(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        writer, reader = cluster.proxy(), cluster.proxy()
        await writer.service.create_container("AUTH_a", "c", {})
        await put(writer.service, NAME, b"old")
        holder, *others = cluster.holders(key_of(cluster))
        await until(lambda: all(size_at(device, NAME) == 3 for device in others))
        lost = {Operation.BLOB_PUT, Operation.BLOB_COMMIT}
        for device in others:
            writer.peers[device.id].faults.loss = lambda operation: Loss.REQUEST if operation in lost else None
        with pytest.raises(Unavailable):
            await put(writer.service, NAME, data)
        await until(lambda: size_at(holder, NAME) == len(data))
        assert [size_at(device, NAME) for device in others] == [3, 3]
        with cluster.without(others[0]):
            assert await get(reader.service, NAME) == data
        with cluster.without(holder):
            assert await get(reader.service, NAME) == data

    scenario()


@in_cluster
async def test_a_head_too_writes_back_what_it_tells_of(cluster: LoopbackCluster) -> None:
    writer, reader = cluster.proxy(), cluster.proxy()
    await writer.service.create_container("AUTH_a", "c", {})
    await put(writer.service, NAME, b"old")
    holder, *others = cluster.holders(key_of(cluster))
    for device in others:
        writer.peers[device.id].faults.loss = lambda _operation: Loss.REQUEST
    with pytest.raises(Unavailable):
        await put(writer.service, NAME, b"newer")
    await until(lambda: size_at(holder, NAME) == 5)
    with cluster.without(others[1]):
        assert (await reader.service.head_object(NAME)).metadata.size == 5
    with cluster.without(holder):
        assert (await reader.service.head_object(NAME)).metadata.size == 5


@in_cluster
async def test_a_read_does_without_a_refused_write_that_cannot_be_copied_from_its_only_holder(
    cluster: LoopbackCluster,
) -> None:
    writer, reader = cluster.proxy(), cluster.proxy()
    await writer.service.create_container("AUTH_a", "c", {})
    await put(writer.service, NAME, b"old")
    holder, *others = cluster.holders(key_of(cluster))
    for device in others:
        writer.peers[device.id].faults.loss = lambda _operation: Loss.REQUEST
        device.peers[holder.id].disconnect()
    with pytest.raises(Unavailable):
        await put(writer.service, NAME, b"newer")
    await until(lambda: size_at(holder, NAME) == 5)
    for device in others:  # the read is told of it, asks the others to copy it, and has to begin again
        reader.peers[device.id].faults.delay_s = 0.001
    assert [await get(reader.service, NAME) for _ in range(6)] == [b"old"] * 6


@pytest.mark.alone
@pytest.mark.parametrize("promises", [1, 2, 3])
def test_a_promise_that_nobody_will_keep_holds_nobody_up(promises: int) -> None:
    """A replica that was halted may take a request out of its socket long after its sender has gone."""

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        stale, service = cluster.proxy(), cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        key = key_of(cluster)
        ahead = pack(wall_us() + 200_000, 0, 1)
        for device in cluster.holders(key)[:promises]:
            await stale.peers[device.id].call(Operation.BLOB_PROMISE, BlobPromise(key, ahead))
        began = asyncio.get_running_loop().time()
        await put(service, NAME, b"plain")
        await put(service, NAME, b"conditional", replace(TEXT, condition=lambda _current: None))
        assert asyncio.get_running_loop().time() - began < 1.0
        assert await get(service, NAME) == b"conditional"

    scenario()


@in_cluster
async def test_a_read_that_cannot_tell_the_newest_version_is_refused(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    await put(service, NAME, b"data")
    holders = cluster.holders(key_of(cluster))
    with cluster.without(*holders[1:]), pytest.raises(Unavailable):
        await service.get_object(NAME)


@pytest.mark.parametrize("stale_index", range(3))
def test_what_was_deleted_stays_deleted_when_a_stale_device_returns(stale_index: int) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        await put(service, NAME, b"data")
        holders = cluster.holders(key_of(cluster))
        with cluster.without(holders[stale_index]):
            assert await service.delete_object(NAME)
        for away in holders:
            if away is not holders[stale_index]:
                with cluster.without(away):
                    for _ in range(3):
                        with pytest.raises(NoSuchObject):
                            await service.get_object(NAME)
                        with pytest.raises(NoSuchObject):
                            await service.head_object(NAME)

    scenario()


@pytest.mark.parametrize("data", [b"new", LARGE], ids=["small", "large"])
def test_the_last_writer_wins_although_its_clock_is_an_hour_behind(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        ahead = cluster.proxy(lambda: wall_us() + HOUR_US).service
        behind = cluster.proxy(lambda: wall_us() - HOUR_US).service
        await ahead.create_container("AUTH_a", "c", {})
        await put(ahead, NAME, b"old")
        await put(behind, NAME, data)
        assert await get(ahead, NAME) == data
        await put(ahead, NAME, b"newer")
        another = cluster.proxy(lambda: wall_us() - HOUR_US).service
        assert await another.delete_object(NAME)
        with pytest.raises(NoSuchObject):
            await ahead.head_object(NAME)
        assert await names_in(ahead, "AUTH_a", "c") == []

    scenario()


@pytest.mark.parametrize("data", [b"mine", LARGE], ids=["small", "large"])
def test_of_concurrent_creators_exactly_one_wins(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        services = [cluster.proxy().service for _ in range(3)]
        await services[0].create_container("AUTH_a", "c", {})
        new = replace(TEXT, condition=absent)
        bodies = [data + bytes([number]) for number in range(6)]
        puts = [put(services[number % 3], NAME, body, new) for number, body in enumerate(bodies)]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
        assert len(winners) == 1, outcomes
        assert all(isinstance(outcome, ObjectInfo | Refused) for outcome in outcomes), outcomes
        assert await get(services[0], NAME) == bodies[winners[0]]

    scenario()


@in_cluster
async def test_compare_and_swap_loses_no_increment(cluster: LoopbackCluster) -> None:
    services = [cluster.proxy().service for _ in range(2)]
    await services[0].create_container("AUTH_a", "c", {})
    await put(services[0], NAME, b"0")
    increments, workers = 5, 4

    async def increment(worker: int) -> None:
        service, done = services[worker % 2], 0
        while done < increments:
            reader = await service.get_object(NAME)
            assert reader.data is not None
            etag, value = reader.info.metadata.etag, int(bytes(reader.data))

            def unchanged(current: ObjectInfo | None, etag: str = etag) -> None:
                if current is None or current.metadata.etag != etag:
                    raise Refused

            try:
                await put(service, NAME, str(value + 1).encode(), replace(TEXT, condition=unchanged))
            except Refused:
                continue
            done += 1

    await asyncio.gather(*(increment(worker) for worker in range(workers)))
    assert await get(services[0], NAME) == str(increments * workers).encode()


@in_cluster
async def test_a_plain_write_between_the_phases_of_a_conditional_one_is_not_lost(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy(), cluster.proxy()
    await one.service.create_container("AUTH_a", "c", {})
    for peer in one.peers.values():
        peer.faults.delay_s = 0.01
    conditional = asyncio.create_task(put(one.service, NAME, b"created", replace(TEXT, condition=absent)))
    await until(lambda: all(Operation.BLOB_PROMISE in one.peers[d.id].sent for d in cluster.holders(key_of(cluster))))
    await asyncio.sleep(0.02)
    await put(other.service, NAME, b"plain")
    (outcome,) = await asyncio.gather(conditional, return_exceptions=True)
    assert isinstance(outcome, ObjectInfo | Refused)
    assert await get(one.service, NAME) == b"plain"


@pytest.mark.alone
@in_cluster
async def test_a_proxy_that_dies_between_the_phases_of_a_write_holds_nobody_up(cluster: LoopbackCluster) -> None:
    dying, other = cluster.proxy(), cluster.proxy()
    await dying.service.create_container("AUTH_a", "c", {})
    for peer in dying.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.BLOB_PUT else None

    def die(_current: ObjectInfo | None) -> None:
        for peer in dying.peers.values():
            peer.disconnect()

    deciding = replace(TEXT, condition=lambda current: die(current) if promised(dying) else None)
    with pytest.raises(Unavailable):
        await put(dying.service, NAME, b"never", deciding)
    began = asyncio.get_running_loop().time()
    await put(other.service, NAME, b"data")
    assert asyncio.get_running_loop().time() - began < 1.0


def promised(proxy: LoopbackProxy) -> bool:
    """Tell whether a proxy has begun to decide."""
    return any(Operation.BLOB_PROMISE in peer.sent for peer in proxy.peers.values())


@in_cluster
async def test_restarts_between_the_phases_do_not_let_two_creators_win(
    cluster: LoopbackCluster,
) -> None:
    one, other = cluster.proxy(), cluster.proxy()
    await one.service.create_container("AUTH_a", "c", {})
    await other.service.container_info("AUTH_a", "c")
    holders = cluster.holders(key_of(cluster))
    for peer in one.peers.values():
        peer.faults.delay_s = 0.03
    first = asyncio.create_task(put(one.service, NAME, b"first", replace(TEXT, condition=absent)))
    await until(lambda: all(Operation.BLOB_PROMISE in one.peers[device.id].sent for device in holders))
    await asyncio.sleep(0.05)
    for device in holders[:2]:
        await device.crash()
        device.start()
    outcomes = await asyncio.gather(
        first, put(other.service, NAME, b"second", replace(TEXT, condition=absent)), return_exceptions=True
    )
    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
    assert len(winners) <= 1, outcomes
    if winners:
        assert await get(other.service, NAME) == (b"first", b"second")[winners[0]]


class Broken(Exception):
    """The client went away, or what it sent was not what it said."""


@pytest.mark.parametrize("size", [0, 100, MiB, MiB + 1, 3 * MiB])
def test_a_body_that_breaks_off_leaves_nothing_behind(size: int) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        pieces = [bytes(min(MiB // 2, size - at)) for at in range(0, size, MiB // 2)]
        with pytest.raises(Broken):
            await service.put_object(NAME, Pieces(pieces, error=Broken()), TEXT)
        with pytest.raises(NoSuchObject):
            await service.get_object(NAME)
        assert await names_in(service, "AUTH_a", "c") == []
        await until(lambda: nothing_is_left(cluster))

    scenario()


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_an_upload_that_its_check_refuses_leaves_nothing_behind(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})

        def refuse(_digest: str) -> tuple[dict[str, str], dict[str, str]]:
            raise Broken

        with pytest.raises(Broken):
            await put(service, NAME, data, replace(TEXT, finish=refuse))
        with pytest.raises(NoSuchObject):
            await service.get_object(NAME)
        await until(lambda: nothing_is_left(cluster))

    scenario()


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_what_the_check_learnt_at_the_end_is_stored(data: bytes) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        new = replace(TEXT, system={"a": 1}, finish=lambda digest: ({"digest": digest}, {"checksum": "x"}))
        info = await put(service, NAME, data, new)
        assert info.metadata.system == {"a": 1, "digest": info.metadata.etag}
        assert await service.head_object(NAME) == info
        listing = await service.list_container("AUTH_a", "c", ListingQuery())
        assert isinstance(listing.items[0], Row)
        assert listing.items[0].extra == {"checksum": "x"}

    scenario()


@in_cluster
async def test_a_cancelled_upload_leaves_nothing_behind(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})

    class Endless(Pieces):
        async def read(self) -> bytes | bytearray | memoryview:
            await asyncio.sleep(0)
            return bytes(MiB // 2)

    endless = asyncio.create_task(service.put_object(NAME, Endless([]), TEXT))
    await until(lambda: all(device.blobs.status()["uploads"] for device in cluster.holders(key_of(cluster))))
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    await until(lambda: nothing_is_left(cluster))


@pytest.mark.alone
def test_a_replica_that_lags_is_left_out_of_an_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "LAG_S", 0.05)
    monkeypatch.setattr(upload, "SYNC_LAG_S", 0.05)

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        await proxy.service.create_container("AUTH_a", "c", {})
        slow = cluster.holders(key_of(cluster))[0]
        proxy.peers[slow.id].faults.delay_s = 0.2
        loop = asyncio.get_running_loop()
        began = loop.time()
        await put(proxy.service, NAME, LARGE * 2)
        assert loop.time() - began < 1.0
        proxy.peers[slow.id].faults.delay_s = 0
        assert await get(proxy.service, NAME) == LARGE * 2
        await asyncio.sleep(0.25)  # what was on its way has arrived
        await until(lambda: slow.blobs.status()["uploads"] == 0)

    scenario()


@in_cluster
async def test_replicas_that_hold_something_newer_keep_no_upload(cluster: LoopbackCluster) -> None:
    one, other = cluster.proxy(), cluster.proxy()
    await one.service.create_container("AUTH_a", "c", {})
    await asyncio.gather(*(put(proxy.service, NAME, LARGE) for proxy in (one, other, one, other)))
    await until(lambda: all(device.blobs.status()["uploads"] == 0 for device in cluster.devices))


@in_cluster
async def test_a_download_goes_on_at_another_replica_when_one_dies(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    data = LARGE * 4
    await put(service, NAME, data)
    for _ in range(3):
        for device in cluster.holders(key_of(cluster)):
            reader = await service.get_object(NAME, (1000, None))
            got = [bytes(await anext(reader.pieces))]
            with cluster.without(device):
                got += [bytes(piece) async for piece in reader.pieces]
            assert b"".join(got) == data[1000:]


@in_cluster
async def test_a_download_does_not_mix_versions(cluster: LoopbackCluster) -> None:
    """The replica that it goes on at has the newer version by then: better an error than a mixture."""
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    data = LARGE * 4
    await put(service, NAME, data)
    reader = await service.get_object(NAME)
    got = [bytes(await anext(reader.pieces))]
    newer = await put(service, NAME, bytes(len(data)))
    for device in cluster.holders(key_of(cluster)):
        await until(lambda: device.blobs.index.timestamp(key_of(cluster)) == newer.timestamp)  # noqa: B023
    cluster.take_down(*cluster.devices)
    cluster.bring_back(*cluster.devices)
    with pytest.raises(Unavailable):
        got += [bytes(piece) async for piece in reader.pieces]
    assert data.startswith(b"".join(got))


@pytest.mark.alone
@in_cluster
async def test_a_slow_replica_does_not_hold_up_reads(cluster: LoopbackCluster) -> None:
    proxy = cluster.proxy()
    await proxy.service.create_container("AUTH_a", "c", {})
    written = await put(proxy.service, NAME, b"data")
    holders = cluster.holders(key_of(cluster))
    for device in holders:  # two have it as soon as it is acknowledged: a read of one of them and the third would heal
        await until(lambda: device.blobs.index.timestamp(key_of(cluster)) == written.timestamp)  # noqa: B023
    proxy.peers[holders[1].id].faults.delay_s = 2.0
    loop = asyncio.get_running_loop()
    for _ in range(6):
        began = loop.time()
        assert await get(proxy.service, NAME) == b"data"
        assert loop.time() - began < 0.5


@in_cluster
async def test_confirmations_reach_the_devices(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {})
    await put(service, NAME, b"data")
    await put(service, NAME._replace(object="p"), LARGE)
    await service.delete_object(NAME)
    holders = cluster.holders(key_of(cluster))
    assert any(device.blobs.status()["unlisted"] for device in holders)
    await service.close()
    for _ in range(2):  # what was confirmed is written by and by
        await asyncio.sleep(0.01)
        for device in cluster.devices:
            device.blobs._commits.flush_confirmed()
    await until(lambda: all(device.blobs.status()["unlisted"] == 0 for device in cluster.devices))


@in_cluster
async def test_what_was_acknowledged_survives_a_crash_of_all_devices(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container("AUTH_a", "c", {"k": "v"})
    other = NAME._replace(object="large")
    await asyncio.gather(put(service, NAME, b"data"), put(service, other, LARGE))
    for device in cluster.devices:
        await device.crash()
    for device in cluster.devices:
        device.start()
    assert await get(service, NAME) == b"data"
    assert await get(service, other) == LARGE
    assert await names_in(service, "AUTH_a", "c") == ["large", "o"]
    assert (await service.container_info("AUTH_a", "c")).metadata == {"k": "v"}
