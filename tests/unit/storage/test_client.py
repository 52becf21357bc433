"""storage.client: whom an operation asks, by each stage of a change of rings, and which versions are in use."""

import asyncio
import gc
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.coordination.errors import Unavailable
from cluster.wire import Peer
from ring.device import Device
from ring.hashing import NameHash, partition_of
from ring.lookup import Ring
from storage.client import Placement, Rings, ring_name
from storage.messages import DatabaseKind
from storage.quorum import Joint, Majority
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT, Stage

KEY = bytes(16)
NAMES = NameHash(b"a", b"b")


class FakePeer:
    """A connection that is up, or not."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.up = True
        self.busy = False
        self.started = False
        self.closed = False

    def start(self) -> None:
        self.started = True

    async def close(self) -> None:
        self.closed = True


def connect(device: Device) -> Peer:
    """Return a fake peer."""
    return cast(Peer, FakePeer(device))


def fake(peer: Peer) -> FakePeer:
    """Return what `connect` made."""
    return cast(FakePeer, peer)


def ring(*held: Sequence[int], port: int = 6000) -> Ring:
    """Return a ring whose partitions lie on these devices."""
    part_power = (len(held) - 1).bit_length()
    ids = {device_id for devices in held for device_id in devices}
    devices = tuple(
        Device(number, 1, 1, "127.0.0.1", port + number, "d") if number in ids else None
        for number in range(max(ids) + 1)
    )
    replicas = range(max(map(len, held)))
    rows = [[devices[replica] for devices in held if replica < len(devices)] for replica in replicas]
    return Ring(part_power, devices, tuple(memoryview(array("H", row)) for row in rows))


def rings(version: int, stage: Stage, current: Ring, target: Ring | None = None, floor: int = 0) -> Rings:
    """Return rings that place everything alike."""
    names = (ACCOUNT, CONTAINER, OBJECT)
    goal = {} if target is None else dict.fromkeys(names, target)
    return Rings(version, floor, stage, dict.fromkeys(names, current), goal)


OLD, NEW = ring((0, 1, 2)), ring((1, 2, 3))


def placed(stage: Stage, current: Ring = OLD, target: Ring | None = NEW) -> Placement:
    """Return a placement in that stage."""
    return Placement(NAMES, rings(1, stage, current, target), connect)


def ids(peers: Sequence[tuple[int, Peer]]) -> list[int]:
    """Return the devices."""
    return [device_id for device_id, _peer in peers]


def test_while_stable_all_go_by_the_current_ring() -> None:
    replicas = placed(Stage.STABLE, target=None).replicas(OBJECT, KEY)
    assert ids(replicas.members) == ids(replicas.readers) == [0, 1, 2]
    assert replicas.writers is replicas.read_quorum
    assert replicas.writers == Majority(frozenset({0, 1, 2}), 2)


def test_while_joining_writes_go_to_both_and_reads_by_the_current_ring() -> None:
    replicas = placed(Stage.JOINING).replicas(OBJECT, KEY)
    assert ids(replicas.members) == [0, 1, 2, 3]
    assert replicas.writers == Joint((Majority.of((0, 1, 2)), Majority.of((1, 2, 3))))
    assert ids(replicas.readers) == [0, 1, 2]
    assert replicas.read_quorum == Majority.of((0, 1, 2))


def test_while_serving_reads_and_writes_need_both() -> None:
    replicas = placed(Stage.SERVING).replicas(OBJECT, KEY)
    assert ids(replicas.members) == ids(replicas.readers) == [0, 1, 2, 3]
    assert replicas.writers == replicas.read_quorum == Joint((Majority.of((0, 1, 2)), Majority.of((1, 2, 3))))


@pytest.mark.parametrize("stage", list(Stage))
def test_a_partition_that_stays_where_it_is_is_placed_as_ever(stage: Stage) -> None:
    placement = placed(stage, ring((0, 1, 2), (3, 4, 5)), ring((2, 1, 0), (3, 4, 0)))
    replicas = placement.replicas(OBJECT, KEY)
    assert replicas.writers == replicas.read_quorum == Majority.of((0, 1, 2))
    assert ids(replicas.members) == [0, 1, 2]


@pytest.mark.parametrize("stage", list(Stage))
def test_a_ring_that_does_not_change_is_read_as_ever(stage: Stage) -> None:
    only_objects = Rings(1, 0, stage, {OBJECT: OLD, CONTAINER: OLD, ACCOUNT: OLD}, {OBJECT: NEW})
    placement = Placement(NAMES, only_objects, connect)
    for kind in DatabaseKind:
        assert ids(placement.replicas(kind, KEY).members) == [0, 1, 2]
        assert only_objects.read_ring(ring_name(kind)) is OLD


def test_stages_that_follow_each_other_share_a_set_that_one_writes_and_the_other_reads() -> None:
    """The table of storage.client: what makes two neighbours compatible."""
    walk = [Stage.STABLE, Stage.JOINING, Stage.SERVING]
    steps = [placed(stage).replicas(OBJECT, KEY) for stage in walk]
    steps.append(placed(Stage.STABLE, NEW, None).replicas(OBJECT, KEY))
    for one, other in pairwise(steps):
        for writer, reader in ((one, other), (other, one), (one, one)):
            assert parts(writer.writers) & parts(reader.read_quorum)


def parts(quorum: object) -> set[Majority]:
    """Return the sets of which a quorum is needed."""
    if isinstance(quorum, Joint):
        return set(quorum.parts)
    assert isinstance(quorum, Majority)
    return {quorum}


@given(st.binary(min_size=16, max_size=16))
def test_a_key_is_placed_by_rings_of_different_part_powers(key: bytes) -> None:
    coarse, fine = ring((0, 1, 2), (2, 3, 4)), ring(*[(number, 10, 11) for number in range(8)])
    for current, target in ((coarse, fine), (fine, coarse)):
        replicas = placed(Stage.SERVING, current, target).replicas(OBJECT, key)
        expected = [
            {device.id for device in each.primaries(partition_of(key, each.part_power))} for each in (current, target)
        ]
        assert [set(part.members) for part in cast(Joint, replicas.writers).parts] == expected


def test_what_lies_alike_shares_one_value() -> None:
    placement = placed(Stage.STABLE, ring((0, 1, 2), (0, 1, 2)), None)
    assert placement.replicas(OBJECT, KEY) is placement.replicas(OBJECT, b"\xff" * 16)


# updates


def test_a_version_that_is_not_newer_is_passed_over() -> None:
    placement = placed(Stage.STABLE, target=None)
    before = placement.rings
    placement.update(rings(1, Stage.STABLE, NEW))
    assert placement.rings is before
    placement.update(rings(2, Stage.STABLE, NEW))
    assert ids(placement.replicas(OBJECT, KEY).members) == [1, 2, 3]


def test_a_version_is_in_use_as_long_as_its_replicas_are_in_hand() -> None:
    placement = placed(Stage.STABLE, target=None)
    assert placement.oldest_version_in_use() == 1
    in_hand = placement.replicas(OBJECT, KEY)
    placement.update(rings(2, Stage.JOINING, OLD, NEW))
    later = placement.replicas(OBJECT, KEY)
    placement.update(rings(3, Stage.SERVING, OLD, NEW))
    assert placement.oldest_version_in_use() == in_hand.version == 1
    del in_hand
    assert placement.oldest_version_in_use() == later.version == 2
    del later
    assert placement.oldest_version_in_use() == 3


def test_peers_are_made_for_new_devices_and_the_others_stay() -> None:
    async def scenario() -> None:
        placement = placed(Stage.STABLE, target=None)
        peers = placement.peers
        placement.start()
        before = dict(peers)
        placement.update(rings(2, Stage.JOINING, OLD, NEW))
        assert placement.peers is peers
        assert sorted(peers) == [0, 1, 2, 3]
        assert all(peers[device_id] is peer for device_id, peer in before.items())
        assert all(fake(peer).started for peer in peers.values())
        await placement.close()
        assert all(fake(peer).closed for peer in peers.values())

    asyncio.run(scenario())


def test_a_device_that_has_moved_gets_another_peer() -> None:
    async def scenario() -> None:
        placement = placed(Stage.STABLE, target=None)
        placement.start()
        before = dict(placement.peers)
        placement.update(rings(2, Stage.STABLE, ring((0, 1, 2), port=7000)))
        assert [fake(peer).device.port for peer in placement.peers.values()] == [7000, 7001, 7002]
        await asyncio.sleep(0)
        assert all(fake(peer).closed for peer in before.values())
        await placement.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("reason", ["in hand", "busy"])
def test_who_has_left_is_hung_up_on_when_nobody_uses_it(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        placement = placed(Stage.STABLE, target=None)
        placement.start()
        leaving = fake(placement.peers[0])
        in_hand = placement.replicas(OBJECT, KEY) if reason == "in hand" else None
        leaving.busy = reason == "busy"
        placement.update(rings(2, Stage.STABLE, NEW))
        assert 0 not in placement.peers
        await asyncio.sleep(3 * 0.01)
        assert not leaving.closed
        del in_hand
        leaving.busy = False
        await asyncio.sleep(3 * 0.01)
        assert leaving.closed
        assert placement._timer is None
        await placement.close()

    monkeypatch.setattr("storage.client.LOOK_BACK_S", 0.01)
    asyncio.run(scenario())


def test_what_failed_does_not_keep_a_version_in_use_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is kept where its traceback leads to is a cycle, which only the collector takes apart."""

    async def scenario() -> None:
        placement = placed(Stage.STABLE, target=None)
        placement.start()
        cycle: list[object] = [placement.replicas(OBJECT, KEY)]
        cycle.append(cycle)
        del cycle
        placement.update(rings(2, Stage.STABLE, NEW))
        assert placement.oldest_version_in_use() == 1
        await asyncio.sleep(6 * 0.01)
        assert placement.oldest_version_in_use() == 2
        await placement.close()

    monkeypatch.setattr("storage.client.LOOK_BACK_S", 0.01)
    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()


