"""Partitions, primaries and handoffs: those of OpenStack Swift's Ring, one for one."""

import dataclasses
import random
from array import array
from pathlib import Path
from unittest.mock import patch

import pytest
import swift.common.ring
from hypothesis import given
from hypothesis import strategies as st

from ring.device import Device
from ring.hashing import NameHash
from ring.lookup import Ring
from tests.ring.builders import Ours, play
from tests.ring.histories import History, histories, sample

PREFIX, SUFFIX = b"changeme", b"endcap"
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def swifts_ring(ring: Ring, directory: Path) -> swift.common.ring.Ring:
    """Return Swift's Ring of the same devices and rows; it is made from files only."""
    devices = [None if each is None else dataclasses.asdict(each) for each in ring.devices]
    rows = [array("H", row) for row in ring.replica_rows]
    data = swift.common.ring.RingData(rows, devices, 32 - ring.part_power, version=1)
    path = directory / "object.ring.gz"
    data.save(str(path))
    with (
        patch("swift.common.utils.HASH_PATH_PREFIX", PREFIX),
        patch("swift.common.utils.HASH_PATH_SUFFIX", SUFFIX),
    ):
        return swift.common.ring.Ring(str(path), reload_time=1 << 30)


def assert_same_order(ring: Ring, theirs: swift.common.ring.Ring, partitions: range) -> None:
    for partition in partitions:
        assert [each.id for each in ring.primaries(partition)] == [
            each["id"] for each in theirs.get_part_nodes(partition)
        ]
        assert [each.id for each in ring.handoffs(partition)] == [
            each["id"] for each in theirs.get_more_nodes(partition)
        ]


def scattered(part_power: int, replicas: float, device_count: int, seed: int) -> Ring:
    """Return a ring without plan: partitions twice on a device, and devices that hold nothing, occur."""
    dice = random.Random(seed)
    devices = tuple(
        None
        if dice.random() < 0.1
        else Device(
            number, dice.randint(1, 3), dice.randint(1, 4), f"10.0.0.{dice.randint(1, 6)}", 6200, f"d{number}",
            dice.choice([0.0, 1.0])
        )
        for number in range(device_count)
    )
    ids = [each.id for each in devices if each is not None and dice.random() < 0.9] or [
        each.id for each in devices if each is not None
    ]
    count = 1 << part_power
    lengths = [count] * int(replicas) + [int(replicas % 1 * count)]
    rows = tuple(memoryview(array("H", dice.choices(ids, k=length))) for length in lengths if length)
    return Ring(part_power, devices, rows)


@sample(100)
@given(NAMES, NAMES | st.just(""), NAMES | st.just(""), st.integers(1, 32))
def test_a_name_has_swifts_hash(account: str, container: str, name: str, part_power: int) -> None:
    name = name if container else ""
    with (
        patch("swift.common.utils.HASH_PATH_PREFIX", PREFIX),
        patch("swift.common.utils.HASH_PATH_SUFFIX", SUFFIX),
    ):
        theirs = swift.common.utils.hash_path(account, container or None, name or None, raw_digest=True)
    assert NameHash(PREFIX, SUFFIX).key(account, container, name) == theirs


@pytest.mark.parametrize("part_power", [1, 8, 17])
def test_a_name_is_in_swifts_partition(part_power: int, tmp_path: Path) -> None:
    ring = scattered(part_power, 2.5, 12, seed=part_power)
    theirs, names = swifts_ring(ring, tmp_path), NameHash(PREFIX, SUFFIX)
    dice = random.Random(1)
    with (
        patch("swift.common.utils.HASH_PATH_PREFIX", PREFIX),
        patch("swift.common.utils.HASH_PATH_SUFFIX", SUFFIX),
    ):
        for number in range(2000):
            name = f"{''.join(map(chr, dice.choices(range(32, 0x2FFF), k=8)))}/{number}"
            expected, nodes = theirs.get_nodes("AUTH_tést", "контейнер", name)
            partition = ring.partition(names.key("AUTH_tést", "контейнер", name))
            assert partition == expected
            assert [each.id for each in ring.primaries(partition)] == [each["id"] for each in nodes]


@sample(30)
@given(st.integers(1, 6), st.sampled_from([1, 1.5, 2.25, 3, 4]), st.integers(5, 30), st.integers(0, 1 << 32))
def test_handoffs_come_in_swifts_order(
    tmp_path_factory: pytest.TempPathFactory, part_power: int, replicas: float, device_count: int, seed: int
) -> None:
    ring = scattered(part_power, replicas, device_count, seed)
    theirs = swifts_ring(ring, tmp_path_factory.mktemp("ring"))
    assert_same_order(ring, theirs, range(ring.partition_count))


@sample(10)
@given(histories(max_steps=2))
def test_handoffs_of_rings_that_were_built_come_in_swifts_order(
    tmp_path_factory: pytest.TempPathFactory, history: History
) -> None:
    for ours, now_s in play(Ours.of(history), history):
        ours.rebalance(1, now_s)
    ring = ours.value.to_ring()
    assert_same_order(ring, swifts_ring(ring, tmp_path_factory.mktemp("ring")), range(ring.partition_count))


def test_the_search_for_handoffs_strides_through_large_rings_as_swifts_does(tmp_path: Path) -> None:
    ring = scattered(18, 2.5, 40, seed=3)
    assert_same_order(ring, swifts_ring(ring, tmp_path), range(0, ring.partition_count, 8191))
