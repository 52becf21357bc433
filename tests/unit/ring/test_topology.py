"""ring.topology"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.errors import RingError
from ring.topology import ROOT, quotas, shares, survey
from tests.unit.ring.topologies import device


def test_shares_follow_weight() -> None:
    assert shares({0: 1.0, 1: 3.0}, slot_count=8, partition_count=8) == {0: 2.0, 1: 6.0}


def test_a_device_holds_a_partition_once_and_others_take_the_rest() -> None:
    assert shares({0: 100.0, 1: 1.0, 2: 3.0}, slot_count=16, partition_count=8) == {0: 8.0, 1: 2.0, 2: 6.0}


def test_too_few_devices_are_refused() -> None:
    with pytest.raises(RingError, match="3 replicas need as many devices with weight, and there are 2"):
        shares({0: 1.0, 1: 1.0}, slot_count=24, partition_count=8)


@given(st.lists(st.floats(0.1, 100), min_size=3, max_size=20))
def test_shares_add_up_and_none_exceeds_the_partitions(weights: list[float]) -> None:
    share = shares(dict(enumerate(weights)), slot_count=300, partition_count=100)
    assert sum(share.values()) == pytest.approx(300)
    assert max(share.values()) <= 100 + 1e-6


def test_devices_without_weight_are_not_surveyed() -> None:
    assert set(survey([device(0), None, device(2, weight=0.0)]).path) == {0}


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.floats(0.5, 10)), min_size=3, max_size=20))
def test_each_quota_is_the_share_rounded_and_parents_are_the_sum_of_children(
    places: list[tuple[int, int, float]],
) -> None:
    devices = [
        device(number, zone, f"10.{region}.{zone}.{number % 2}", weight, region)
        for number, (region, zone, weight) in enumerate(places)
    ]
    topology = survey(devices)
    quota = quotas(topology, 3 * 64, 64, held={})
    share = shares(topology.weight, 3 * 64, 64)
    assert quota[ROOT].wanted == 3 * 64
    for tier, below in enumerate(topology.children):
        assert not below or quota[tier].wanted == sum(quota[child].wanted for child in below)
    for leaf, device_id in topology.device_at.items():
        assert abs(quota[leaf].wanted - share[device_id]) < 1 + 1e-6


def test_who_holds_a_fraction_more_now_is_rounded_up() -> None:
    topology = survey([device(number, zone=number) for number in range(3)])
    third = topology.path[2][-1]
    held = dict.fromkeys(topology.path[2], 6)
    assert quotas(topology, 16, 16, held)[third].wanted == 6
