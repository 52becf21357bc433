"""storage.housekeeping: what the tasks of real devices bring to an end, and that all replicas end up equal."""

import asyncio
import time

import pytest

from cluster.clock import ZERO, Timestamp, pack, wall_us
from cluster.wire import RemoteError
from proxy.objects import errors
from proxy.objects.model import ListingQuery, ObjectName
from proxy.objects.service import ObjectService
from storage import copying
from storage.housekeeping import replicate, rows, synchronize
from storage.housekeeping.schedule import Schedule
from storage.messages import DatabaseKind, Info, Operation, Refusal, Row
from storage.quorum import Majority
from tests.loopback import (
    LoopbackCluster,
    LoopbackDevice,
    LoopbackProxy,
    Loss,
    get,
    in_cluster,
    names_in,
    put,
    until,
)

ACCOUNT = "AUTH_a"
LARGE = bytes(range(251)) * 12_000  # about three megabytes: a file of its own


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for its writer to finish it."""
    monkeypatch.setattr(replicate, "GRACE_S", 0.0)
    monkeypatch.setattr(synchronize, "GRACE_S", 0.0)
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)


def named(text: str) -> ObjectName:
    """Return an object's name."""
    return ObjectName(ACCOUNT, "c", text)


async def replicate_all(cluster: LoopbackCluster) -> int:
    """Let every device compare itself with every other once; return how much was fetched."""
    tasks = [device.replicate() for device in cluster.devices]
    for task in tasks:
        await task.step()
    assert not any(task.failed_count for task in tasks)
    return sum(task.fetched_count for task in tasks)


def digests_agree(cluster: LoopbackCluster) -> bool:
    """Tell whether the replicas of every partition have the same objects."""
    by_partition: dict[int, set[bytes]] = {}
    for held in cluster.digests():
        for partition, digest in held.items():
            by_partition.setdefault(partition, set()).add(digest)
    return all(len(digests) == 1 for digests in by_partition.values())


async def inventories_agree(cluster: LoopbackCluster) -> bool:
    """Tell whether the replicas of every database are equal."""
    found: dict[bytes, list[bytes]] = {}
    for device in cluster.devices:
        for kind in DatabaseKind:
            for key, digest in await device.indexes.inventory(kind, b"", None, 1000):
                found.setdefault(key, []).append(digest)
    return all(len(digests) == 3 and len(set(digests)) == 1 for digests in found.values())


@in_cluster
async def test_a_device_that_was_away_catches_up_with_all_objects(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    for number in range(12):
        await put(service, named(f"before{number}"), b"before")
    away = cluster.devices[1]
    with cluster.without(away):
        for number in range(12):
            await put(service, named(f"small{number}"), b"small %d" % number)
        for number in range(4):
            await put(service, named(f"large{number}"), LARGE + bytes([number]))
            await service.delete_object(named(f"before{number}"))
            await put(service, named(f"before{number + 4}"), b"changed")
    await asyncio.sleep(0.02)
    assert not digests_agree(cluster)
    task = away.replicate()
    await task.step()
    assert task.fetched_count > 0
    assert digests_agree(cluster)
    await task.step()
    assert task.lacking_count == 0
    assert await replicate_all(cluster) == 0
    for other in cluster.devices:
        if other is not away:
            with cluster.without(other):
                assert await get(service, named("large3")) == LARGE + b"\3"
                assert await get(service, named("small7")) == b"small 7"
                assert await get(service, named("before5")) == b"changed"
                with pytest.raises(errors.NoSuchObject):
                    await get(service, named("before2"))


def test_rows_of_old_versions_are_not_sent_again_by_a_device_that_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "LISTED_AFTER_S", 0.0)

    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container(ACCOUNT, "c", {})
        away = cluster.devices[1]
        with cluster.without(away):
            for number in range(8):
                await put(service, named(f"{number}"), LARGE if number == 3 else b"data")
        await asyncio.sleep(0.02)
        task = away.replicate()
        await task.step()
        assert task.fetched_count > 0
        assert unlisted_at(away) == 0

    scenario()


