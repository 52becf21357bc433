"""ring.moves"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring.change import Change
from ring.moves import Flow, copying_of, flows, moves_of
from ring.topology import DEVICE, NOWHERE, ZONE, survey
from tests.unit.ring.topologies import device

DEVICES = tuple(device(number, zone=number // 2) for number in range(6))
Partition = tuple[list[int], list[int]]


def change_of(partitions: list[Partition], lost: tuple[int, ...] = ()) -> Change:
    """Return the change of partitions, each given by its devices before and after: they are leaves, too."""
    old, new = (
        np.array([[*ids, *[NOWHERE] * (4 - len(ids))] for ids in side], np.int32).T
        for side in zip(*partitions, strict=True)
    )
    return Change(DEVICES, survey(DEVICES), old, new, np.isin(np.arange(6), lost))


replicas = st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True)


@settings(max_examples=40)
@given(st.lists(st.tuples(replicas, replicas), min_size=1, max_size=20))
def test_moves_are_the_devices_that_a_partition_gains_and_loses(partitions: list[Partition]) -> None:
    moves = moves_of(change_of(partitions))
    gained = Counter((index, leaf) for index, (old, new) in enumerate(partitions) for leaf in set(new) - set(old))
    lost = Counter((index, leaf) for index, (old, new) in enumerate(partitions) for leaf in set(old) - set(new))
    assert Counter(zip(moves.partitions.tolist(), moves.targets.tolist(), strict=True)) == gained
    given_up = Counter(zip(moves.partitions.tolist(), moves.sources.tolist(), strict=True))
    assert sum((given_up & lost).values()) + moves.dropped == lost.total()
    assert all(leaf == NOWHERE for _index, leaf in given_up - lost)


def test_replicas_that_change_places_do_not_move() -> None:
    assert len(moves_of(change_of([([0, 2, 4], [4, 0, 2])]))) == 0


def test_a_replica_is_read_from_the_device_that_gives_it_up() -> None:
    change = change_of([([0, 2, 4], [1, 2, 4]), ([0, 2, 4], [0, 2, 4])])
    copying = copying_of(moves_of(change), change, np.array([10.0, 0, 20, 0, 30, 0]))
    assert copying.read.tolist() == [10, 0, 0, 0, 0, 0]
    assert copying.written.tolist() == [0, 10, 0, 0, 0, 0]


def test_a_lost_replica_is_read_from_all_that_are_left_and_as_large_as_they_are() -> None:
    change = change_of([([0, 2, 4], [1, 2, 4])], lost=(0,))
    copying = copying_of(moves_of(change), change, np.array([10.0, 0, 20, 0, 30, 0]))
    assert copying.read.tolist() == [0, 0, 12.5, 0, 12.5, 0]
    assert copying.written[1] == 25


def test_one_replica_more_is_read_from_those_that_are_there() -> None:
    change = change_of([([0, 2], [0, 2, 4])])
    moves = moves_of(change)
    assert moves.sources.tolist() == [NOWHERE]
    assert copying_of(moves, change, np.full(6, 8.0)).read.tolist() == [4, 0, 4, 0, 0, 0]


def test_nothing_can_be_read_of_a_partition_all_of_which_is_lost() -> None:
    change = change_of([([0], [1])], lost=(0,))
    copying = copying_of(moves_of(change), change, np.full(6, 8.0))
    assert copying.moved.tolist() == [0]
    assert not copying.read.any()


@settings(max_examples=40)
@given(
    st.lists(st.tuples(replicas, replicas), min_size=1, max_size=20),
    st.sets(st.integers(0, 5), max_size=3),
    st.lists(st.floats(0, 1000), min_size=6, max_size=6),
)
def test_as_much_is_read_as_is_written(partitions: list[Partition], lost: set[int], sizes: list[float]) -> None:
    change = change_of(partitions, tuple(lost))
    copying = copying_of(moves_of(change), change, np.array(sizes))
    assert copying.read.sum() == pytest.approx(copying.moved.sum())
    assert copying.written.sum() == pytest.approx(copying.moved.sum())
    assert not copying.read[list(lost)].any()


def test_flows_are_sums_by_tier_the_largest_first() -> None:
    change = change_of([([0, 2], [4, 2]), ([1, 2], [5, 2]), ([2, 4], [3, 4]), ([0], [0, 2])])
    moves = moves_of(change)
    sizes = copying_of(moves, change, np.full(6, 8.0)).moved
    assert flows(moves, sizes, change.topology, ZONE) == [
        Flow((1, 0), (1, 2), 2, 16),
        Flow(None, (1, 1), 1, 8),
        Flow((1, 1), (1, 1), 1, 8),
    ]
    assert len(flows(moves, sizes, change.topology, DEVICE)) == 4
