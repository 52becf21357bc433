"""ring.change"""

import dataclasses

import numpy as np
import pytest

from ring.builder import RingBuilder
from ring.change import change_between
from ring.errors import RingError
from ring.topology import NOWHERE
from tests.unit.ring.topologies import device, placed


def test_the_grids_of_two_builders_speak_of_the_same_leaves() -> None:
    before = placed(*(device(number, zone=number) for number in range(4)))
    after = before.add(device(4, zone=4)).rebalance(2, 0)[0]
    change = change_between(before, after)
    for grid, builder in ((change.old, before), (change.new, after)):
        assert builder.rows is not None
        for row, leaves in zip(builder.rows, grid, strict=True):
            assert [change.device(leaf).id for leaf in leaves.tolist()] == row.tolist()


def test_a_device_that_is_being_removed_is_lost() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5))).remove(3)
    change = change_between(builder, builder.rebalance(2, 0)[0])
    assert [change.device(leaf).id for leaf in np.flatnonzero(change.lost)] == [3]
    assert (change.readable(change.old) == NOWHERE).sum() == builder.held(3)


def test_what_is_lost_can_be_told() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5))).remove(3)
    after = builder.rebalance(2, 0)[0]
    assert not change_between(builder, after, lost=()).lost.any()
    assert change_between(builder, after, lost=(0, 1)).lost.sum() == 2


def test_another_device_under_the_id_of_one_that_went_is_another_leaf() -> None:
    before = placed(*(device(number, zone=number) for number in range(4)))
    stranger = dataclasses.replace(device(3, zone=9), device="new")
    after = dataclasses.replace(before, devices=(*before.devices[:3], stranger))
    change = change_between(before.to_ring(), after.to_ring())
    assert len(change.lost) == 5
    assert {change.device(leaf).device for leaf in change.new.ravel().tolist()} == {"d0", "d1", "d2", "new"}


def test_a_device_that_has_moved_to_another_zone_is_the_same_leaf() -> None:
    before = placed(*(device(number, zone=number) for number in range(4)))
    change = change_between(before, before.set_zone(3, 7))
    assert len(change.lost) == 4
    assert (change.old == change.new).all()


def test_before_the_first_placement_replicas_are_nowhere() -> None:
    after = placed(*(device(number) for number in range(3)))
    assert (change_between(RingBuilder.create(8, 3), after).old == NOWHERE).all()


def test_rings_of_other_part_powers_cannot_be_compared() -> None:
    with pytest.raises(RingError, match="the part powers differ: 8 before, 9 after"):
        change_between(RingBuilder.create(8, 3), RingBuilder.create(9, 3))
