"""storage.housekeeping.join: what a device copies before anybody relies on it, and what it waits for."""

import asyncio
import functools

import pytest

from cluster.wire import RemoteError
from proxy.objects.model import ObjectName
from storage.housekeeping import join
from storage.housekeeping.join import Join
from storage.messages import DatabaseKind, Operation, Refusal
from storage.rings.document import Stage
from tests.loopback import LoopbackDevice, LoopbackPeer, Loss, get, names_in, put
from tests.unit.storage.moving import ACCOUNT, MovingCluster, fill, held, moving, partitions_of, to_the_end


def expected(cluster: MovingCluster, joiner: LoopbackDevice) -> dict[bytes, bytes]:
    """Return the newest version, on any device, of each key whose partition moves to the joiner."""
    moved = partitions_of(cluster.goal, joiner) - partitions_of(cluster.ring, joiner)
    newest: dict[bytes, bytes] = {}
    for device in cluster.devices:
        for key, timestamp in held(device).items():
            if cluster.goal.partition(key) in moved:
                newest[key] = max(newest.get(key, b""), timestamp)
    return newest


async def databases(device: LoopbackDevice) -> dict[bytes, bytes]:
    return {
        key: digest
        for kind in DatabaseKind
        for key, digest in await device.indexes.inventory(kind, b"", None, 1000)
    }


@moving
async def test_a_device_copies_all_that_moves_to_it(cluster: MovingCluster) -> None:
    stored = await fill(cluster)
    joiner = cluster.devices[4]
    cluster.joining()
    task = cluster.join(joiner)
    await to_the_end(task)
    assert held(joiner) == expected(cluster, joiner)
    assert len(held(joiner)) > 20
    others = {key: digest for device in cluster.devices[:4] for key, digest in (await databases(device)).items()}
    moved = partitions_of(cluster.goal, joiner)
    assert await databases(joiner) == {
        key: digest for key, digest in others.items() if cluster.goal.partition(key) in moved
    }
    last = cluster.reports.told[-1]
    assert last.done
    assert (last.version, last.objects) == (3, len(held(joiner)))
    assert last.partitions_total == 3 * len(moved)
    cluster.over()
    reader = cluster.proxy().service
    for name, data in stored.items():
        container, _, text = name.partition("/")
        assert await get(reader, ObjectName(ACCOUNT, container, text)) == data
    assert await names_in(reader, ACCOUNT, "c3") == [f"o{index}" for index in range(5)]


@moving
async def test_nobody_is_told_that_all_is_copied_before_it_is(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "REPORT_S", 0.0)
        await to_the_end(cluster.join(joiner))
    *before, last = cluster.reports.told
    assert last.done
    assert last.objects == len(expected(cluster, joiner))
    assert not any(progress.done for progress in before)
    assert len({progress.objects for progress in before}) > 5


@moving
async def test_a_version_that_one_device_missed_is_copied_all_the_same(cluster: MovingCluster) -> None:
    """A read quorum of the primaries has all that was acknowledged, whichever of them missed what."""
    await fill(cluster)
    service = cluster.proxy().service
    for index in range(12):
        name = ObjectName(ACCOUNT, "c1", f"late{index}")
        with cluster.without(cluster.holders(cluster.key(*name))[index % 3]):
            await put(service, name, b"late")
    cluster.joining()
    joiner = cluster.devices[4]
    await to_the_end(cluster.join(joiner))
    assert held(joiner) == expected(cluster, joiner)


