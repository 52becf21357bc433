"""storage.housekeeping.expire and deletion: what is due goes, that very version and no other."""

import asyncio

import pytest

from cluster.clock import wall_us
from proxy.objects import errors
from proxy.objects.model import NewObject, ObjectName
from proxy.objects.service import ObjectService
from storage.blobs.turns import TURN_S
from storage.housekeeping import replicate, rows
from storage.housekeeping.expire import INTERVAL_S, Expire
from storage.messages import BlobPromise, Operation
from tests.loopback import TEXT, LoopbackCluster, Loss, get, in_cluster, names_in, put, until

ACCOUNT = "AUTH_a"
NAME = ObjectName(ACCOUNT, "c", "o")


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for its writer to finish it."""
    monkeypatch.setattr(replicate, "GRACE_S", 0.0)
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)




def now_s() -> int:
    return wall_us() // 1_000_000


def due(second: int) -> NewObject:
    """Return an object that expires then."""
    return NewObject("text/plain", system={"delete_at": second})


async def a_service(cluster: LoopbackCluster) -> ObjectService:
    service = cluster.proxy().service
    await service.create_container(ACCOUNT, "c", {})
    return service


async def expire(cluster: LoopbackCluster) -> int:
    """Let every device delete what is due, once; return how many objects went."""
    tasks = [device.expire() for device in cluster.devices if device.running]
    for task in tasks:
        await task.step()
    return sum(task.expired_count for task in tasks)


async def short_lived(cluster: LoopbackCluster, service: ObjectService, due_s: int = -1) -> None:
    """Have an object that is due, so many seconds from now, on all of its primaries."""
    await put(service, NAME, b"short-lived", due(now_s() + due_s))
    key = cluster.key(*NAME)
    await until(lambda: all(device.blobs.stat(key) is not None for device in cluster.holders(key)))


async def listed(cluster: LoopbackCluster) -> None:
    """Wait until proxies have confirmed all rows."""
    await until(lambda: not any(device.blobs.index.unlisted_count for device in cluster.devices))


@in_cluster
async def test_an_expired_object_goes_with_its_row(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await put(service, NAME, b"short-lived", due(now_s() - 1))
    await put(service, NAME._replace(object="later"), b"lives", due(now_s() + 1000))
    await put(service, NAME._replace(object="ever"), b"lives", TEXT)
    assert await expire(cluster) == 1
    with pytest.raises(errors.NoSuchObject):
        await service.head_object(NAME)
    assert await names_in(service, ACCOUNT, "c") == ["ever", "later"]
    await listed(cluster)
    assert await expire(cluster) == 0
    cluster.wall_offset_s = 2000
    assert await expire(cluster) == 1
    assert await names_in(service, ACCOUNT, "c") == ["ever"]


@in_cluster
async def test_what_has_been_written_anew_or_put_off_stays(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await short_lived(cluster, service)
    stale = cluster.holders(cluster.key(*NAME))[0]
    with cluster.without(stale):
        await put(service, NAME, b"anew", TEXT)
    assert await expire(cluster) == 0, "the first primary has missed that"
    assert await get(service, NAME) == b"anew"
    await short_lived(cluster, service, due_s=1000)
    with cluster.without(stale):
        await service.update_object(NAME, lambda metadata: metadata._replace(system={"delete_at": now_s() + 5000}))
    cluster.wall_offset_s = 2000
    assert await expire(cluster) == 0, "the first primary has missed that"
    assert await get(service, NAME) == b"short-lived"


@in_cluster
async def test_the_next_primary_does_it_when_the_first_is_down(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await short_lived(cluster, service)
    with cluster.without(cluster.holders(cluster.key(*NAME))[0]):
        assert await expire(cluster) == 1
    with pytest.raises(errors.NoSuchObject):
        await service.head_object(NAME)


@in_cluster
async def test_an_older_promise_does_not_keep_it(cluster: LoopbackCluster) -> None:
    """A conditional write that failed leaves one behind."""
    proxy = cluster.proxy()
    await proxy.service.create_container(ACCOUNT, "c", {})
    await short_lived(cluster, proxy.service)
    key, version = cluster.key(*NAME), cluster.rings.version
    for device in cluster.holders(key):
        message = BlobPromise(key, proxy.clock.now())
        await proxy.peers[device.id].call(Operation.BLOB_PROMISE, message, tag=version)
    assert await expire(cluster) == 0, "that one goes first, for a moment"
    await asyncio.sleep(TURN_S)
    assert await expire(cluster) == 1


@in_cluster
async def test_too_few_answers_delete_nothing_and_it_is_tried_again(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await short_lived(cluster, service)
    first, *others = cluster.holders(cluster.key(*NAME))
    task: Expire = first.expire()
    with cluster.without(*others):
        assert await task.step() == INTERVAL_S
    assert (task.expired_count, task.undecided_count) == (0, 1)
    await task.step()
    assert task.expired_count == 1


@in_cluster
async def test_a_tombstone_on_too_few_is_brought_to_an_end(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await short_lived(cluster, service)
    first, *others = cluster.holders(cluster.key(*NAME))
    for other in others:
        first.peers[other.id].faults.loss = lambda operation: (
            Loss.REQUEST if operation == Operation.BLOB_DELETE else None
        )
    assert await expire(cluster) == 0
    for other in others:
        await other.replicate().step()
    with pytest.raises(errors.NoSuchObject):
        await service.head_object(NAME)
    await first.add_rows().step()
    assert await names_in(service, ACCOUNT, "c") == []


@in_cluster
async def test_a_write_at_the_same_time_survives(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    for number in range(20):
        await put(service, NAME, b"short-lived", due(now_s() - 1))
        data = b"new %d" % number
        tasks = [device.expire().step() for device in cluster.devices]
        await asyncio.gather(*tasks, put(service, NAME, data))
        assert await get(service, NAME) == data


@in_cluster
async def test_an_object_whose_container_is_gone_leaves_no_row(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await short_lived(cluster, service)
    assert await expire(cluster) == 1
    await listed(cluster)
    await service.delete_container(ACCOUNT, "c")


@in_cluster
async def test_by_a_clock_that_is_not_trusted_nothing_goes(cluster: LoopbackCluster) -> None:
    service = await a_service(cluster)
    await short_lived(cluster, service)
    first = cluster.holders(cluster.key(*NAME))[0]
    task = Expire(first.blobs, first._deletion(), first.placement, first.id, lambda: False)
    await task.step()
    stat = first.blobs.stat(cluster.key(*NAME))
    assert stat is not None
    assert not stat.deleted
