"""ring.plan"""

import dataclasses

import pytest

from ring.builder import RingBuilder
from ring.errors import RingError
from ring.plan import MIB, Usage, plan
from ring.topology import ZONE
from tests.unit.ring.topologies import device, placed


def five_zones() -> RingBuilder:
    return placed(*(device(number, zone=number % 5) for number in range(10)))


def test_a_plan_counts_the_moves_of_the_rebalance_that_it_is_of() -> None:
    before = five_zones().add(device(10, zone=2))
    after, report = before.rebalance(2, 0)
    planned = plan(before, after, Usage())
    assert len(planned.moves) == report.moved > 0
    assert planned.replica_count == 3 * 256
    assert sum(flow.replicas for flow in planned.flows(ZONE)) == report.moved


def test_nothing_changed_is_nothing_planned() -> None:
    planned = plan(five_zones(), five_zones(), Usage(bytes_used=10**9))
    assert len(planned.moves) == planned.bytes == planned.duration_s == 0
    assert planned.bottleneck is None


def test_a_replica_is_as_large_as_those_of_its_device_are() -> None:
    before = five_zones()
    after = before.set_weight(4, 0).rebalance(2, 0)[0]
    planned = plan(before, after, Usage(bytes_used={4: 7_000_000}))
    assert len(planned.moves) == before.held(4)
    assert planned.bytes == 7_000_000


def test_of_a_device_that_is_not_told_of_replicas_have_the_size_of_the_others() -> None:
    before = five_zones()
    after = before.set_weight(4, 0).rebalance(2, 0)[0]
    planned = plan(before, after, Usage(bytes_used={0: 1000 * before.held(0), 1: 3000 * before.held(1)}))
    mean = (1000 * before.held(0) + 3000 * before.held(1)) / (before.held(0) + before.held(1))
    assert planned.bytes == pytest.approx(mean * before.held(4), abs=1)


def test_a_total_is_shared_by_all_replicas() -> None:
    before = five_zones()
    after = before.remove(4).rebalance(2, 0)[0]
    planned = plan(before.remove(4), after, Usage(bytes_used=3 * 256 * 1000))
    assert planned.bytes == 1000 * before.held(4)
    assert [lost.id for lost in planned.lost] == [4]


def test_it_takes_as_long_as_the_busiest_device() -> None:
    before = five_zones()
    after = before.set_weight(4, 0).rebalance(2, 0)[0]
    planned = plan(before, after, Usage({4: 100 * MIB}, bytes_per_s=10 * MIB))
    assert planned.bottleneck is not None
    assert planned.bottleneck.id == 4
    assert planned.duration_s == pytest.approx(10)


def test_two_builders_tell_how_good_they_are_and_rings_do_not() -> None:
    before = five_zones().add(device(10, zone=2))
    after = before.rebalance(2, 0)[0]
    planned = plan(before, after, Usage())
    assert planned.quality is not None
    assert planned.quality[0].balance == 100  # the new device holds nothing
    assert planned.quality[1].balance == after.balance()
    assert plan(before.to_ring(), after.to_ring(), Usage()).quality is None


def test_two_rings_are_planned_as_their_builders_are() -> None:
    before = five_zones()
    after = before.add(device(10, zone=2)).rebalance(2, 0)[0]
    of_builders, of_rings = plan(before, after, Usage()), plan(before.to_ring(), after.to_ring(), Usage())
    assert of_rings.flows(ZONE) == of_builders.flows(ZONE)
    assert of_rings.exposure == of_builders.exposure


def test_fewer_replicas_are_given_up_and_copy_nothing() -> None:
    before = five_zones()
    after = before.set_replicas(2).rebalance(2, 0)[0]
    planned = plan(before, after, Usage(10**9))
    assert planned.moves.dropped - len(planned.moves) <= 256 <= planned.moves.dropped + len(planned.moves)
    assert planned.replica_count == 512


@pytest.mark.parametrize("bytes_per_s", [0, -1, float("nan"), float("inf")])
def test_a_device_copies_at_some_rate(bytes_per_s: float) -> None:
    with pytest.raises(RingError, match="a number of bytes per second above 0"):
        plan(five_zones(), five_zones(), Usage(bytes_per_s=bytes_per_s))


def test_builders_are_left_as_they_are() -> None:
    before = five_zones().remove(4)
    kept = dataclasses.replace(before)
    plan(before, before.rebalance(2, 0)[0], Usage())
    assert before.devices == kept.devices
    assert before.rows is kept.rows
