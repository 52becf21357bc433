"""storage.housekeeping.retire: what has moved away is dropped once all who hold it now have it, and not before."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cluster.clock import Timestamp
from cluster.wire import RemoteError
from proxy.objects.model import ObjectName
from storage.housekeeping import pull, retire
from storage.messages import BlobFetch, DatabaseKind, Operation, Refusal
from storage.rings.document import Stage
from tests.loopback import LoopbackDevice, get, names_in, put
from tests.unit.storage.moving import ACCOUNT, LARGE, MovingCluster, fill, held, moving, partitions_of, to_the_end


async def moved(cluster: MovingCluster) -> dict[str, bytes]:
    """Fill the cluster and change its rings; return what was stored."""
    stored = await fill(cluster)
    cluster.joining()
    await to_the_end(cluster.join(cluster.devices[4]))
    cluster.over()
    return stored


async def foreign_databases(cluster: MovingCluster, device: LoopbackDevice) -> list[bytes]:
    """Return the databases that a device has and should not have."""
    own = partitions_of(cluster.goal, device)
    return [
        key
        for kind in DatabaseKind
        for key, _digest in await device.indexes.inventory(kind, b"", None, 1000)
        if cluster.goal.partition(key) not in own
    ]


async def one_with_foreign_databases(cluster: MovingCluster) -> LoopbackDevice:
    """Return a device that has databases that it should not have."""
    for device in cluster.devices[:4]:
        if await foreign_databases(cluster, device):
            return device
    raise AssertionError("nothing has moved away")


def foreign(cluster: MovingCluster, device: LoopbackDevice) -> list[bytes]:
    """Return the keys of objects that a device has and should not have."""
    own = partitions_of(cluster.goal, device)
    return [key for key in held(device) if cluster.goal.partition(key) not in own]


async def check(cluster: MovingCluster, stored: dict[str, bytes]) -> None:
    """Read everything back."""
    reader = cluster.proxy().service
    for name, data in stored.items():
        container, _, text = name.partition("/")
        assert await get(reader, ObjectName(ACCOUNT, container, text)) == data
    for number in range(8):
        names = [name.partition("/")[2] for name in stored if name.startswith(f"c{number}/")]
        assert await names_in(reader, ACCOUNT, f"c{number}") == sorted(names)


@moving
async def test_what_moved_away_is_dropped_and_all_the_rest_is_there(cluster: MovingCluster) -> None:
    stored = await moved(cluster)
    assert any(foreign(cluster, device) for device in cluster.devices[:4])
    assert any([await foreign_databases(cluster, device) for device in cluster.devices[:4]])
    for device in cluster.devices:
        task = cluster.retire(device)
        assert task.misplaced_count is None
        await to_the_end(task)
        assert task.misplaced_count == 0
        assert foreign(cluster, device) == []
        assert await foreign_databases(cluster, device) == []
        digests = device.blobs.digests(4, range(16))
        own = partitions_of(cluster.goal, device)
        assert all(digests[partition] == bytes(16) for partition in range(16) if partition not in own)
    await check(cluster, stored)
    for device in cluster.devices:  # nothing came back, and nothing was deleted by it
        await device.crash()
        device.start()
        assert foreign(cluster, device) == []
    await check(cluster, stored)


@moving
async def test_a_primary_that_lacks_something_is_given_it_first(cluster: MovingCluster) -> None:
    stored = await fill(cluster)
    service = cluster.proxy().service
    with cluster.without(cluster.devices[1]):
        for index in range(20):
            await put(service, ObjectName(ACCOUNT, "c1", f"x{index}"), b"missed by one")
            stored[f"c1/x{index}"] = b"missed by one"
    cluster.joining()
    await to_the_end(cluster.join(cluster.devices[4]))
    cluster.over()
    retiring = [device for device in cluster.devices[:4] if foreign(cluster, device)]
    for device in retiring:
        device.blobs.confirm_rows(device.blobs.unlisted()[0])
        await to_the_end(cluster.retire(device))
    newest: dict[bytes, set[bytes]] = {}
    for device in cluster.devices:
        for key, timestamp in held(device).items():
            newest.setdefault(key, set()).add(timestamp)
    moved_partitions = {
        partition for partition in range(16) if cluster.goal.primaries(partition) != cluster.ring.primaries(partition)
    }
    for key, timestamps in newest.items():
        partition = cluster.goal.partition(key)
        if partition in moved_partitions:
            assert len(timestamps) == 1
            for primary in cluster.goal.primaries(partition):
                assert held(cluster.devices[primary.id]).get(key) in timestamps
    await check(cluster, stored)


@moving
async def test_a_primary_that_is_to_fetch_something_large_has_the_time_for_it(cluster: MovingCluster) -> None:
    """What it has fetched is lost when the request ends; the next one would begin anew, for ever."""
    await fill(cluster)
    service, late = cluster.proxy().service, cluster.devices[1]
    with cluster.without(late):
        for index in range(20):
            await put(service, ObjectName(ACCOUNT, "c1", f"x{index}"), LARGE if index % 2 else b"small")
    cluster.joining()
    await to_the_end(cluster.join(cluster.devices[4]))
    cluster.over()
    timeouts: dict[float, set[float]] = {}
    for device in [device for device in cluster.devices[:4] if foreign(cluster, device) and device is not late]:
        device.blobs.confirm_rows(device.blobs.unlisted()[0])
        call, stat = device.peers[late.id].call, device.blobs.stat

        def noted(
            operation: int,
            metadata: Any,
            payload: bytes = b"",
            timeout_s: float = 5.0,
            tag: int = 0,
            *,
            call: Any = call,
            stat: Any = stat,
        ) -> Any:
            if operation == Operation.BLOB_FETCH:
                timeouts.setdefault(stat(metadata[0]).size, set()).add(timeout_s)
            return call(operation, metadata, payload, timeout_s, tag)

        device.peers[late.id].call = noted  # type: ignore[method-assign]
        await to_the_end(cluster.retire(device))
    assert timeouts == {size: {pull.TIMEOUT_S + size / pull.SLOWEST} for size in (5, len(LARGE))}


@moving
async def test_nothing_is_dropped_while_a_primary_is_down(cluster: MovingCluster) -> None:
    await moved(cluster)
    device = next(device for device in cluster.devices[:4] if foreign(cluster, device))
    task = cluster.retire(device)
    before = held(device)
    others = [other for other in cluster.devices if other is not device]
    with cluster.without(*others):
        for _step in range(50):
            await task.step()
        assert held(device) == before
        assert task.misplaced_count
        assert "is down" in task.waiting
    await to_the_end(task)
    assert foreign(cluster, device) == []
    assert task.waiting == ""


@moving
async def test_nothing_is_dropped_before_the_change_is_over(cluster: MovingCluster) -> None:
    await fill(cluster)
    for version, stage, floor in ((3, Stage.JOINING, 2), (5, Stage.SERVING, 4), (6, Stage.STABLE, 4)):
        cluster.stage(version, stage, floor)
        for device in cluster.devices:
            before = held(device)
            assert await cluster.retire(device).step() == 3600
            assert held(device) == before


@moving
async def test_what_the_rings_bring_back_meanwhile_stays(cluster: MovingCluster) -> None:
    await moved(cluster)
    device = next(device for device in cluster.devices[:4] if foreign(cluster, device))
    task = cluster.retire(device)
    bring = task._bring

    async def overtaken(*arguments: object) -> None:
        await bring(*arguments)  # type: ignore[arg-type]
        cluster.ring, cluster.goal = cluster.goal, cluster.ring
        cluster.stage(8, Stage.JOINING, 6)

    task._bring = overtaken  # type: ignore[method-assign, assignment]
    before = held(device)
    await task.step()
    assert held(device) == before
    assert await task.step() == 3600


@moving
async def test_what_older_rings_said_is_not_gone_by_when_the_look_by_new_ones_fails(cluster: MovingCluster) -> None:
    await moved(cluster)
    device = next(device for device in cluster.devices[:4] if foreign(cluster, device))
    task = cluster.retire(device)
    with cluster.without(next(other for other in cluster.devices if other is not device)):
        await task.step()
        assert task.misplaced_count
    cluster.goal = cluster.ring  # by a change of which this device hears at its end, it holds all of that again
    cluster.stage(13, Stage.STABLE, 12)
    before, inventory = held(device), device.indexes.inventory

    async def busy(*_arguments: Any) -> Sequence[tuple[bytes, bytes]]:
        raise RemoteError(Refusal.BUSY, "the thread is far behind")

    device.indexes.inventory = busy  # type: ignore[method-assign]
    with pytest.raises(RemoteError):
        await task.step()
    device.indexes.inventory = inventory  # type: ignore[method-assign]
    await to_the_end(task)
    assert held(device) == before


@moving
async def test_what_a_copy_by_older_rings_brings_back_is_dropped_again(cluster: MovingCluster) -> None:
    stored = await moved(cluster)
    device = await one_with_foreign_databases(cluster)
    kind, key = DatabaseKind.CONTAINER, (await foreign_databases(cluster, device))[-1]
    task = cluster.retire(device)
    await to_the_end(task)
    assert await task.step() == 3600  # it has looked, and all was well
    holder = cluster.goal.primaries(cluster.goal.partition(key))[0]
    await device.indexes.synchronize(kind, key, "", "", holder.id)
    assert await foreign_databases(cluster, device) == [key]
    await to_the_end(task)
    assert await foreign_databases(cluster, device) == []
    await check(cluster, stored)


@moving
async def test_what_was_let_in_by_older_rings_and_comes_late_is_dropped(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    await to_the_end(cluster.join(cluster.devices[4]))
    cluster.stage(5, Stage.SERVING, 4)
    device = next(device for device in cluster.devices[:4] if foreign(cluster, device))
    key = foreign(cluster, device)[0]
    timestamp = Timestamp(held(device)[key])
    await device.blobs.forget([(key, timestamp)])
    fetch, go_on = device.service.fetch, asyncio.Event()

    async def delayed(*arguments: Any) -> None:
        await go_on.wait()
        await fetch(*arguments)

    device.service.fetch = delayed
    holder = next(each for each in cluster.holders(key) if each is not device)
    message = BlobFetch(key, timestamp, holder.id)
    fetching = holder.peers[device.id].call(Operation.BLOB_FETCH, message, timeout_s=60.0, tag=5)
    await asyncio.sleep(0.01)
    cluster.over()
    task = cluster.retire(device)
    task.settled = device.service.settle
    retiring = asyncio.ensure_future(to_the_end(task))
    done, _ = await asyncio.wait({retiring}, timeout=1.0)
    assert not done
    go_on.set()
    await asyncio.gather(retiring, fetching)
    assert foreign(cluster, device) == []


@moving
async def test_databases_are_not_compared_by_older_rings(cluster: MovingCluster) -> None:
    await fill(cluster)
    cluster.joining()
    await to_the_end(cluster.join(cluster.devices[4]))
    device = await one_with_foreign_databases(cluster)
    (key, *_) = await foreign_databases(cluster, device)
    task = device.synchronize(DatabaseKind.CONTAINER)
    inventory, told = device.indexes.inventory, list[int]()
    task.on_overtaken = lambda: told.append(device.placement.rings.version)

    async def overtaken(*arguments: Any) -> Sequence[tuple[bytes, bytes]]:
        mine = [item for item in await inventory(*arguments) if item[0] != key]  # as if it had not come yet
        cluster.over()
        return mine

    device.indexes.inventory = overtaken  # type: ignore[method-assign]
    await task.step()
    assert (task.pulled_count, task.lacking_count, told) == (0, None, [7])


@moving
async def test_an_old_object_that_no_listing_shows_yet_stays_until_one_does(cluster: MovingCluster) -> None:
    await moved(cluster)
    device = next(device for device in cluster.devices[:4] if foreign(cluster, device))
    kept = foreign(cluster, device)[0]
    task, is_listed = cluster.retire(device), device.blobs.is_listed
    device.blobs.is_listed = lambda key, timestamp: key != kept and is_listed(key, timestamp)  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retire, "LISTED_AFTER_S", 0.0)  # nothing is young
        for _step in range(50):
            await task.step()
        assert foreign(cluster, device) == [kept]
        assert "in no listing yet" in task.waiting
    await to_the_end(task)  # whoever holds it now saw it young, and sees to its row
    assert foreign(cluster, device) == []
