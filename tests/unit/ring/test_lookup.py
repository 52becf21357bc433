"""ring.lookup"""

import subprocess
import sys
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring.errors import RingError
from ring.lookup import Ring
from tests.unit.ring.topologies import device, placed


def row(*device_ids: int) -> "memoryview[int]":
    return memoryview(array("H", device_ids))


DEVICES = tuple(device(number, zone=number + 1) for number in range(4))


def test_the_primaries_come_in_replica_order() -> None:
    ring = Ring(1, DEVICES, (row(0, 3), row(2, 1), row(1, 0)))
    assert [each.id for each in ring.primaries(0)] == [0, 2, 1]
    assert [each.id for each in ring.primaries(1)] == [3, 1, 0]


def test_a_fractional_replica_covers_the_first_partitions() -> None:
    ring = Ring(1, DEVICES, (row(0, 3), row(2, 1), row(1)))
    assert [each.id for each in ring.primaries(0)] == [0, 2, 1]
    assert [each.id for each in ring.primaries(1)] == [3, 1]
    assert ring.replica_count == 2.5


def test_a_device_that_holds_two_replicas_is_named_once() -> None:
    """Such rings come from elsewhere: ours never place so."""
    assert [each.id for each in Ring(1, DEVICES, (row(2, 2), row(2, 1))).primaries(0)] == [2]


def test_a_key_leads_to_its_partition() -> None:
    assert Ring(1, DEVICES, (row(0, 1),)).partition(b"\x80" + bytes(15)) == 1


def test_a_ring_that_places_on_a_missing_device_is_refused() -> None:
    with pytest.raises(RingError, match="device 2, which the ring lacks"):
        Ring(1, (DEVICES[0], DEVICES[1], None), (row(0, 1), row(1, 2)))


def test_a_ring_with_too_few_partitions_is_refused() -> None:
    with pytest.raises(RingError, match="needs 4 partitions"):
        Ring(2, DEVICES, (row(0, 1, 2),))


def test_only_the_last_replica_may_be_fractional() -> None:
    with pytest.raises(RingError, match="needs 2 partitions"):
        Ring(1, DEVICES, (row(0, 1), row(1), row(2, 3)))
    with pytest.raises(RingError, match="the last replica covers 0 of 2 partitions"):
        Ring(1, DEVICES, (row(0, 1), row()))
    with pytest.raises(RingError, match="the last replica covers 3 of 2 partitions"):
        Ring(1, DEVICES, (row(0, 1), row(0, 1, 2)))


@pytest.mark.parametrize("part_power", [-1, 33, 1 << 40])
def test_a_part_power_that_keys_have_no_bits_for_is_refused(part_power: int) -> None:
    with pytest.raises(RingError, match="from 0 to 32"):
        Ring(part_power, DEVICES, (row(0),))


def test_a_ring_of_one_partition_holds_every_key() -> None:
    ring = Ring(0, DEVICES, (row(2), row(1)))
    assert [each.id for each in ring.primaries(ring.partition(b"\xff" * 16))] == [2, 1]


@settings(deadline=None)
@given(st.data())
def test_the_primaries_are_those_of_the_rows(data: st.DataObject) -> None:
    """The rows are laid out anew for lookups."""
    ids, part_power = st.integers(0, 3), data.draw(st.integers(0, 4))
    count = 1 << part_power
    lengths = [count] * data.draw(st.integers(1, 3)) + [data.draw(st.integers(1, count))]
    rows = [
        memoryview(array(data.draw(st.sampled_from("HI")), data.draw(st.lists(ids, min_size=length, max_size=length))))
        for length in lengths
    ]
    ring = Ring(part_power, DEVICES, tuple(rows))
    for partition in range(count):
        expected = dict.fromkeys(each[partition] for each in rows if partition < len(each))
        assert [each.id for each in ring.primaries(partition)] == list(expected)


def test_handoffs_are_all_other_devices_each_once() -> None:
    ring = placed(*(device(number, zone=number % 4) for number in range(12))).to_ring()
    for partition in range(0, 256, 16):
        primaries = {each.id for each in ring.primaries(partition)}
        handoffs = [each.id for each in ring.handoffs(partition)]
        assert sorted(handoffs) == sorted(set(range(12)) - primaries)


def test_handoffs_come_from_other_regions_then_zones_then_nodes_first() -> None:
    """OpenStack Swift's order of preference, `get_more_nodes`."""
    devices = [
        device(0, region=1, zone=1, node="a"),
        device(1, region=1, zone=1, node="a"),
        device(2, region=1, zone=1, node="b"),
        device(3, region=1, zone=2, node="c"),
        device(4, region=2, zone=1, node="d"),
    ]
    ring = placed(*devices, replicas=1).to_ring()
    partition = next(number for number in range(256) if ring.primaries(number)[0].id == 0)
    assert [each.id for each in ring.handoffs(partition)] == [4, 3, 2, 1]


def test_handoffs_of_one_device_spread_over_the_others() -> None:
    ring = placed(*(device(number, zone=number % 5) for number in range(10))).to_ring()
    lost = [partition for partition in range(256) if ring.primaries(partition)[0].id == 0]
    assert len({next(ring.handoffs(partition)).id for partition in lost}) >= 5


def test_lookup_does_without_numpy() -> None:
    """It would cost every daemon 13 MB."""
    code = "import sys, ring.file, ring.hashing, ring.swift_ring; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
