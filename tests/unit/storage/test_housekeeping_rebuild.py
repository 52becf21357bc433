"""storage.housekeeping.rebuild and storage.membership: a device that lost data does no harm, and gets it back."""

from collections.abc import Sequence

import pytest

from cluster.clock import ZERO, Timestamp, pack, wall_us
from cluster.wire import RemoteError
from proxy.objects.errors import Unavailable
from proxy.objects.model import ObjectName
from proxy.objects.service import ObjectService
from storage.housekeeping.rebuild import Pace, Rebuild, Sample
from storage.membership import decision, store
from storage.membership.record import Local, State
from storage.membership.votes import Votes
from storage.messages import BlobGet, BlobPut, DatabaseKind, IndexInfo, Operation, Refusal
from storage.rings.document import Stage
from tests.loopback import LoopbackDevice, Loss, get, names_in, put, rings_of, until
from tests.unit.storage.losing import LosingCluster, losing, rebuilt
from tests.unit.storage.moving import held

ACCOUNT = "AUTH_a"
LARGE = bytes(range(251)) * 12_000  # a file of its own
NAME = ObjectName(ACCOUNT, "c0", "o1")


async def fill(cluster: LosingCluster, service: ObjectService | None = None) -> dict[str, bytes]:
    service = service or cluster.proxy().service
    stored = {}
    for number in range(4):
        await service.create_container(ACCOUNT, f"c{number}", {"x": number})
        for index in range(5):
            data = LARGE if index == 0 and number < 2 else b"%d of %d" % (index, number)
            await put(service, ObjectName(ACCOUNT, f"c{number}", f"o{index}"), data)
            stored[f"c{number}/o{index}"] = data
        await service.delete_object(ObjectName(ACCOUNT, f"c{number}", "o4"))
        del stored[f"c{number}/o4"]
    await cluster.quiet()
    return stored


async def missed_by_one(cluster: LosingCluster, service: ObjectService) -> tuple[LoopbackDevice, LoopbackDevice]:
    """Store an object and overwrite it while a device is away; return a holder of that, and who is stale."""
    await service.create_container(ACCOUNT, "c0", {})
    await put(service, NAME, b"old")
    holder, stale = cluster.devices[0], cluster.devices[1]
    with cluster.without(stale):
        await put(service, NAME, b"new")
        await put(service, ObjectName(ACCOUNT, "c0", "later"), b"x")
    return holder, stale


async def databases(device: LoopbackDevice) -> dict[bytes, bytes]:
    return {
        key: digest for kind in DatabaseKind for key, digest in await device.indexes.inventory(kind, b"", None, 1000)
    }


@losing(3)
async def test_what_was_acknowledged_is_seen_when_a_device_is_emptied_while_another_is_stale(
    cluster: LosingCluster,
) -> None:
    service = cluster.proxy().service
    lost, stale = await missed_by_one(cluster, service)
    keeper = cluster.devices[2]
    await cluster.lose(lost)
    fresh = cluster.proxy().service
    cluster.take_down(keeper)
    with pytest.raises(Unavailable):
        await get(fresh, NAME)
    with pytest.raises(Unavailable):
        await names_in(fresh, ACCOUNT, "c0")
    cluster.bring_back(keeper)
    assert await get(fresh, NAME) == b"new"
    assert await names_in(fresh, ACCOUNT, "c0") == ["later", "o1"]
    await rebuilt(cluster.rebuild(lost))
    with cluster.without(keeper):
        assert await get(fresh, NAME) == b"new"
        assert await names_in(fresh, ACCOUNT, "c0") == ["later", "o1"]
    assert lost.running
    assert stale.running


@losing(3)
async def test_without_membership_an_emptied_device_makes_a_read_go_back(cluster: LosingCluster) -> None:
    service = cluster.proxy().service
    lost, _stale = await missed_by_one(cluster, service)
    await cluster.lose(lost)
    lost.service.votes = Votes()  # as if it were what it was
    fresh = cluster.proxy().service
    with cluster.without(cluster.devices[2]):
        assert await get(fresh, NAME) == b"old"


