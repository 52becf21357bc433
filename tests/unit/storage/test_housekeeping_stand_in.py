"""storage.housekeeping.stand_in: redundancy comes back while a device is away, and is handed back."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from proxy.objects.model import ObjectName
from storage.housekeeping.stand_in import StandIn, stood_in_for
from storage.membership import decision, store
from tests.loopback import LoopbackDevice, get, names_in, put, ring_of
from tests.unit.storage.losing import LosingCluster, losing, rebuilt
from tests.unit.storage.moving import held, partitions_of
from tests.unit.storage.test_housekeeping_rebuild import ACCOUNT, databases, fill

RING = ring_of(6, 3)


async def look(task: StandIn) -> None:
    """Look who is away, for long enough, and copy all there is to copy."""
    await task.step()
    await asyncio.sleep(0.005)
    for _ in range(50):
        await task.step()
        if not task._backlog.todo:
            return


def foreign(cluster: LosingCluster, device: LoopbackDevice) -> dict[bytes, bytes]:
    """Return what a device has that it is no primary of."""
    own = partitions_of(cluster.ring, device)
    return {key: at for key, at in held(device).items() if cluster.ring.partition(key) not in own}


def newest_of(
    cluster: LosingCluster, devices: list[LoopbackDevice], partitions: set[int]
) -> dict[bytes, bytes]:
    """Return the newest version on any of those devices of each key in those partitions."""
    newest: dict[bytes, bytes] = {}
    for device in devices:
        for key, at in held(device).items():
            if cluster.ring.partition(key) in partitions:
                newest[key] = max(at, newest.get(key, b""))
    return newest


@given(
    st.integers(0, RING.partition_count - 1), st.frozensets(st.integers(0, 5), max_size=3), st.integers(0, 5)
)
def test_each_absent_primary_has_one_stand_in(partition: int, absent: frozenset[int], other: int) -> None:
    """The first handoffs in ring order that are up: all devices that see the same agree on them."""
    down = absent | {other}
    up = frozenset(range(6)) - down
    primaries = {device.id for device in RING.primaries(partition)}
    stand_ins = {device_id for device_id in up if stood_in_for(RING, partition, device_id, absent, up)}
    order = [device.id for device in RING.handoffs(partition) if device.id in up]
    assert stand_ins == set(order[: len(primaries & absent)])
    assert not stand_ins & primaries


@losing(5)
async def test_what_an_absent_device_held_is_kept_elsewhere_and_handed_back(cluster: LosingCluster) -> None:
    service = cluster.proxy().service
    stored = await fill(cluster, service)
    away, others = cluster.devices[0], cluster.devices[1:]
    tasks = {device.id: cluster.stand_in(device) for device in others}
    retires = {device.id: cluster.retire(device) for device in others}
    for device in others:
        retires[device.id].kept = lambda task=tasks[device.id]: task.kept  # type: ignore[misc]
    cluster.take_down(away)
    fresh_proxy = cluster.proxy()
    fresh_proxy.peers[0].disconnect()
    await put(fresh_proxy.service, ObjectName(ACCOUNT, "c0", "while it is away"), b"news")
    for device in others:
        await look(tasks[device.id])
    kept: dict[bytes, bytes] = {}
    for device in others:
        kept |= foreign(cluster, device)
        assert tasks[device.id].status().get("for", [0]) == [0]
    newest = newest_of(cluster, others, partitions_of(cluster.ring, away))
    assert kept == newest
    kept_databases = {key for device in others for key in await databases(device)}
    assert set(await databases(away)) <= kept_databases
    for device in others:
        for _ in range(40):
            await retires[device.id].step()
        assert retires[device.id].misplaced_count == 0, "what it keeps for another is in its place"
    assert foreign(cluster, others[0]).keys() <= kept.keys()

    cluster.bring_back(away)
    for device in others:
        await look(tasks[device.id])
        assert tasks[device.id].kept == frozenset()
        retires[device.id].look_again()
        for _ in range(400):
            if await retires[device.id].step() >= 3600:
                break
        assert foreign(cluster, device) == {}
    assert {key: at for key, at in held(away).items() if key in newest} == newest
    for name, data in stored.items():
        container, _slash, object_ = name.partition("/")
        assert await get(service, ObjectName(ACCOUNT, container, object_)) == data
    assert "while it is away" in await names_in(service, ACCOUNT, "c0")


@losing(4)
async def test_a_device_that_is_away_for_a_moment_is_not_stood_in_for(cluster: LosingCluster) -> None:
    await fill(cluster)
    task = cluster.stand_in(cluster.devices[3], after_s=60.0)
    cluster.take_down(cluster.devices[0])
    for _ in range(3):
        await task.step()
    assert task.kept == frozenset()
    never = cluster.stand_in(cluster.devices[3], after_s=0.0)
    await look(never)
    assert never.kept == frozenset()


@losing(4)
async def test_who_comes_back_empty_is_stood_in_for_until_it_is_whole_and_gets_what_only_the_stand_in_has(
    cluster: LosingCluster,
) -> None:
    """Its last holder dies after the stand-in has copied it; then an operator accepts what cannot be known."""
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c0", {})
    name = ObjectName(ACCOUNT, "c0", "o1")
    key = cluster.key(ACCOUNT, "c0", "o1")
    away, stale, holder = cluster.holders(key)
    stand_in = next(device for device in cluster.devices if device not in (away, stale, holder))
    await put(service, name, b"old")
    with cluster.without(stale):
        await put(service, name, b"new")
    task = cluster.stand_in(stand_in)
    cluster.take_down(away)
    await look(task)
    assert key in foreign(cluster, stand_in)
    await cluster.lose(away)
    cluster.bring_back(away)
    cluster.take_down(holder)
    await asyncio.sleep(0.2)  # the roster follows
    await look(task)
    assert key in foreign(cluster, stand_in)
    assert task.kept, "as long as it is being rebuilt"
    rebuild = cluster.rebuild(away)
    for _ in range(10):
        await rebuild.step()
    assert cluster.members[away.id].rebuilding
    assert held(away)[key] == held(stand_in)[key] > held(stale)[key]
    store.change(cluster.coordination, away.id, lambda known: known and decision.accepted(known, 1))
    await asyncio.sleep(0.3)
    await rebuilt(rebuild)
    assert await get(service, name) == b"new"


@losing(4)
async def test_a_device_whose_disk_has_failed_is_stood_in_for_though_it_answers(cluster: LosingCluster) -> None:
    await fill(cluster)
    sick, other = cluster.devices[0], cluster.devices[3]
    sick.service._status = lambda: {"health": {"service": "reads"}}
    task = cluster.stand_in(other)
    await look(task)
    assert task.status()["for"] == [0]
    assert task.kept
    sick.service._status = lambda: {"health": {"service": "all"}}
    task._asked_at = float("-inf")
    await look(task)
    assert not task.kept
