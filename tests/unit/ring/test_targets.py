"""ring.targets"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.device import Device
from ring.errors import RingError
from ring.targets import dispersed, most_by_tier, quotas, required_overload, target, weighted
from ring.topology import DEPTHS, DEVICE, NODE, REGION, ZONE, survey
from tests.unit.ring.topologies import device

PLACES = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.sampled_from([0.5, 1.0, 2.0, 10.0])),
    min_size=4,
    max_size=20,
)


def devices_at(places: list[tuple[int, int, int, float]]) -> list[Device]:
    return [
        device(number, zone, f"10.{region}.{zone}.{node}", weight, region)
        for number, (region, zone, node, weight) in enumerate(places)
    ]


def test_shares_follow_weight() -> None:
    topology = survey([device(0, weight=1.0), device(1, weight=3.0)])
    assert weighted(topology, 1)[DEVICE].tolist() == [0.25, 0.75]


def test_a_device_holds_a_partition_once_and_others_take_the_rest() -> None:
    topology = survey([device(0, weight=100.0), device(1, weight=1.0), device(2, weight=3.0)])
    assert weighted(topology, 2)[DEVICE].tolist() == [1.0, 0.25, 0.75]


def test_too_few_devices_with_weight_are_refused() -> None:
    topology = survey([device(0), device(1), device(2, weight=0.0)])
    with pytest.raises(RingError, match="3 replicas need as many devices with weight, and there are 2"):
        weighted(topology, 3)


def test_an_even_spread_over_two_zones_puts_two_of_three_replicas_in_one_at_most() -> None:
    topology = survey([device(number, zone=1 + number % 2, node=f"n{number}") for number in range(8)])
    most = most_by_tier(topology, 3)
    assert [most[depth].tolist() for depth in (REGION, ZONE)] == [[3], [2, 2]]
    assert set(most[NODE].tolist()) == set(most[DEVICE].tolist()) == {1}


def test_dispersion_loads_a_light_zone_with_one_replica_of_each_partition() -> None:
    light = [device(0, zone=1)]
    heavy = [device(number, zone=2 + number % 2) for number in range(1, 21)]
    topology = survey([*light, *heavy])
    by_weight = weighted(topology, 3)
    by_dispersion = dispersed(topology, 3, by_weight)
    assert by_weight[ZONE][0] == pytest.approx(3 / 21)
    assert by_dispersion[ZONE].tolist() == pytest.approx([1, 1, 1])
    assert required_overload(by_weight, by_dispersion) == pytest.approx(6)


def test_overload_goes_part_of_the_way_from_weight_to_dispersion() -> None:
    topology = survey([device(0, zone=1), *(device(number, zone=2 + number % 2) for number in range(1, 21))])
    assert target(topology, 3, 0.0)[ZONE][0] == pytest.approx(3 / 21)
    assert target(topology, 3, 0.5)[ZONE][0] == pytest.approx(1.5 * 3 / 21)
    assert target(topology, 3, 100.0)[ZONE][0] == pytest.approx(1)


@given(PLACES, st.sampled_from([1.0, 2.0, 2.5, 3.0, 4.0]), st.sampled_from([0.0, 0.1, 10.0]))
def test_levels_add_up_and_no_device_has_more_than_one(
    places: list[tuple[int, int, int, float]], replicas: float, overload: float
) -> None:
    topology = survey(devices_at(places))
    levels = target(topology, replicas, overload)
    for depth in DEPTHS:
        assert levels[depth].sum() == pytest.approx(replicas)
        above = np.bincount(topology.parents[depth], levels[depth])
        assert above == pytest.approx(levels[depth - 1])
    assert levels[DEVICE].max() <= 1 + 1e-9
    own = weighted(topology, replicas)[DEVICE]
    assert (levels[DEVICE] <= own * (1 + overload) + 1e-9).all()


@given(PLACES, st.sampled_from([1.0, 2.0, 2.5, 3.0, 4.0]), st.integers(2, 9))
def test_quotas_are_targets_rounded_and_parents_the_sums_of_children(
    places: list[tuple[int, int, int, float]], replicas: float, part_power: int
) -> None:
    topology, partition_count = survey(devices_at(places)), 1 << part_power
    levels = target(topology, replicas, 0.0)
    slot_count = int(replicas * partition_count)
    held = topology.sums(np.zeros(len(places)))
    quota = quotas(topology, levels, slot_count, partition_count, held, most_by_tier(topology, replicas))
    for depth in DEPTHS:
        wanted = quota[depth].wanted
        assert (np.bincount(topology.parents[depth], wanted) == quota[depth - 1].wanted).all()
        assert (abs(wanted - levels[depth] * partition_count) < 1 + 1e-6).all()
        assert (quota[depth].least == wanted // partition_count).all()
        assert quota[depth].most.tolist() == [math.ceil(count / partition_count) for count in wanted]


def test_who_holds_a_fraction_more_now_is_rounded_up() -> None:
    topology = survey([device(number, zone=number) for number in range(3)])
    levels, most = target(topology, 1, 0.0), most_by_tier(topology, 1)
    for holder in range(3):
        held = topology.sums(np.where(np.arange(3) == holder, 6.0, 5.0))
        assert quotas(topology, levels, 16, 16, held, most)[DEVICE].wanted[holder] == 6