@losing(4)
async def test_a_device_is_rebuilt_to_the_last_byte(cluster: LosingCluster) -> None:
    stored = await fill(cluster)
    lost = cluster.devices[1]
    before, databases_before = held(lost), await databases(lost)
    await cluster.lose(lost)
    assert held(lost) == {}
    task = cluster.rebuild(lost)
    await rebuilt(task)
    assert held(lost) == before
    assert await databases(lost) == databases_before
    assert task.copied_objects == len(before)
    assert not cluster.members[1].rebuilding
    member = store.read(cluster.coordination, 1).member
    assert member is not None
    assert (member.state, member.reason) == (State.WHOLE, decision.EMPTY)
    service = cluster.proxy().service
    for name, data in stored.items():
        container, _slash, own = name.partition("/")
        assert await get(service, ObjectName(ACCOUNT, container, own)) == data


@losing(3)
async def test_while_it_is_rebuilt_a_device_takes_writes_and_gives_no_votes(cluster: LosingCluster) -> None:
    proxy = cluster.proxy()
    await fill(cluster, proxy.service)
    lost = cluster.devices[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.membership.membership.FLOOR_MARGIN_US", 0)
        await cluster.lose(lost)
    proxy.peers[1].faults.loss = lambda operation: Loss.REQUEST if operation == Operation.BLOB_PUT else None
    await put(proxy.service, NAME, b"while it is rebuilt")  # on a quorum, the rebuilding device among it
    key = cluster.key(ACCOUNT, "c0", "o1")
    container = cluster.key(ACCOUNT, "c0")
    peer = cluster.devices[2].peers[0]
    info = IndexInfo(int(DatabaseKind.CONTAINER), container, ACCOUNT, "c0")
    for operation, message in (
        (Operation.BLOB_STAT, (key,)),
        (Operation.BLOB_HEAD, (key,)),
        (Operation.BLOB_GET, BlobGet(key)),
        (Operation.INDEX_INFO, info),
    ):
        with pytest.raises(RemoteError) as refused:
            await peer.call(operation, message, tag=1)
        assert refused.value.code == Refusal.REBUILDING
    copied = await peer.call(Operation.BLOB_COPY, (key,))
    assert copied.payload == b"while it is rebuilt"
    await rebuilt(cluster.rebuild(lost))
    answered = await peer.call(Operation.BLOB_GET, BlobGet(key), tag=1)
    assert answered.payload == b"while it is rebuilt"


@losing(3)
async def test_promises_that_may_have_been_forgotten_are_kept_by_a_floor(cluster: LosingCluster) -> None:
    await fill(cluster)
    lost = cluster.devices[0]
    await cluster.lose(lost)
    lost_us = cluster.members[0].member.lost_us
    peer = cluster.devices[2].peers[0]
    early = BlobPut(bytes(16), pack(lost_us - 1_000_000, 0, 9), 1, b"")
    with pytest.raises(RemoteError) as refused:
        await peer.call(Operation.BLOB_PUT, early, b"x", tag=1)
    assert refused.value.code == Refusal.PROMISED
    assert refused.value.detail > early.timestamp
    await rebuilt(cluster.rebuild(lost))
    await lost.crash()
    lost.start()
    assert cluster.members[0].floor == refused.value.detail, "also after it is whole, and was started again"


@losing(3)
async def test_both_others_are_needed_and_what_one_has_is_copied_meanwhile(cluster: LosingCluster) -> None:
    await fill(cluster)
    lost, away = cluster.devices[0], cluster.devices[1]
    before = held(lost)
    cluster.take_down(away)
    await cluster.lose(lost)
    task = cluster.rebuild(lost)
    for _ in range(20):
        await task.step()
    assert held(lost) == before
    assert cluster.members[0].rebuilding
    assert "device 1 must be up" in task.status()["waiting"]
    cluster.bring_back(away)
    await rebuilt(task)


@losing(3)
async def test_a_source_that_is_being_rebuilt_itself_does_not_count(cluster: LosingCluster) -> None:
    await fill(cluster)
    first, second = cluster.devices[:2]
    await cluster.lose(first)
    await cluster.lose(second)
    tasks = [cluster.rebuild(first), cluster.rebuild(second)]
    for _ in range(20):
        for task in tasks:
            await task.step()
    assert held(first) == held(second) == held(cluster.devices[2])
    assert cluster.members[0].rebuilding
    assert cluster.members[1].rebuilding
    store.change(cluster.coordination, 0, lambda known: known and decision.accepted(known, 1))  # an operator decides
    await until(lambda: not cluster.members[0].rebuilding)
    await rebuilt(tasks[1])
    assert await tasks[0].step() >= 3600
    assert len(await names_in(cluster.proxy().service, ACCOUNT, "c1")) == 4


@losing(3)
async def test_an_older_copy_is_noticed_and_brings_nothing_back_that_was_deleted(
    cluster: LosingCluster,
) -> None:
    service = cluster.proxy().service
    await fill(cluster, service)
    lost, others = cluster.devices[0], cluster.devices[1:]
    await lost.stop()
    copy = cluster.copy(lost)
    lost.start()
    assert not cluster.members[0].rebuilding
    name = ObjectName(ACCOUNT, "c1", "o1")
    await service.delete_object(name)
    key = cluster.key(ACCOUNT, "c1", "o1")
    for device in others:  # nobody remembers any more that it was deleted
        version = device.blobs.stat(key)
        assert version is not None
        await device.blobs.forget([(key, version.timestamp)])
    await put(service, NAME, b"newer than the copy")
    await cluster.replace(lost, copy)
    assert cluster.members[0].member.reason == decision.OLDER_COPY
    assert key in held(lost)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.housekeeping.rebuild.OLD_S", 0.0)
        await rebuilt(cluster.rebuild(lost))
    assert key not in held(lost)
    fresh = cluster.proxy().service
    with cluster.without(others[0]):
        assert await get(fresh, NAME) == b"newer than the copy"
        assert await names_in(fresh, ACCOUNT, "c1") == ["o0", "o2", "o3"]


@losing(3)
async def test_a_rebuilding_that_is_interrupted_begins_anew_and_copies_little_twice(cluster: LosingCluster) -> None:
    await fill(cluster)
    lost = cluster.devices[0]
    before = held(lost)
    await cluster.lose(lost)
    task = cluster.rebuild(lost)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.housekeeping.rebuild.batch_of", lambda _name: 2)
        while not held(lost):
            await task.step()
    here = len(held(lost))
    await lost.crash()
    lost.start()
    assert cluster.members[0].rebuilding
    again = cluster.rebuild(lost)
    await rebuilt(again)
    assert held(lost) == before
    assert again.copied_objects == len(before) - here


@losing(3)
async def test_what_is_copied_too_soon_after_the_loss_does_not_count(cluster: LosingCluster) -> None:
    """A write that the lost device had acknowledged may be on its way to the quorum that acknowledges it."""
    service = cluster.proxy().service
    await fill(cluster, service)
    lost, late = cluster.devices[:2]
    await cluster.lose(lost)
    task = cluster.rebuild(lost, settle_s=3.0)
    for _ in range(10):
        await task.step()
    assert cluster.members[0].rebuilding
    assert "writers" in task.status()["waiting"]
    key = cluster.key(ACCOUNT, "late", "write")
    timestamp = pack(wall_us() + 3_000_000, 0, 1)
    await late.peers[late.id].call(Operation.BLOB_PUT, BlobPut(key, timestamp, 1, b""), b"late", tag=1)
    task._settled_at = 0.0  # by now
    await rebuilt(task)
    found = lost.blobs.stat(key)
    assert found is not None
    assert found.timestamp == timestamp


@losing(3)
async def test_a_loss_that_is_noticed_later_counts_from_that_moment(cluster: LosingCluster) -> None:
    await fill(cluster)
    device, member = cluster.devices[0], cluster.members[0]
    member.lost_data("a file system check removed files")
    assert device.service.votes.restricted
    assert not await member.become_whole(0), "what was rebuilt before the loss does not count"
    await until(lambda: bool((known := store.read(cluster.coordination, 0).member) and not known.votes))
    await device.crash()
    device.start()
    assert cluster.members[0].rebuilding
    assert cluster.members[0].member.reason == "a file system check removed files"
    task = cluster.rebuild(device)
    await rebuilt(task)
    assert task.copied_objects == 0, "all was here"


@losing(3)
async def test_a_loss_that_coordination_was_not_told_of_is_told_at_the_next_start(cluster: LosingCluster) -> None:
    device, member = cluster.devices[0], cluster.members[0]
    member._local.write(Local(member.member.incarnation, lost="crashed before it was told"))
    await device.crash()
    device.start()
    assert cluster.members[0].member.reason == "crashed before it was told"


@losing(3)
async def test_files_that_are_missing_when_the_index_is_made_again_are_a_loss(cluster: LosingCluster) -> None:
    await fill(cluster)
    device = cluster.devices[0]
    before = held(device)
    await device.crash()
    files = [path for path in (device.directory / "blobs" / "files").rglob("*") if path.is_file()]
    files[0].unlink()
    (device.directory / "blobs" / "index" / "state").unlink()
    device.start()
    assert cluster.members[0].member.reason == "1 files are missing"
    assert len(held(device)) == len(before) - 1
    await rebuilt(cluster.rebuild(device))
    assert held(device) == before


@losing(4)
async def test_partitions_are_voted_on_as_they_become_whole(cluster: LosingCluster) -> None:
    await fill(cluster)
    lost = cluster.devices[0]
    await cluster.lose(lost)
    task = cluster.rebuild(lost)
    votes = cluster.members[0].votes
    seen = set()
    while await task.step() < 3600:
        if task._whole:
            seen.add(sum(map(len, task._whole.values())))
            assert votes.restricted
    assert len(seen) > 1
    assert not votes.restricted


@losing(3)
async def test_peers_do_not_replicate_from_a_device_that_is_being_rebuilt(cluster: LosingCluster) -> None:
    await fill(cluster)
    lost, other = cluster.devices[:2]
    await cluster.lose(lost)
    task = other.replicate()
    task._votes = cluster.members[1].roster.votes
    await until(lambda: not cluster.members[1].roster.votes(0))
    await task.step()
    assert task.lacking_count is None
    assert [operation for operation in other.peers[0].sent if operation == Operation.BLOB_DIGESTS] == []


@losing(3)
async def test_a_healthy_device_has_no_floor_and_nothing_to_do(cluster: LosingCluster) -> None:
    assert cluster.members[0].floor == ZERO
    task: Rebuild = cluster.rebuild(cluster.devices[0])
    assert await task.step() >= 3600
    assert task.status()["state"] == "whole"
    assert cluster.members[0].member.incarnation == 1
    await cluster.devices[0].crash()
    cluster.devices[0].start()
    assert cluster.members[0].member.incarnation == 2
    assert not cluster.members[0].rebuilding


@losing(4)
async def test_what_is_elsewhere_is_forgotten_only_until_rings_change(cluster: LosingCluster) -> None:
    """From then on this device may be counted on for any of it."""
    await fill(cluster)
    device = cluster.devices[0]
    foreign = {}
    for other in cluster.devices[1:]:
        for key, timestamp in held(other).items():
            if device not in cluster.holders(key):
                await device.service.copies.fetch(key, Timestamp(timestamp), other.id)
                foreign[key] = timestamp
    partitions = {cluster.ring.partition(key) for key in foreign}
    assert len(partitions) > 1
    cluster.members[0].lost_data("a file system check removed files")
    task, forget = cluster.rebuild(device), device.blobs.forget

    async def overtaken(versions: Sequence[tuple[bytes, Timestamp]]) -> None:
        cluster.publish(rings_of(2, Stage.JOINING, 0, cluster.ring, cluster.ring))
        await forget(versions)

    device.blobs.forget = overtaken
    await until(lambda: bool((known := store.read(cluster.coordination, 0).member) and not known.votes))
    while cluster.rings.version == 1:
        await task.step()
    left = {cluster.ring.partition(key) for key in held(device) if key in foreign}
    assert left == partitions - {min(partitions)}
    await task.step()
    assert cluster.members[0].rebuilding
    cluster.publish(rings_of(3, Stage.STABLE, 2, cluster.ring))
    await rebuilt(task)
    assert not held(device).keys() & foreign.keys()


def test_the_pace_is_that_of_the_last_while() -> None:
    pace = Pace()
    for second in range(100):
        pace.add(Sample(float(second), 10 * second if second < 50 else 500 + second - 50, second * 100))
    assert pace.bytes_per_s() == 100
    assert pace.seconds_left(20) == 20.0
    assert Pace([Sample(0.0, 5, 0), Sample(1.0, 5, 0)]).seconds_left(3) is None