# reading what is published


class Published:
    """Rings that can be read."""

    def __init__(self, found: Rings) -> None:
        self.rings = found
        self.reads = 0
        self.error: Exception | None = None

    def __call__(self) -> Rings:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.rings


def test_newer_rings_are_read_only_when_they_are_wanted() -> None:
    async def scenario() -> None:
        published = Published(rings(5, Stage.STABLE, NEW))
        placement = Placement(NAMES, rings(1, Stage.STABLE, OLD), connect, published)
        assert placement.refresh(1)
        assert published.reads == 0
        assert placement.refresh(4)
        assert placement.rings.version == 5
        assert published.reads == 1

    asyncio.run(scenario())


def test_what_is_not_published_yet_is_not_looked_for_again_at_once() -> None:
    async def scenario() -> None:
        published = Published(rings(5, Stage.STABLE, NEW))
        placement = Placement(NAMES, rings(1, Stage.STABLE, OLD), connect, published)
        assert not placement.refresh(6)
        assert not placement.refresh(6)
        assert published.reads == 1
        assert placement.rings.version == 5

    asyncio.run(scenario())


def test_a_coordination_that_does_not_answer_leaves_the_rings_as_they_are() -> None:
    async def scenario() -> None:
        published = Published(rings(5, Stage.STABLE, NEW))
        published.error = Unavailable("down")
        placement = Placement(NAMES, rings(1, Stage.STABLE, OLD), connect, published)
        assert not placement.refresh(5)
        assert placement.rings.version == 1

    asyncio.run(scenario())


# health


def test_partitions_without_a_quorum_are_counted_by_both_rings() -> None:
    halves = ring((0, 1, 2), (3, 4, 5))
    placement = placed(Stage.JOINING, halves, ring((0, 1, 2), (3, 4, 6)))
    assert placement.partitions_without_quorum() == 0
    fake(placement.peers[5]).up = False
    assert placement.partitions_without_quorum() == 0
    fake(placement.peers[4]).up = False
    assert placement.partitions_without_quorum() == 3
    fake(placement.peers[5]).up, fake(placement.peers[6]).up = True, False
    assert placement.partitions_without_quorum() == 3, "of the target there is none"
