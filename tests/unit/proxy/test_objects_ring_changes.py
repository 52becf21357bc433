"""proxy.objects while the rings change: names stay linearizable, listings complete, and no client sees it.

Each rule that makes a change safe is left out once, to see that its absence shows.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from cluster.wire import PeerUnavailable
from proxy.objects.errors import NoSuchContainer, NoSuchObject, Unavailable
from proxy.objects.model import ObjectInfo, ObjectName
from proxy.objects.register import Register
from ring.lookup import Ring
from storage.messages import DatabaseKind, Operation
from storage.metadata import ObjectMetadata
from storage.rings.document import Stage
from tests.loopback import (
    TEXT,
    LoopbackCluster,
    LoopbackPeer,
    LoopbackProxy,
    Loss,
    MiB,
    body_of,
    get,
    in_cluster,
    names_in,
    put,
    rings_of,
    until,
)
from tests.staging import ALL_RULES, Rules, Staging, ring_of_sets, ring_on
from tests.unit.proxy.test_objects_linearizability import (
    Chaos,
    Clients,
    Event,
    Names,
    act,
    two_proxies,
)

pytestmark = pytest.mark.alone  # no client may be kept waiting for longer than its patience lasts

DEVICES = range(7)
SEEDS = range(2)
MUTANT_SEEDS = 20  # in which the absence of a rule must have shown; nearly always it does in the first
OLD, NEW = (0, 1, 2), (3, 4, 5)
KEY = bytes(16)
NAME = ObjectName("AUTH_a", "c", "o")
Scenario = Callable[[LoopbackCluster], Awaitable[None]]
Look = Callable[[Staging], Awaitable[None]]


def play(scenario: Scenario, ring: Ring) -> None:
    """Run a scenario on a cluster that begins with `ring`."""
    in_cluster(scenario, len(DEVICES), ring)()


# at random


async def change_rings(staging: Staging, chance: random.Random, count: int) -> None:
    """Move partitions that many times, each with up to all of its replicas."""
    for _ in range(count):
        await staging.change(ring_on(chance, chance.sample(list(DEVICES), 4)))


async def while_rings_change(
    cluster: LoopbackCluster,
    seed: int,
    step: Callable[[int, random.Random, LoopbackProxy], Awaitable[None]],
    faults: bool,
    changes: int,
    rules: Rules = ALL_RULES,
) -> list[LoopbackProxy]:
    """Have clients take steps while rings change, half of them at a proxy that hears of it only by being refused."""
    proxies = two_proxies(cluster)
    chance = random.Random(seed)
    chaos = Chaos(cluster, proxies, chance)
    breaking = asyncio.create_task(chaos.run()) if faults else None
    staging = Staging(cluster, chance, [proxies[1].placement], rules)
    changing = asyncio.create_task(change_rings(staging, chance, changes))
    await act(proxies, seed, step, lambda _count: changing.done())
    await changing
    if breaking is not None:
        chaos.done = True
        await breaking
    return proxies


async def registers_while_rings_change(
    cluster: LoopbackCluster, seed: int, faults: bool, rules: Rules = ALL_RULES
) -> Clients:
    """Have clients read and write names, and check the histories."""
    clients = Clients()
    proxies = await while_rings_change(cluster, seed, clients.step, faults, 2, rules)
    for key, history in clients.histories.items():
        began = asyncio.get_running_loop().time()
        version = await Register(proxies[0].placement, proxies[0].clock).head(key)
        assert version is not None, "a read goes back to before the first write"
        history.events.append(Event(began, began, version.timestamp, False))
        history.check()
    return clients


def begin(seed: int) -> Ring:
    """Return a ring on four devices."""
    return ring_on(random.Random(seed), DEVICES[:4])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [False, True])
def test_names_stay_linearizable(seed: int, faults: bool) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        clients = await registers_while_rings_change(cluster, seed, faults)
        assert faults or clients.unavailable_count == 0, "clients were told of a change of rings"
        assert sum(len(history.events) for history in clients.histories.values()) > 100

    play(scenario, begin(seed))


@pytest.mark.parametrize("rules", [Rules(floors=False), Rules(joint_writes=False)])
def test_without_floors_or_joint_writes_a_history_shows_it(rules: Rules) -> None:
    def run_all() -> None:
        for seed in range(MUTANT_SEEDS):

            async def scenario(cluster: LoopbackCluster, seed: int = seed) -> None:
                await registers_while_rings_change(cluster, seed, True, rules)

            play(scenario, begin(seed))

    with pytest.raises(AssertionError, match=r"behind what had ended|a read goes back"):
        run_all()


@pytest.mark.parametrize(("seed", "faults"), [(0, False), (1, True)])
def test_listings_show_what_was_acknowledged(seed: int, faults: bool) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        await cluster.proxy().service.create_container("AUTH_a", "c", {})
        names = Names()
        proxies = await while_rings_change(cluster, seed, names.step, faults, 1)
        assert faults or names.unavailable_count == 0, "a client was told of a change of rings"
        assert names.listed_count > 20
        for proxy in proxies:
            await names.look(proxy)

    play(scenario, begin(seed))


# one rule at a time


async def versions_seen(cluster: LoopbackCluster, rules: Rules, look: Look) -> list[bytes]:
    """Return what two readers see, one after the other, of a name whose writer died in the middle of a change.

    The first reads while JOINING, from the only two old replicas that have the write; `look` changes the rings on; the
    second reads by then, without one of them.
    """
    writer, reader = cluster.proxy(), cluster.proxy()
    registers = [Register(proxy.placement, proxy.clock) for proxy in (writer, reader)]
    await registers[0].put(KEY, 0, about(b"old"), b"old")
    staging = Staging(cluster, random.Random(1), rules=rules)
    await staging.join(ring_of_sets((0, 1, 3)))
    for device_id in (0, 3):
        writer.peers[device_id].faults.loss = lambda _operation: Loss.REQUEST
    with pytest.raises(Unavailable):
        await registers[0].put(KEY, 0, about(b"new!"), b"new!")
    await until(lambda: all(size_on(cluster, device_id) == 4 for device_id in (1, 2)))
    seen = []
    for absent in (0, 1):
        reader.peers[absent].disconnect()
        held = await registers[1].get(KEY)
        assert held is not None
        seen.append(bytes(held.payload))
        reader.peers[absent].reconnect()
        if not absent:
            await look(staging)
    return seen


def size_on(cluster: LoopbackCluster, device_id: int) -> int:
    """Return the size of what a device holds."""
    version = cluster.devices[device_id].blobs.stat(KEY)
    return -1 if version is None else version.size


async def serve(staging: Staging) -> None:
    """Go on to where reads ask both."""
    await staging.serve()


async def serve_and_retire(staging: Staging) -> None:
    """Go on to the end."""
    await staging.serve()
    await staging.retire()


@pytest.mark.parametrize(
    ("look", "rules", "last"),
    [
        (serve, Rules(copies_again=False), b"new!"),
        (serve, Rules(copies_again=False, joint_reads=False), b"old"),
        (serve_and_retire, ALL_RULES, b"new!"),
        (serve_and_retire, Rules(copies_again=False), b"old"),
    ],
)
def test_what_was_read_while_joining_is_not_lost(
    look: Look, rules: Rules, last: bytes
) -> None:
    """A reader by the current ring alone can see what no quorum of the target has."""

    async def scenario(cluster: LoopbackCluster) -> None:
        assert await versions_seen(cluster, rules, look) == [b"new!", last]

    play(scenario, ring_of_sets(OLD))


@pytest.mark.parametrize("copies", [True, False])
def test_what_was_there_before_is_there_after_if_it_was_copied(copies: bool) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        await put(service, NAME, b"data")
        await Staging(cluster, random.Random(1), rules=Rules(copies=copies)).change(ring_of_sets(NEW))
        cluster.take_down(*cluster.devices[:3])
        if copies:
            assert await get(service, NAME) == b"data"
            assert await names_in(service, "AUTH_a", "c") == ["o"]
        else:
            with pytest.raises((NoSuchContainer, NoSuchObject)):
                await get(service, NAME)

    play(scenario, ring_of_sets(OLD))


def about(value: bytes) -> ObjectMetadata:
    """Return metadata of an object."""
    return ObjectMetadata("a", "c", "o", len(value), value.decode(), "", 0, {}, {}, {}, {})


# who sleeps


def test_a_proxy_that_slept_through_a_change_is_refused_and_goes_on() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        awake, asleep = cluster.proxy(), cluster.proxy()
        await awake.service.create_container("AUTH_a", "c", {})
        await put(awake.service, NAME, b"before")
        await Staging(cluster, random.Random(1), [asleep.placement]).change(ring_of_sets(NEW))
        assert asleep.placement.rings.version == 1
        await put(awake.service, NAME, b"after")
        assert await get(asleep.service, NAME) == b"after"
        assert asleep.placement.rings.version == cluster.rings.version
        register = Register(asleep.placement, asleep.clock)
        assert all(device.blobs.stat(key_of(cluster)) is None for device in cluster.devices[6:])
        assert (await register.head(key_of(cluster))) is not None

    play(scenario, ring_of_sets(OLD))


@pytest.mark.parametrize("operation", ["put", "delete", "update", "list", "create", "delete_container", "condition"])
def test_every_operation_of_a_sleeper_succeeds_by_the_new_rings(operation: str) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        awake, asleep = cluster.proxy(), cluster.proxy()
        await awake.service.create_container("AUTH_a", "c", {})
        await awake.service.create_container("AUTH_a", "empty", {})
        await put(awake.service, NAME, b"before")
        await Staging(cluster, random.Random(1), [asleep.placement]).change(ring_of_sets(NEW))
        service = asleep.service
        other = NAME._replace(object="p")
        if operation == "put":
            await put(service, other, b"x")
            assert await names_in(awake.service, "AUTH_a", "c") == ["o", "p"]
        elif operation == "condition":
            await put(service, other, b"x", replace(TEXT, condition=absent))
            assert await get(awake.service, other) == b"x"
        elif operation == "delete":
            assert await service.delete_object(NAME)
            assert await names_in(awake.service, "AUTH_a", "c") == []
        elif operation == "update":
            await service.update_object(NAME, lambda old: old._replace(user={"k": "v"}))
            assert (await awake.service.head_object(NAME)).metadata.user == {"k": "v"}
        elif operation == "list":
            assert await names_in(service, "AUTH_a", "c") == ["o"]
        elif operation == "create":
            await service.create_container("AUTH_a", "d", {})
            await awake.service.container_info("AUTH_a", "d")
        else:
            await service.delete_container("AUTH_a", "empty")
            with pytest.raises(NoSuchContainer):
                await awake.service.container_info("AUTH_a", "empty")
        assert asleep.placement.rings.version == cluster.rings.version

    play(scenario, ring_of_sets(OLD))


def test_a_proxy_that_cannot_read_newer_rings_says_503_and_writes_nothing() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        old = cluster.rings
        await Staging(cluster, random.Random(1), [proxy.placement]).change(ring_of_sets(NEW))
        proxy.placement._read_published = lambda: old
        with pytest.raises(Unavailable):
            await Register(proxy.placement, proxy.clock).put(KEY, 0, about(b"x"), b"x")
        assert all(device.blobs.stat(KEY) is None for device in cluster.devices)

    play(scenario, ring_of_sets(OLD))


def absent(current: ObjectInfo | None) -> None:
    """Agree when nothing is there."""
    if current is not None:
        raise PreconditionFailed


class PreconditionFailed(Exception):
    """Something is there."""


def key_of(cluster: LoopbackCluster) -> bytes:
    """Return the key of the object that these tests use."""
    return cluster.key(*NAME)


# what a change comes between


async def jump(cluster: LoopbackCluster, target: Sequence[int], asleep: Sequence[LoopbackProxy] = ()) -> None:
    """Change the rings, all at once but for who is `asleep`."""
    staging = Staging(cluster, random.Random(1), [proxy.placement for proxy in asleep])
    await staging.change(ring_of_sets(target))


@pytest.mark.parametrize("target", [(0, 1, 3), (2, 3, 4), NEW])
@pytest.mark.parametrize("size", [100, 3 * MiB])
@pytest.mark.parametrize("sleeps", [False, True])
def test_an_upload_that_began_before_a_change_is_committed_after_it(
    target: tuple[int, ...], size: int, sleeps: bool
) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy, other = cluster.proxy(), cluster.proxy()
        register = Register(proxy.placement, proxy.clock)
        data = os.urandom(size)
        upload = await register.upload(KEY, size)
        await upload.send(data[: size // 2])
        await jump(cluster, target, [proxy] if sleeps else [])
        await upload.send(data[size // 2 :])
        await upload.finish()
        timestamp, previous = await register.commit(KEY, upload, 0, about(b""))
        assert previous is None
        holders = [number for number in target if cluster.devices[number].blobs.stat(KEY) is not None]
        assert len(holders) >= 2
        held = await Register(other.placement, other.clock).get(KEY)
        assert held is not None
        assert held.version.timestamp == timestamp
        read = bytes(held.payload)
        while held.body is not None and (piece := await held.body.read()):
            read += piece
        assert read == data
        await until(lambda: all(device.blobs.status()["uploads"] == 0 for device in cluster.devices))

    play(scenario, ring_of_sets(OLD))


@pytest.mark.parametrize("operation", [Operation.BLOB_PROMISE, Operation.BLOB_PUT])
@pytest.mark.parametrize("reached", [0, 1])
def test_a_conditional_write_that_a_change_comes_between_is_decided_once(operation: Operation, reached: int) -> None:
    """`reached`: how many replicas take the write before they refuse what is as old."""

    async def scenario(cluster: LoopbackCluster) -> None:
        proxy, other = cluster.proxy(), cluster.proxy()
        await proxy.service.create_container("AUTH_a", "c", {})
        await raise_floors_at(cluster, proxy, operation, reached)
        await put(proxy.service, NAME, b"mine", replace(TEXT, condition=absent))
        assert cluster.rings.floor == proxy.placement.rings.version - 1 == 2
        assert await get(other.service, NAME) == b"mine"
        with pytest.raises(PreconditionFailed):
            await put(other.service, NAME, b"late", replace(TEXT, condition=absent))

    play(scenario, ring_of_sets(OLD))


async def raise_floors_at(
    cluster: LoopbackCluster, proxy: LoopbackProxy, operation: Operation, reached: int
) -> None:
    """Enforce JOINING, of which `proxy` has not heard, when that many of its next such requests have arrived."""
    left = reached
    current, target = ring_of_sets(OLD), ring_of_sets((1, 2, 3))

    def loss(number: int) -> None:
        nonlocal left
        if number == operation:
            if not left and cluster.rings.version == 1:
                cluster.publish(rings_of(3, Stage.JOINING, 2, current, target), [proxy.placement])
            left -= 1

    for device_id in OLD:
        hold_back(proxy.peers[device_id], loss)


def hold_back(peer: LoopbackPeer, look: Callable[[int], None]) -> None:
    """Have `look` called with each operation that arrives at the device."""
    service = peer.device.service
    handle = service.handle

    def watched(request):  # type: ignore[no-untyped-def]
        if request.client is peer:
            look(request.operation)
        return handle(request)

    service.handle = watched  # type: ignore[method-assign]


@pytest.mark.parametrize("stage", [Stage.JOINING, Stage.SERVING])
def test_while_devices_join_that_have_nothing_every_operation_works(stage: Stage) -> None:
    """Also those that need what is there, on devices all of which still lack it."""

    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        await service.create_container("AUTH_a", "empty", {})
        await put(service, NAME, b"data")
        cluster.publish(rings_of(2, stage, 1, ring_of_sets(OLD), ring_of_sets(NEW)))
        assert await get(service, NAME) == b"data"
        await service.update_object(NAME, lambda old: old._replace(user={"k": "v"}))
        assert (await service.head_object(NAME)).metadata.user == {"k": "v"}
        await put(service, NAME._replace(object="p"), b"more", replace(TEXT, condition=absent))
        assert await names_in(service, "AUTH_a", "c") == ["o", "p"]
        await service.delete_container("AUTH_a", "empty")
        with pytest.raises(NoSuchContainer):
            await service.container_info("AUTH_a", "empty")
        assert await service.delete_object(NAME)
        assert await names_in(service, "AUTH_a", "c") == ["p"]
        for device_id in NEW:
            assert cluster.devices[device_id].blobs.stat(key_of(cluster)).deleted  # type: ignore[union-attr]

    play(scenario, ring_of_sets(OLD))


def test_a_device_that_leaves_or_joins_may_be_down() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        await put(service, NAME, b"data")
        for stage in (Stage.JOINING, Stage.SERVING):
            version = cluster.rings.version + 1
            cluster.publish(rings_of(version, stage, 1, ring_of_sets(OLD), ring_of_sets((0, 1, 3))))
            for down in (2, 3):
                with cluster.without(cluster.devices[down]):
                    await put(service, NAME, b"%d" % down)
                    assert await get(service, NAME) == b"%d" % down
                    assert await names_in(service, "AUTH_a", "c") == ["o"]

    play(scenario, ring_of_sets(OLD))


def test_without_a_quorum_of_both_sets_nothing_is_written() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        cluster.publish(rings_of(2, Stage.JOINING, 1, ring_of_sets(OLD), ring_of_sets(NEW)))
        with cluster.without(*cluster.devices[3:5]), pytest.raises(Unavailable):
            await Register(proxy.placement, proxy.clock).put(KEY, 0, about(b"x"), b"x")
        assert all(device.blobs.stat(KEY) is None for device in cluster.devices)

    play(scenario, ring_of_sets(OLD))


def test_a_device_takes_newer_rings_over_when_it_is_asked_by_them() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        asleep = [device.placement for device in cluster.devices]
        cluster.publish(rings_of(2, Stage.JOINING, 1, ring_of_sets(OLD), ring_of_sets(NEW)), asleep)
        await Register(proxy.placement, proxy.clock).put(KEY, 0, about(b"x"), b"x")
        assert [device.placement.rings.version for device in cluster.devices] == [2] * 6 + [1]

    play(scenario, ring_of_sets(OLD))


def test_a_deletion_of_a_container_that_a_change_comes_between_is_done_once() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy, other = cluster.proxy(), cluster.proxy()
        await proxy.service.create_container("AUTH_a", "c", {})
        await raise_floors_at(cluster, proxy, Operation.INDEX_MOVE, 1)
        await proxy.service.delete_container("AUTH_a", "c")
        with pytest.raises(NoSuchContainer):
            await other.service.container_info("AUTH_a", "c")
        await other.service.create_container("AUTH_a", "c", {})
        await put(other.service, NAME, b"data")

    play(scenario, ring_of_sets(OLD))


def test_peers_that_no_ring_has_are_hung_up_on_once_nobody_uses_them() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy = cluster.proxy()
        placement = proxy.placement
        placement.start()
        leaving = proxy.peers[0]
        in_hand = placement.replicas(DatabaseKind.CONTAINER, KEY)
        await Staging(cluster, random.Random(1)).change(ring_of_sets(NEW, others=()))
        assert sorted(placement.peers) == sorted(NEW)
        assert placement.oldest_version_in_use() == 1
        placement._look_back()
        await asyncio.sleep(0)
        assert leaving.up
        await in_hand.peer(0).call(Operation.BLOB_STAT, (KEY,), b"", 1.0, cluster.rings.version)
        del in_hand
        assert placement.oldest_version_in_use() == cluster.rings.version
        placement._look_back()
        await asyncio.sleep(0.01)
        assert not leaving.up
        with pytest.raises(PeerUnavailable):
            await leaving.call(Operation.BLOB_STAT, (KEY,))

    play(scenario, ring_of_sets(OLD))


def test_multipart_uploads_are_completed_and_aborted_across_a_change() -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        proxy, other = cluster.proxy(), cluster.proxy()
        service = proxy.service
        await service.create_container("AUTH_a", "c", {})
        kept = await service.create_upload(NAME, TEXT)
        dropped = await service.create_upload(NAME._replace(object="p"), TEXT)
        part = await service.put_part(NAME, kept, 1, body_of(b"part"), TEXT)
        await service.put_part(NAME._replace(object="p"), dropped, 1, body_of(b"part"), TEXT)
        await raise_floors_at(cluster, proxy, Operation.BLOB_DELETE, 1)
        await service.abort_upload(NAME._replace(object="p"), dropped)
        await jump_on(cluster)
        await service.complete_upload(NAME, kept, [(1, part.metadata.etag, {})])
        assert await get(other.service, NAME) == b"part"
        assert await names_in(other.service, "AUTH_a", "c") == ["o"]

    play(scenario, ring_of_sets(OLD))


async def jump_on(cluster: LoopbackCluster) -> None:
    """Finish the change that is under way."""
    staging = Staging(cluster, random.Random(1))
    for device in cluster.devices:
        await staging._tell(device, cluster.rings)
    await staging.copy(cluster.rings.floor)
    await staging.serve()
    await staging.retire()