@in_cluster
async def test_an_empty_device_gets_everything_back(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {"k": "v"})
    for number in range(10):
        await put(service, named(f"{number}"), b"data")
    await put(service, named("large"), LARGE)
    lost = cluster.devices[2]
    await lost.crash()
    lost.directory = lost.directory.with_name("empty")
    lost.start()
    await lost.replicate().step()
    for kind in DatabaseKind:
        await lost.synchronize(kind).step()
    assert digests_agree(cluster)
    assert await inventories_agree(cluster)


@in_cluster
async def test_replication_leaves_alone_what_is_still_being_written(
    cluster: LoopbackCluster,
) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    with cluster.without(cluster.devices[0]):
        for number in range(8):
            await put(service, named(f"{number}"), b"data")
    replicate.GRACE_S = 100.0
    task = cluster.devices[0].replicate()
    delay_s = await task.step()
    assert (task.fetched_count, delay_s) == (0, 100.0)
    assert (task.lacking_count or 0) > 0
    replicate.GRACE_S = 0.0
    await task.step()
    assert task.fetched_count > 0


@in_cluster
async def test_replication_goes_on_when_a_peer_is_down(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    with cluster.without(cluster.devices[0]):
        for number in range(12):
            await put(service, named(f"{number}"), b"data")
    await asyncio.sleep(0.02)
    task = cluster.devices[0].replicate()
    with cluster.without(cluster.devices[1]):
        await task.step()
        assert task.fetched_count > 0
        assert task.lacking_count is None, "not everything was compared"
    await task.step()
    assert digests_agree(cluster)


@in_cluster
async def test_databases_that_were_missed_are_pulled(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    for number in range(6):
        await service.create_container(ACCOUNT, f"c{number}", {})
        await put(service, ObjectName(ACCOUNT, f"c{number}", "o"), b"data")
    away = cluster.devices[3]
    with cluster.without(away):
        for number in range(6, 12):
            await service.create_container(ACCOUNT, f"c{number}", {"k": number})
            await put(service, ObjectName(ACCOUNT, f"c{number}", "o"), b"data")
        for number in range(3):
            await service.delete_object(ObjectName(ACCOUNT, f"c{number}", "o"))
            await service.delete_container(ACCOUNT, f"c{number}")
        await put(service, ObjectName(ACCOUNT, "c4", "p"), b"data")
    assert not await inventories_agree(cluster)
    tasks = [away.synchronize(kind) for kind in DatabaseKind]
    for task in tasks:
        await task.step()
    assert sum(task.pulled_count for task in tasks) > 0
    assert await inventories_agree(cluster)
    tasks = [device.synchronize(kind) for kind in DatabaseKind for device in cluster.devices]
    for task in tasks:
        await task.step()
    assert sum(task.pulled_count for task in tasks) == 0
    with cluster.without(cluster.devices[0]):
        assert await names_in(service, ACCOUNT, "c4") == ["o", "p"]
        with pytest.raises(errors.NoSuchContainer):
            await names_in(service, ACCOUNT, "c1")


def lose_rows(proxy: LoopbackProxy) -> None:
    """Let a proxy die, so to say, between objects and their rows."""
    for peer in proxy.peers.values():
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.INDEX_ROWS else None


@in_cluster
async def test_a_database_that_was_behind_is_compared_again_soon(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    stale, fresh, _other = cluster.holders(cluster.key(ACCOUNT, "c"))
    with cluster.without(stale):
        await put(service, named("missed"), b"data")
    task = stale.synchronize(DatabaseKind.CONTAINER)
    with cluster.without(fresh):
        await task.step()
        assert task.lacking_count is None, "not everything was compared"
    with cluster.without(stale):
        await put(service, named("missed too"), b"data")
    assert await task.step() <= synchronize.GRACE_S
    assert task.lacking_count == 1
    assert await task.step() > synchronize.GRACE_S
    assert task.lacking_count == 0


@in_cluster
async def test_rows_that_a_proxy_left_undone_are_added(cluster: LoopbackCluster) -> None:
    dying, other = cluster.proxy(), cluster.proxy()
    await other.service.create_container(ACCOUNT, "c", {})
    await put(other.service, named("deleted"), b"data")
    lose_rows(dying)
    for name, data in (("small", b"data"), ("large", LARGE)):
        with pytest.raises(errors.Unavailable):
            await put(dying.service, named(name), data)
    with pytest.raises(errors.Unavailable):
        await dying.service.delete_object(named("deleted"))
    assert await names_in(other.service, ACCOUNT, "c") == ["deleted"]
    assert await get(other.service, named("large")) == LARGE
    tasks = [device.add_rows() for device in cluster.devices]
    for task in tasks:
        await task.step()
    assert sum(task.added_count for task in tasks) >= 3
    listing = await other.service.list_container(ACCOUNT, "c", ListingQuery())
    rows_ = [item for item in listing.items if isinstance(item, Row)]
    assert [(row.name, row.size) for row in rows_] == [("large", len(LARGE)), ("small", 4)]
    assert rows_[0].timestamp == (await other.service.head_object(named("large"))).timestamp


@in_cluster
async def test_a_row_is_added_once_and_then_confirmed_everywhere(cluster: LoopbackCluster) -> None:
    dying = cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    lose_rows(dying)
    with pytest.raises(errors.Unavailable):
        await put(dying.service, named("o"), b"data")
    holders = cluster.holders(cluster.key(*named("o")))
    await until(lambda: all(unlisted_at(device) == 1 for device in holders))
    first = holders[0].add_rows()
    await first.step()
    assert first.added_count == 1
    await asyncio.sleep(0.02)
    for device in cluster.devices:
        device.blobs._commits.flush_confirmed()
    await until(lambda: all(unlisted_at(device) == 0 for device in cluster.devices))


@in_cluster
async def test_a_version_that_is_damaged_here_keeps_no_other_row_waiting(cluster: LoopbackCluster) -> None:
    dying, other = cluster.proxy(), cluster.proxy()
    await other.service.create_container(ACCOUNT, "c", {})
    lose_rows(dying)
    names = [named(f"o{number}") for number in range(8)]
    for name in names:
        with pytest.raises(errors.Unavailable):
            await put(dying.service, name, b"data")
    device = cluster.holders(cluster.key(*names[0]))[0]
    own = sorted((cluster.key(*name), name.object) for name in names if device in cluster.holders(cluster.key(*name)))
    await until(lambda: unlisted_at(device) == len(own))
    (damaged, spoiled), head = own[0], device.blobs.head

    def refused(key: bytes) -> object:
        if key == damaged:
            raise RemoteError(Refusal.CORRUPT, "the bytes are not what was written")
        return head(key)

    device.blobs.head = refused  # type: ignore[assignment]
    task = device.add_rows()
    rows.PATIENCE_S = -1.0  # whichever turn it is
    await task.step()
    assert task.added_count == len(own) - 1 > 0
    assert spoiled not in await names_in(other.service, ACCOUNT, "c")


def unlisted_at(device: LoopbackDevice) -> int:
    """Return how many versions of a device nobody has confirmed."""
    count = device.blobs.status()["unlisted"]
    assert isinstance(count, int)
    return count


@in_cluster
async def test_a_row_is_added_also_when_its_proxys_clock_was_ahead(cluster: LoopbackCluster) -> None:
    dying = cluster.proxy(lambda: wall_us() + 300_000_000)
    await dying.service.create_container(ACCOUNT, "c", {})
    lose_rows(dying)
    with pytest.raises(errors.Unavailable):
        await put(dying.service, named("o"), b"data")
    first = cluster.holders(cluster.key(*named("o")))[0]
    await until(lambda: unlisted_at(first) == 1)
    rows.PATIENCE_S = 0.05
    task = first.add_rows()
    await task.step()
    assert task.added_count == 0, "not at once"
    await asyncio.sleep(0.1)
    await task.step()
    assert task.added_count == 1
    await task.step()
    assert not task._young, "nothing is remembered of what waits no more"


@in_cluster
async def test_holders_take_turns_at_adding_a_row(cluster: LoopbackCluster) -> None:
    dying = cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    lose_rows(dying)
    with pytest.raises(errors.Unavailable):
        await put(dying.service, named("o"), b"data")
    holders = cluster.holders(cluster.key(*named("o")))
    await until(lambda: all(unlisted_at(device) == 1 for device in holders))
    rows.PATIENCE_S = 0.2
    tasks = [device.add_rows() for device in holders]
    for task in tasks:
        await task.step()
    assert [task.added_count for task in tasks] == [0, 0, 0]
    await asyncio.sleep(0.22)
    for task in reversed(tasks):
        await task.step()
    assert [task.added_count for task in tasks] == [1, 0, 0]


async def orphan_of(cluster: LoopbackCluster, *, remade: bool) -> ObjectService:
    """Let a proxy die between an object and its row, and delete the container; return another proxy's service."""
    dying, other = cluster.proxy(), cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    lose_rows(dying)
    with pytest.raises(errors.Unavailable):
        await put(dying.service, named("o"), b"data")
    await other.service.delete_container(ACCOUNT, "c")
    if remade:
        await other.service.create_container(ACCOUNT, "c", {})
    return other.service


async def add_all_rows(cluster: LoopbackCluster) -> tuple[int, int]:
    """Let every device look once for missing rows; return how many were added, and orphans deleted."""
    tasks = [device.add_rows() for device in cluster.devices]
    for task in tasks:
        await task.step()
    await asyncio.sleep(0.02)  # confirmations to other devices arrive
    return sum(task.added_count for task in tasks), sum(task.orphan_count for task in tasks)


@pytest.mark.parametrize("remade", [False, True], ids=["gone", "made anew meanwhile"])
def test_an_object_that_no_container_will_list_is_deleted(remade: bool) -> None:
    @in_cluster
    async def scenario(cluster: LoopbackCluster) -> None:
        service = await orphan_of(cluster, remade=remade)
        assert await add_all_rows(cluster) == (0, 1)
        if not remade:
            await service.create_container(ACCOUNT, "c", {})
        with pytest.raises(errors.NoSuchObject):
            await get(service, named("o"))
        assert await names_in(service, ACCOUNT, "c") == []
        for device in cluster.devices:
            device.blobs._commits.flush_confirmed()
        await until(lambda: all(unlisted_at(device) == 0 for device in cluster.devices))
        assert await add_all_rows(cluster) == (0, 0)

    scenario()


@in_cluster
async def test_what_has_replaced_an_orphan_stays(cluster: LoopbackCluster) -> None:
    service = await orphan_of(cluster, remade=False)
    await service.create_container(ACCOUNT, "c", {})
    stale = cluster.holders(cluster.key(*named("o")))[0]
    with cluster.without(stale):
        await put(service, named("o"), b"newer")
    task = stale.add_rows()
    await task.step()
    assert task.orphan_count == 1
    assert await get(service, named("o")) == b"newer"
    await stale.replicate().step()
    with cluster.without(cluster.holders(cluster.key(*named("o")))[1]):
        assert await get(service, named("o")) == b"newer"
    assert await names_in(service, ACCOUNT, "c") == ["o"]


@in_cluster
async def test_an_orphan_stays_until_a_quorum_of_its_primaries_can_be_told(cluster: LoopbackCluster) -> None:
    await orphan_of(cluster, remade=False)
    key = cluster.key(*named("o"))
    first, second, third = cluster.holders(key)
    task = first.add_rows()
    for peer in (*cluster.peers_of(second.id), *cluster.peers_of(third.id)):
        peer.faults.loss = lambda operation: Loss.REQUEST if operation == Operation.BLOB_DELETE else None
    await task.step()
    assert (task.orphan_count, unlisted_at(second), unlisted_at(third)) == (0, 1, 1)
    second_task = second.add_rows()  # has connections of its own
    await second_task.step()
    assert second_task.orphan_count == 1
    tombstone = first.blobs.stat(key)
    assert tombstone is not None
    assert tombstone.deleted
    assert second.blobs.stat(key) == third.blobs.stat(key) == tombstone


def info(put: Timestamp, deleted: Timestamp) -> Info:
    """Return the state of a container on one replica."""
    return Info(ACCOUNT, "c", put, deleted, 0, {}, 0, 0, 0, b"")


EARLY, BETWEEN, LATE = (pack(microseconds, 0, 0) for microseconds in (1, 2, 3))


@pytest.mark.parametrize(
    ("infos", "version", "since"),
    [
        ([info(EARLY, ZERO), info(EARLY, ZERO)], BETWEEN, EARLY),
        ([info(LATE, ZERO), info(EARLY, ZERO)], BETWEEN, LATE),
        ([info(BETWEEN, EARLY), info(ZERO, EARLY)], LATE, BETWEEN),
        ([info(EARLY, LATE), info(EARLY, LATE)], BETWEEN, None),
        ([info(EARLY, BETWEEN), info(EARLY, BETWEEN)], LATE, None),
        ([info(LATE, BETWEEN), info(EARLY, BETWEEN)], EARLY, None),
        ([info(EARLY, LATE), info(EARLY, ZERO)], BETWEEN, "undecided"),
        ([info(EARLY, LATE)], BETWEEN, "undecided"),
        ([info(ZERO, ZERO), info(ZERO, ZERO)], BETWEEN, "undecided"),
        ([], BETWEEN, "undecided"),
    ],
)
def test_a_deletion_that_a_minority_has_taken_makes_no_orphans(
    infos: list[Info], version: Timestamp, since: Timestamp | str | None
) -> None:
    try:
        found: Timestamp | str | None = rows.listed_since(dict(enumerate(infos)), version, Majority.of(range(3)))
    except rows.Undecided:
        found = "undecided"
    assert found == since


@in_cluster
async def test_missing_rows_wait_while_the_container_has_no_quorum(cluster: LoopbackCluster) -> None:
    dying, other = cluster.proxy(), cluster.proxy()
    await dying.service.create_container(ACCOUNT, "c", {})
    lose_rows(dying)
    with pytest.raises(errors.Unavailable):
        await put(dying.service, named("o"), b"data")
    holder = cluster.holders(cluster.key(*named("o")))[0]
    await until(lambda: unlisted_at(holder) == 1)
    task = holder.add_rows()
    with cluster.without(*cluster.devices):
        await task.step()
        assert task.added_count == 0
    await task.step()
    assert await names_in(other.service, ACCOUNT, "c") == ["o"]


@in_cluster
async def test_counters_that_no_quorum_took_are_reported_later(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    await put(service, named("o"), b"12345")
    await asyncio.sleep(0.1)
    holders = cluster.holders(cluster.key(ACCOUNT))
    with cluster.without(*holders[:2]):
        for device in cluster.devices:
            await device.report().step()
    for device in cluster.devices:
        await device.report().step()
    info = await service.account_info(ACCOUNT)
    assert (info.object_count, info.bytes_used) == (1, 5)


@in_cluster
async def test_what_a_stale_account_replica_missed_is_synchronized(cluster: LoopbackCluster) -> None:
    service = cluster.proxy().service
    stale = cluster.holders(cluster.key(ACCOUNT))[0]
    await service.create_container(ACCOUNT, "a", {})
    with cluster.without(stale):
        await service.create_container(ACCOUNT, "b", {})
        await service.delete_container(ACCOUNT, "a")
    for kind in DatabaseKind:
        await stale.synchronize(kind).step()
    assert await inventories_agree(cluster)


class Counting:
    """A task that counts its steps; the second one fails."""

    name = "counting"

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.count = 0

    async def step(self) -> float:
        self.count += 1
        if self.count == 2:
            raise ValueError("once")
        return self.delay_s


def test_a_schedule_runs_steps_until_it_is_closed_and_survives_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.housekeeping.schedule.RETRY_S", 0.01)

    async def scenario() -> None:
        schedule, task = Schedule(), Counting(0.01)
        schedule.add(task)
        await until(lambda: task.count >= 4)
        await schedule.close()
        count = task.count
        await asyncio.sleep(0.03)
        assert task.count == count

    asyncio.run(scenario())


def test_a_task_that_is_woken_does_not_wait_for_its_time() -> None:
    async def scenario() -> None:
        schedule, task = Schedule(), Counting(1000.0)
        schedule.add(task)
        await until(lambda: task.count == 1)
        began = time.monotonic()
        schedule.wake("counting")
        await until(lambda: task.count == 2)
        assert time.monotonic() - began < 1.0
        await schedule.close()

    asyncio.run(scenario())
