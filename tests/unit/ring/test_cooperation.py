"""ring.cooperation"""

import dataclasses

import numpy as np
import pytest

from ring.builder import HOUR_S, RingBuilder
from ring.cooperation import rebalance
from ring.errors import RingError
from tests.unit.ring.test_composite import NOW_S, component, grown


def moved(before: RingBuilder, after: RingBuilder) -> set[int]:
    """Return the partitions that have replicas elsewhere."""
    assert before.rows is not None
    assert after.rows is not None
    rows = zip(before.rows, after.rows, strict=True)
    return set(np.flatnonzero(np.any([old != new for old, new in rows], axis=0)).tolist())


@pytest.mark.parametrize("hours", [0, 1, 24])
def test_a_cooperative_rebalance_moves_a_partition_in_one_component_only(hours: int) -> None:
    before = [grown(component(region, hours=hours)) for region in (1, 2, 3)]
    after = [builder for builder, _report in rebalance(before, 1, NOW_S)]
    moves = [moved(old, new) for old, new in zip(before, after, strict=True)]
    assert all(moves)
    assert sum(map(len, moves)) == len(set().union(*moves))


def test_a_partition_that_rests_in_one_component_rests_in_all() -> None:
    one, other = (grown(component(region, hours=hours), count=4) for region, hours in ((1, 24), (2, 1)))
    resting = set(range(0, 64, 2))
    moved_s = np.zeros(64, np.uint32)
    moved_s[list(resting)] = NOW_S - 5 * HOUR_S
    one = dataclasses.replace(one, moved_s=moved_s)
    for now_s, rests in ((NOW_S, True), (NOW_S + 19 * HOUR_S, False)):
        (new_one, _), (new_other, _) = rebalance([one, other], 1, now_s)
        either = moved(one, new_one) | moved(other, new_other)
        assert either
        assert either.isdisjoint(resting) is rests


def test_what_was_lent_to_a_component_is_not_kept_by_it() -> None:
    before = [grown(component(region)) for region in (1, 2)]
    for old, (new, _report) in zip(before, rebalance(before, 1, NOW_S), strict=True):
        assert new.moved_s is not None
        assert set(np.flatnonzero(new.moved_s == NOW_S).tolist()) == moved(old, new)
        assert not new.moved_s[new.moved_s != NOW_S].any()


def test_a_removed_device_is_emptied_whatever_rests() -> None:
    one, other = component(1), component(2).remove(0)
    one = dataclasses.replace(one, moved_s=np.full(64, NOW_S - 1, np.uint32))
    (new_one, _), (new_other, report) = rebalance([one, other], 1, NOW_S)
    assert not moved(one, new_one)
    assert report.removed == 1
    assert new_other.held(0) == 0


def test_rebalancing_again_in_time_finishes_what_one_had_to_leave() -> None:
    builders = [grown(component(region), count=4) for region in (1, 2)]
    for number in range(6):
        builders = [builder for builder, _report in rebalance(builders, number, NOW_S + number * HOUR_S)]
    assert max(builder.balance() for builder in builders) < 10


def test_a_first_placement_is_no_move_and_hinders_none() -> None:
    new = dataclasses.replace(component(1), rows=None, moved_s=None)
    other = grown(component(2))
    (placed, _), (moving, _) = rebalance([new, other], 1, NOW_S)
    assert placed.rows is not None
    assert moved(other, moving)


def test_components_of_other_part_powers_cannot_be_rebalanced_together() -> None:
    with pytest.raises(RingError, match="not of one part power"):
        rebalance([component(1), component(2, part_power=7)], 1, NOW_S)
