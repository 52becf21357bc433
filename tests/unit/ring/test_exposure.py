"""ring.exposure: compared with the same rules in plain Python."""

from collections import Counter
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from ring.exposure import FAILURE_DOMAINS, Stages, expose
from ring.topology import NODE, ZONE, TierName
from tests.unit.ring.test_moves import DEVICES, Partition, change_of, replicas

ZONES = [(1, 0), (1, 1), (1, 2)]
TIERS: dict[TierName, set[int]] = {}  # the leaves of each failure domain
for each, depth in product(DEVICES, FAILURE_DOMAINS):
    TIERS.setdefault((each.region, each.zone, each.ip)[:depth], set()).add(each.id)


def test_a_healthy_change_keeps_every_quorum() -> None:
    exposure = expose(change_of([([0, 2, 4], [1, 2, 4])]))
    assert exposure.readable == {3: 1}
    assert exposure.below_quorum == 0
    assert exposure.in_one[ZONE] == Stages(0, 0, 0)
    assert {tier for tier in exposure.at_fault if len(tier) == ZONE} == set()


def test_while_a_lost_replica_is_copied_each_zone_left_is_at_fault() -> None:
    exposure = expose(change_of([([0, 2, 4], [1, 2, 4])], lost=(0,)))
    assert exposure.readable == {2: 1}
    assert exposure.below_quorum == 0
    assert {tier: exposure.at_fault.get(tier) for tier in ZONES} == {
        (1, 0): None,
        (1, 1): Stages(0, 1, 0),
        (1, 2): Stages(0, 1, 0),
    }


def test_with_one_of_three_replicas_left_a_partition_is_below_quorum_and_hangs_on_one_node() -> None:
    exposure = expose(change_of([([0, 2, 4], [1, 3, 4])], lost=(0, 2)))
    assert exposure.readable == {1: 1}
    assert exposure.below_quorum == 1
    assert exposure.in_one[NODE] == Stages(0, 1, 0)


def test_a_zone_where_replicas_are_to_go_is_at_fault_for_writes_meanwhile() -> None:
    exposure = expose(change_of([([0, 2, 4], [2, 3, 4])]))
    assert exposure.at_fault[(1, 1)] == Stages(0, 1, 1)


def test_partitions_that_are_placed_for_the_first_time_are_not_exposed() -> None:
    exposure = expose(change_of([([], [0, 2, 4])]))
    assert exposure.readable == {}
    assert exposure.below_quorum == 0


def quorum(count: int) -> int:
    return count // 2 + 1


def breaks(left: set[int], whole: list[int], tier: set[int]) -> bool:
    """Tell whether a quorum of `whole` is `left`, and is not without the leaves of `tier`."""
    return len(left - tier) < quorum(len(whole)) <= len(left)


def in_one(leaves: set[int], depth: int) -> bool:
    return bool(leaves) and any(leaves <= tier for name, tier in TIERS.items() if len(name) == depth)


@settings(max_examples=40)
@given(st.lists(st.tuples(replicas, replicas), min_size=1, max_size=20), st.sets(st.integers(0, 5), max_size=3))
def test_it_is_what_plain_counting_finds(partitions: list[Partition], lost: set[int]) -> None:
    sides = [(set(old), set(old) - lost, set(new) - lost, old, new) for old, new in partitions]
    at_fault = {}
    for name, tier in TIERS.items():
        before = sum(breaks(held, old, tier) for held, _left, _ready, old, _new in sides)
        after = sum(breaks(ready, new, tier) for _held, _left, ready, _old, new in sides)
        joint = sum(breaks(left, old, tier) or breaks(ready, new, tier) for _held, left, ready, old, new in sides)
        if before or joint or after:
            at_fault[name] = Stages(before, joint, after)
    exposure = expose(change_of(partitions, tuple(lost)))
    assert exposure.at_fault == at_fault
    assert exposure.readable == Counter(len(left) for _held, left, _ready, _old, _new in sides)
    assert exposure.below_quorum == sum(
        len(left) < quorum(len(old)) or len(ready) < quorum(len(new)) for _held, left, ready, old, new in sides
    )
    assert exposure.in_one == {
        depth: Stages(*(sum(in_one(side[stage], depth) for side in sides) for stage in range(3)))
        for depth in FAILURE_DOMAINS
    }