@moving
async def test_a_second_pass_copies_what_came_after_the_first(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    task = cluster.join(joiner)
    await to_the_end(task)
    first = task.copied_objects
    service = cluster.proxy().service
    with cluster.without(joiner):  # these do not reach the joiner, but a quorum of the old and of the new rings
        await fill(cluster, service)
    assert held(joiner) != expected(cluster, joiner)
    cluster.stage(4, Stage.SERVING, 2)
    assert await task.step() == 3600
    cluster.stage(5, Stage.SERVING, 4)
    await to_the_end(task)
    assert held(joiner) == expected(cluster, joiner)
    assert task.copied_objects > first
    assert cluster.reports.told[-1].version == 5


@moving
async def test_nothing_is_copied_before_enough_devices_refuse_older_writers(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.stage(2, Stage.JOINING, 1)
    cluster.stage(3, Stage.JOINING, 2)
    cluster.reports.late = {0, 1, 2, 3}
    joiner = cluster.devices[4]
    task = cluster.join(joiner)
    for _step in range(20):
        await task.step()
    assert held(joiner) == {}
    assert task.progress is not None
    assert "must take over version 3 first" in task.progress.waiting
    cluster.reports.late = {0}  # one of three may be late: the other two are no quorum without it
    await to_the_end(task)
    assert held(joiner) == expected(cluster, joiner)


@moving
async def test_without_a_read_quorum_a_partition_waits_and_says_for_whom(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    task = cluster.join(joiner)
    with cluster.without(cluster.devices[0], cluster.devices[1]):
        for _step in range(20):
            await task.step()
        assert task.progress is not None
        assert "devices 0, 1 down" in task.progress.waiting
        assert not task.progress.done
    await to_the_end(task)
    assert held(joiner) == expected(cluster, joiner)


@moving
async def test_one_lost_device_does_not_keep_others_from_taking_its_place(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    with cluster.without(cluster.devices[0]):
        await to_the_end(cluster.join(joiner))
    assert held(joiner) == expected(cluster, joiner)


@moving
async def test_a_restarted_device_goes_on_where_it_was(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    task = cluster.join(joiner)
    while len(held(joiner)) < 10:
        await task.step()
    here = len(held(joiner))
    await joiner.crash()
    joiner.start()
    again = cluster.join(joiner)
    await to_the_end(again)
    assert held(joiner) == expected(cluster, joiner)
    assert again.copied_objects == len(held(joiner)) - here


@moving
async def test_what_cannot_be_fetched_is_tried_again(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    task = cluster.join(joiner)
    copies, failures = joiner.service.copies, 0
    install = copies._install

    async def failing(*arguments: object) -> None:
        nonlocal failures
        failures += 1
        if failures % 3 == 1:
            raise RemoteError(Refusal.CORRUPT, "a checksum does not match")
        await install(*arguments)  # type: ignore[arg-type]

    copies._install = failing  # type: ignore[method-assign,assignment]
    for _step in range(200):
        if await task.step() == 3600:
            break
    assert held(joiner) == expected(cluster, joiner)
    assert cluster.reports.told[-1].done


@moving
async def test_what_was_copied_for_a_change_that_was_taken_back_counts_for_nothing(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    task = cluster.join(cluster.devices[4])
    await task.step()
    cluster.goal, goal = cluster.ring, cluster.goal
    cluster.stage(4, Stage.STABLE, 2)
    assert await task.step() == 3600
    assert task.progress is None
    cluster.goal = goal
    cluster.stage(6, Stage.JOINING, 5)
    await to_the_end(task)
    assert cluster.reports.told[-1].version == 6


@moving
async def test_who_has_nothing_to_copy_asks_nobody(cluster: MovingCluster) -> None:
    cluster.joining()
    task: Join = cluster.join(cluster.devices[0])
    assert await task.step() == 3600
    assert all(not peer.sent for peer in cluster.devices[0].peers.values())
    assert cluster.reports.told == []
    assert task.progress is None


@moving
async def test_a_source_that_fails_in_between_is_replaced(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    task = cluster.join(joiner)
    down: list[LoopbackPeer] = []
    copying = (Operation.BLOB_COPY, Operation.BLOB_COPY_MANY)

    def loss(peer: LoopbackPeer, operation: int) -> Loss | None:
        if operation not in copying or down or sum(peer.sent.count(each) for each in copying) < 3:
            return None
        down.append(peer)
        asyncio.get_running_loop().call_soon(peer.disconnect)
        return Loss.REQUEST

    for peer in joiner.peers.values():
        peer.faults.loss = functools.partial(loss, peer)
    for _step in range(300):
        if await task.step() == 3600:
            break
    assert [peer.up for peer in down] == [False]
    assert held(joiner) == expected(cluster, joiner)



@moving
async def test_what_was_under_way_when_a_change_was_cancelled_is_looked_for_again(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    joiner = cluster.devices[4]
    task, told = cluster.join(joiner), list[int]()
    task.on_overtaken = lambda: told.append(len(held(joiner)))
    while not held(joiner):
        await task.step()
    cluster.goal = cluster.ring
    cluster.stage(5, Stage.STABLE, 4)
    assert told == []
    assert await task.step() == 3600
    assert told == [len(held(joiner))]
    await task.step()
    assert len(told) == 1


@moving
async def test_a_database_that_is_damaged_elsewhere_is_missed(cluster: MovingCluster) -> None:
    """Who has it damaged does not stand for all who are read: another one may have missed a row."""
    await fill(cluster)
    joiner = cluster.devices[4]
    moved = partitions_of(cluster.goal, joiner) - partitions_of(cluster.ring, joiner)
    keys = {f"c{number}": cluster.key(ACCOUNT, f"c{number}") for number in range(8)}
    container, key = next((name, key) for name, key in keys.items() if cluster.goal.partition(key) in moved)
    remaining = {device.id for device in cluster.goal.primaries(cluster.goal.partition(key))}
    leaving = next(device for device in cluster.holders(key) if device.id not in remaining)
    damaged, late = [device for device in cluster.holders(key) if device is not leaving]
    with cluster.without(late):
        await put(cluster.proxy().service, ObjectName(ACCOUNT, container, "acknowledged"), b"x")
    damaged.indexes._shelf.aside.suspect(key)
    cluster.joining()
    task = cluster.join(joiner)
    with cluster.without(leaving):
        for _step in range(100):
            if await task.step() == 3600:
                break
        assert not cluster.reports.told[-1].done
    await to_the_end(task)
    rows = await joiner.indexes._pending.query(key, lambda database: [row.name for row in database.all_rows()])
    assert "acknowledged" in rows
