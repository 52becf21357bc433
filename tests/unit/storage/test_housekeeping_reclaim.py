"""storage.housekeeping.reclaim: tombstones go from all devices, and what they deleted never comes back."""

import asyncio
import random
from collections.abc import Callable

import pytest

from cluster.clock import pack, wall_us
from cluster.wire import RemoteError
from proxy.objects import errors
from proxy.objects.model import ObjectName
from proxy.objects.service import ObjectService
from storage.housekeeping import replicate
from storage.housekeeping.reclaim import RETRY_S
from storage.messages import BlobPut, BlobReclaim, Operation, Refusal, Version
from storage.rings.document import Stage
from tests.loopback import (
    LoopbackCluster,
    LoopbackDevice,
    LoopbackProxy,
    Loss,
    get,
    in_cluster,
    put,
    rings_of,
    until,
)

DAY_S = 86_400.0
AGE_S = 7 * DAY_S
ACCOUNT = "AUTH_a"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let replication leave nothing to its writer."""
    monkeypatch.setattr(replicate, "GRACE_S", 0.0)


def named(text: str) -> ObjectName:
    return ObjectName(ACCOUNT, "c", text)


def key_of(cluster: LoopbackCluster, text: str) -> bytes:
    return cluster.key(*named(text))


async def a_service(cluster: LoopbackCluster) -> ObjectService:
    """Return a service with a container."""
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    return service


async def replicate_all(cluster: LoopbackCluster) -> None:
    for device in cluster.devices:
        await device.replicate().step()


async def give_up(cluster: LoopbackCluster, age_s: float = AGE_S) -> int:
    """Let every device give up what it leads, once; return how many tombstones went."""
    tasks = [device.reclaim(age_s) for device in cluster.devices]
    for task in tasks:
        await task.step()
    return sum(task.reclaimed_count for task in tasks)


def tombstones(cluster: LoopbackCluster) -> int:
    return sum(device.blobs.index.tombstone_count for device in cluster.devices)


async def listed(cluster: LoopbackCluster) -> None:
    """Wait until proxies have confirmed all rows."""
    await until(lambda: not any(device.blobs.index.unlisted_count for device in cluster.devices if device.running))


async def is_absent(service: ObjectService, text: str) -> bool:
    try:
        await service.head_object(named(text))
    except errors.NoSuchObject:
        return True
    return False


async def written_and_deleted(cluster: LoopbackCluster, service: ObjectService, *texts: str) -> None:
    """Leave tombstones that are a month old."""
    for text in texts:
        await put(service, named(text), text.encode())
    for text in texts:
        await service.delete_object(named(text))
    await listed(cluster)
    cluster.wall_offset_s = 30 * DAY_S


@in_cluster
async def test_old_tombstones_go_everywhere_and_young_ones_stay(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await put(service, named("kept"), b"kept")
    await written_and_deleted(cluster, service, *"abcdefgh")
    assert await give_up(cluster, 31 * DAY_S) == 0
    assert tombstones(cluster) == 3 * 8
    assert await give_up(cluster) == 8
    assert tombstones(cluster) == 0
    assert sum(len(device.blobs.versions(b"", None, 100)) for device in cluster.devices) == 3
    for text in "abcdefgh":
        assert await is_absent(service, text)
    assert await get(service, named("kept")) == b"kept"
    await put(service, named("a"), b"again")
    assert await get(service, named("a")) == b"again"


@in_cluster
async def test_nothing_goes_while_a_device_is_away(cluster: LoopbackCluster) -> None:
    """Also one that is no primary: it may hold a copy."""
    service = await a_service(cluster)
    await written_and_deleted(cluster, service, "a")
    for device in cluster.devices:
        with cluster.without(device):
            task = cluster.holders(key_of(cluster, "a"))[0].reclaim(AGE_S)
            assert await task.step() == RETRY_S
            assert "down" in task.waiting
    assert tombstones(cluster) == 3


@in_cluster
async def test_a_replica_that_slept_through_the_deletion_keeps_the_tombstone_until_it_has_it(
    cluster: LoopbackCluster,
) -> None:
    service = await a_service(cluster)
    await put(service, named("a"), b"old")
    await listed(cluster)
    stale = cluster.holders(key_of(cluster, "a"))[1]
    with cluster.without(stale):
        await written_and_deleted(cluster, service, *"")
        await service.delete_object(named("a"))
        await until(lambda: cluster.holders(key_of(cluster, "a"))[0].blobs.index.unlisted_count == 0)
    assert await give_up(cluster) == 0
    assert tombstones(cluster) == 2
    assert await is_absent(service, "a")
    await replicate_all(cluster)
    await listed(cluster)
    assert await give_up(cluster) == 1
    assert tombstones(cluster) == 0
    await replicate_all(cluster)
    assert await is_absent(service, "a")


@in_cluster
async def test_a_copy_on_a_device_that_is_no_primary_keeps_it(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await put(service, named("a"), b"old")
    key = key_of(cluster, "a")
    holders = cluster.holders(key)
    (other,) = [device for device in cluster.devices if device not in holders]
    await until(lambda: holders[0].blobs.stat(key) is not None)
    await other.service.fetch(key, holders[0].blobs.stat(key).timestamp, holders[0].id)  # type: ignore[union-attr]
    other.blobs.confirm_rows([(key, other.blobs.stat(key).timestamp)])  # type: ignore[union-attr]
    await service.delete_object(named("a"))
    await listed(cluster)
    cluster.wall_offset_s = 30 * DAY_S
    task = holders[0].reclaim(AGE_S)
    await task.step()
    assert (task.reclaimed_count, task.kept_count) == (0, 1)
    await other.blobs.forget([(key, other.blobs.stat(key).timestamp)])  # type: ignore[union-attr]
    assert await give_up(cluster) == 1


@in_cluster
async def test_a_tombstone_whose_row_may_be_missing_stays(cluster: LoopbackCluster) -> None:
    proxy = cluster.proxy()
    await proxy.service.create_container(ACCOUNT, "c", {})
    await put(proxy.service, named("a"), b"old")
    for peer in proxy.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.ROWS_CONFIRM else None
    await proxy.service.delete_object(named("a"))
    cluster.wall_offset_s = 30 * DAY_S
    assert await give_up(cluster) == 0


def the_third(wanted: Operation) -> Callable[[int], Loss | None]:
    """Lose the third call of an operation: after being asked twice, being told."""
    seen = [0]

    def loss(operation: int) -> Loss | None:
        seen[0] += operation == wanted
        return Loss.REQUEST if operation == wanted and seen[0] == 3 else None

    return loss


@in_cluster
async def test_a_leader_that_stops_in_the_middle_leaves_what_is_given_up_later(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await written_and_deleted(cluster, service, "a")
    leader, second, third = cluster.holders(key_of(cluster, "a"))
    leader.peers[second.id].faults.loss = the_third(Operation.BLOB_RECLAIM)
    task = leader.reclaim(AGE_S)
    assert await task.step() == RETRY_S
    assert [device.blobs.index.tombstone_count for device in (leader, second, third)] == [1, 1, 0]
    assert await is_absent(service, "a")
    assert await give_up(cluster) == 1, "with and without replication in between"
    assert tombstones(cluster) == 0
    assert await is_absent(service, "a")


@in_cluster
async def test_what_is_copied_back_in_the_middle_goes_later(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await written_and_deleted(cluster, service, "a")
    leader, second, _third = cluster.holders(key_of(cluster, "a"))
    leader.peers[second.id].faults.loss = the_third(Operation.BLOB_RECLAIM)
    await leader.reclaim(AGE_S).step()
    await replicate_all(cluster)
    assert tombstones(cluster) == 3
    assert await give_up(cluster) == 1
    assert tombstones(cluster) == 0


@in_cluster
async def test_a_name_that_is_being_copied_is_left_alone(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await written_and_deleted(cluster, service, "a")
    with cluster.devices[0].service.copies._noted([key_of(cluster, "a")]):
        assert await give_up(cluster) == 0
    assert await give_up(cluster) == 1


@in_cluster
async def test_a_late_write_does_not_bring_it_back_and_a_slow_clock_does_no_harm(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    before = pack(wall_us(), 0, 1)
    await written_and_deleted(cluster, service, "a")
    await give_up(cluster)
    key = key_of(cluster, "a")
    version = cluster.rings.version
    for device in cluster.devices:
        with pytest.raises(RemoteError) as refused:
            await cluster.devices[0].peers[device.id].call(
                Operation.BLOB_PUT, BlobPut(key, before, 0, b""), b"late", tag=version
            )
        assert refused.value.code == Refusal.PROMISED
    assert await is_absent(service, "a")
    slow = cluster.proxy(lambda: wall_us() - int(365 * DAY_S * 1e6)).service
    await put(slow, named("b"), b"by a slow clock")
    assert await get(service, named("b")) == b"by a slow clock"


@in_cluster
async def test_while_rings_change_nothing_goes(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await written_and_deleted(cluster, service, "a")
    cluster.publish(rings_of(2, Stage.JOINING, 1, cluster.ring, cluster.ring))
    assert await give_up(cluster) == 0
    assert tombstones(cluster) == 3


@in_cluster
async def test_a_device_that_is_rebuilt_refuses_to_be_asked(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await written_and_deleted(cluster, service, "a")
    cluster.devices[2].service.votes.restrict()
    assert await give_up(cluster) == 0
    cluster.devices[2].service.votes.allow_all()
    assert await give_up(cluster) == 1


@in_cluster
async def test_too_many_at_a_time_are_refused(cluster: LoopbackCluster) -> None:
    message = BlobReclaim(pack(1, 0, 0), ((b"k" * 16, pack(1, 0, 0)),) * 257)
    with pytest.raises(RemoteError) as refused:
        await cluster.devices[0].peers[1].call(Operation.BLOB_RECLAIM, message, tag=1)
    assert refused.value.code == Refusal.BAD_REQUEST


@in_cluster
async def test_more_than_a_message_of_them_go_in_steps(cluster: LoopbackCluster) -> None:
    holders = {device.id: 0 for device in cluster.devices}
    for number in range(700):
        key = cluster.key(ACCOUNT, "c", str(number))
        version = Version(pack(1_000_000 + number, 0, 1), True, 2, 0)
        for device in cluster.holders(key):
            await device.blobs.install(key, version)
            holders[device.id] += 1
    tasks = [device.reclaim(AGE_S) for device in cluster.devices]
    for _ in range(4):
        for task in tasks:
            await task.step()
    assert sum(task.reclaimed_count for task in tasks) == 700
    assert tombstones(cluster) == 0


class History:
    """Random deletions, faults and housekeeping; what is acknowledged must be what is read."""

    def __init__(self, cluster: LoopbackCluster, proxy: LoopbackProxy, seed: int) -> None:
        self.cluster = cluster
        self.service = proxy.service
        self.random = random.Random(seed)
        self.model: dict[str, set[bytes]] = {text: {b""} for text in "ab"}  # what may be there; b"": nothing
        self.down: LoopbackDevice | None = None
        self.clock = 0

    async def run(self, steps: int) -> None:
        often = (self.put, self.delete, self.read, self.reclaim)
        actions = (*often, *often, self.fault, self.replicate, self.race)
        for _ in range(steps):
            await self.random.choice(actions)()
        if self.down is not None:
            self.cluster.bring_back(self.down)
        for text in self.model:
            await self.read(text)

    def any(self) -> str:
        return self.random.choice(list(self.model))

    async def put(self, text: str = "") -> None:
        text = text or self.any()
        self.clock += 1
        data = f"{text} {self.clock}".encode()
        try:
            await put(self.service, named(text), data)
            self.model[text] = {data}
        except errors.Unavailable:
            self.model[text].add(data)

    async def delete(self) -> None:
        text = self.any()
        try:
            await self.service.delete_object(named(text))
            self.model[text] = {b""}
        except errors.Unavailable:
            self.model[text].add(b"")

    async def read(self, text: str = "") -> None:
        text = text or self.any()
        try:
            found = await get(self.service, named(text))
        except errors.NoSuchObject:
            found = b""
        except errors.Unavailable:
            return
        assert found in self.model[text], (text, found)
        self.model[text] = {found}

    async def fault(self) -> None:
        if self.down is not None:
            self.cluster.bring_back(self.down)
            self.down = None
            for text in [*self.model] * 2:
                await self.read(text)
            return
        device = self.random.choice(self.cluster.holders(key_of(self.cluster, self.any())))
        if self.random.random() < 0.7:
            self.down = device
            self.cluster.take_down(device)
        else:
            await device.crash()
            if self.random.random() < 0.5:  # a power cut: the index is made anew
                (device.directory / "blobs" / "index" / "state").unlink()
            device.start()

    async def replicate(self) -> None:
        await self.random.choice(self.cluster.devices).replicate().step()

    async def reclaim(self) -> None:
        for device in self.cluster.devices:  # rows are of no interest here
            unlisted, _start = device.blobs.unlisted()
            device.blobs.confirm_rows(unlisted)
        leader = self.cluster.holders(key_of(self.cluster, self.any()))[0]
        await leader.reclaim(0.0).step()

    async def race(self) -> None:
        """Write while tombstones go."""
        await asyncio.gather(self.put(), self.reclaim(), self.replicate())


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_nothing_deleted_comes_back_and_nothing_written_goes(seed: int) -> None:
    """The reclaim age is none here, so that the protocol alone must do it."""

    @in_cluster
    async def play(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        await proxy.service.create_container(ACCOUNT, "c", {})
        history = History(cluster, proxy, seed)
        await history.run(80)
        for _ in range(3):
            await replicate_all(cluster)
            await history.reclaim()
            await give_up(cluster, 0.0)
        assert tombstones(cluster) == 0
        for text in history.model:
            await history.read(text)

    play()
