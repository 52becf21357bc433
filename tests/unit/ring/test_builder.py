"""ring.builder and ring.placement: what operators may count on."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring.builder import RingBuilder
from ring.device import Device
from ring.errors import RingError
from tests.unit.ring.topologies import builder_of, device, placed


def most_in_one(builder: RingBuilder, place: str) -> int:
    """Return the largest number of replicas of one partition that share a region, zone, ip or id."""
    ring = builder.to_ring()
    return max(
        max(Counter(getattr(each, place) for each in ring.primaries(partition)).values())
        for partition in range(ring.partition_count)
    )


def test_equal_devices_in_four_zones_get_equal_shares_in_different_zones() -> None:
    builder, report = builder_of(*(device(number, zone=number) for number in range(4))).rebalance(1, 0)
    assert [builder.held(number) for number in range(4)] == [192] * 4
    assert report.balance == 0
    assert report.dispersion == 0
    assert most_in_one(builder, "zone") == 1


def test_weights_are_met_within_one_percent_at_65536_partitions() -> None:
    devices = [
        device(number, zone=number // 4, node=f"10.0.0.{number // 2}", weight=1 + number * 7 % 5)
        for number in range(20)
    ]
    builder, report = builder_of(*devices, part_power=16).rebalance(1, 0)
    assert report.balance < 1
    total = sum(each.weight for each in devices)
    for each in devices:
        assert builder.held(each.id) == pytest.approx(3 * 65536 * each.weight / total, rel=0.01)
    assert report.dispersion == 0


def test_replicas_spread_over_regions_then_zones_then_nodes() -> None:
    devices = [
        device(number, region=number % 2, zone=number % 4, node=f"10.0.{number % 4}.{number % 8}")
        for number in range(16)
    ]
    builder = placed(*devices)
    assert most_in_one(builder, "region") == 2
    assert most_in_one(builder, "zone") == 1


def test_in_one_zone_replicas_are_on_different_nodes() -> None:
    assert most_in_one(placed(*(device(number, node=f"10.0.0.{number % 3}") for number in range(9))), "ip") == 1


def test_the_same_seed_places_the_same_and_another_does_not() -> None:
    wishes = builder_of(*(device(number, zone=number % 5) for number in range(10)))
    first, again, other = (wishes.rebalance(seed, 0)[0].rows for seed in (7, 7, 8))
    assert first is not None
    assert again is not None
    assert other is not None
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert any((one != two).any() for one, two in zip(first, other, strict=True))


def test_a_second_rebalance_moves_nothing() -> None:
    builder = placed(*(device(number, zone=number % 3, weight=1 + number % 4) for number in range(9)))
    assert builder.rebalance(2, 0)[1].moved == 0


def test_a_new_device_takes_its_share_and_no_more_moves() -> None:
    builder = placed(*(device(number, zone=number % 5) for number in range(20)), part_power=12)
    grown, report = builder.add(device(20, zone=2)).rebalance(2, 0)
    assert report.moved <= 1.2 * grown.held(20)
    assert grown.held(20) == pytest.approx(3 * 4096 / 21, rel=0.02)


def test_no_partition_moves_two_replicas_at_once() -> None:
    builder = placed(*(device(number, zone=1) for number in range(4)))
    for number in range(4, 12):
        builder = builder.add(device(number, zone=number % 3))
    grown = builder.rebalance(2, 0)[0]
    assert builder.rows is not None
    assert grown.rows is not None
    moved = sum((old != new).astype(int) for old, new in zip(builder.rows, grown.rows, strict=True))
    assert moved.max() == 1


def test_a_removed_device_gives_up_just_what_it_held() -> None:
    builder = placed(*(device(number, zone=number % 5) for number in range(15)), part_power=10)
    held = builder.held(3)
    shrunk, report = builder.remove(3).rebalance(2, 0)
    assert shrunk.held(3) == 0
    assert held <= report.moved <= 1.2 * held


def test_a_device_of_no_weight_is_emptied() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5)))
    assert builder.set_weight(2, 0).rebalance(2, 0)[0].held(2) == 0


def test_a_removed_device_stays_until_the_rebalance_and_its_id_comes_back() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5))).remove(2)
    assert builder.removed == {2}
    assert builder.device(2).weight == 0
    with pytest.raises(RingError, match="device 2 is being removed"):
        builder.set_weight(2, 1.0)
    gone, report = builder.rebalance(2, 0)
    assert (report.removed, gone.devices[2], gone.removed) == (1, None, frozenset())
    assert gone.free_id() == 2


def test_a_device_that_is_gone_is_replaced_even_where_its_partitions_rest() -> None:
    builder = RingBuilder.create(6, 3, min_part_hours=24)
    for number in range(5):
        builder = builder.add(device(number, zone=number))
    builder = builder.rebalance(1, 1e6)[0].add(device(5, zone=5)).rebalance(1, 1e6)[0]
    gone, report = builder.remove(5).rebalance(2, 1e6 + 1)
    assert report.moved >= builder.held(5)
    gone.validate()


def test_more_and_fewer_replicas_keep_those_that_are_there() -> None:
    builder = placed(*(device(number, zone=number % 4) for number in range(12)), part_power=10)
    more, report = builder.set_replicas(3.5).rebalance(1, 0)
    assert builder.rows is not None
    assert more.rows is not None
    assert [len(row) for row in more.rows] == [1024, 1024, 1024, 512]
    assert report.moved <= 512 * 1.2
    less, report = more.set_replicas(2).rebalance(1, 0)
    assert less.rows is not None
    assert len(less.rows) == 2
    assert report.balance < 1
    assert most_in_one(less, "zone") == 1


def test_overload_trades_balance_for_dispersion() -> None:
    devices = [device(0, zone=1), *(device(number, zone=2 + number % 2) for number in range(1, 9))]
    wishes = builder_of(*devices, part_power=10)
    assert wishes.required_overload() == pytest.approx(2)
    balanced, dispersed = (wishes.set_overload(overload).rebalance(1, 0)[1] for overload in (0.0, 2.0))
    assert balanced.balance < 0.2 < 20 < balanced.dispersion
    assert dispersed.dispersion == 0
    assert dispersed.balance == pytest.approx(200, abs=1)


def test_the_dispersion_graph_counts_partitions_by_replicas() -> None:
    builder = placed(*(device(number, zone=1 + number % 2, node=f"10.0.0.{number}") for number in range(6)))
    graph, most = builder.dispersion_graph(), builder.most_by_tier()
    assert graph[1,] == [0, 0, 0, 256]
    assert graph[1, 1][0] == graph[1, 1][3] == 0
    assert graph[1, 1][1] + graph[1, 1][2] == 256
    assert graph[1, 2, "10.0.0.1", 1][1] == builder.held(1)
    assert most[()] == most[1,] == 3
    assert most[1, 1] == 2


def test_twice_the_partitions_are_where_they_were() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5)), part_power=6)
    prepared = builder.prepare_increase_partition_power()
    assert prepared.to_ring().next_part_power == 7
    with pytest.raises(RingError, match="already"):
        prepared.prepare_increase_partition_power()
    increased = prepared.increase_partition_power()
    for partition in range(128):
        assert increased.to_ring().primaries(partition) == builder.to_ring().primaries(partition // 2)
    finished = increased.finish_increase_partition_power()
    assert (finished.next_part_power, finished.part_power, finished.version) == (None, 7, builder.version + 3)
    cancelled = prepared.cancel_increase_partition_power().finish_increase_partition_power()
    assert (cancelled.next_part_power, cancelled.part_power) == (None, 6)


def test_growth_from_one_zone_to_three_disperses_within_a_few_rebalances() -> None:
    builder = placed(*(device(number, zone=1) for number in range(6)))
    for number in range(6, 18):
        builder = builder.add(device(number, zone=2 + number % 2))
    for seed in range(3):
        builder, report = builder.rebalance(seed, 0)
    assert report.dispersion == 0
    assert most_in_one(builder, "zone") == 1


def test_a_partition_rests_for_min_part_hours() -> None:
    builder = RingBuilder.create(8, 3, min_part_hours=2)
    for number in range(3):
        builder = builder.add(device(number, zone=number))
    builder = builder.rebalance(1, 1e6)[0].add(device(3, zone=3)).rebalance(1, 1e6)[0]
    builder = builder.add(device(4, zone=4)).set_weight(3, 0.5)
    assert builder.seconds_left(1e6 + 60) == 2 * 3600 - 60
    soon, at_last = builder.rebalance(2, 1e6 + 2 * 3600 - 1), builder.rebalance(2, 1e6 + 2 * 3600)
    pretended = builder.pretend_min_part_hours_passed().rebalance(2, 1e6)
    assert 0 < soon[1].moved < at_last[1].moved == pretended[1].moved
    assert builder.rows is not None
    assert builder.moved_s is not None
    assert soon[0].rows is not None
    resting = builder.moved_s > 0
    assert all((old == new)[resting].all() for old, new in zip(builder.rows, soon[0].rows, strict=True))


def test_a_fractional_replica_count_covers_part_of_the_partitions() -> None:
    ring = placed(*(device(number, zone=number) for number in range(4)), replicas=2.25).to_ring()
    assert ring.replica_count == 2.25
    assert [len(ring.primaries(partition)) for partition in (0, 63, 64, 255)] == [3, 3, 2, 2]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 8)), min_size=4, max_size=12),
    st.integers(1, 4),
    st.data(),
)
def test_any_history_keeps_replicas_apart(
    places: list[tuple[int, int, int]], replicas: int, data: st.DataObject
) -> None:
    """`check` asserts at the end of each rebalance that every replica has a device of its own."""
    builder = builder_of(
        *(
            device(number, zone, f"n{number % 3}", weight, region)
            for number, (region, zone, weight) in enumerate(places)
        ),
        part_power=5,
        replicas=replicas,
    )
    for seed in range(3):
        builder = builder.rebalance(seed, 0)[0]
        victim = data.draw(st.integers(0, len(places) - 1))
        builder = builder.set_weight(victim, data.draw(st.sampled_from([0.5, 3.0, 9.0])))
        builder = builder.add(device(len(builder.devices), zone=data.draw(st.integers(1, 4))))
    builder, report = builder.rebalance(9, 0)
    assert sum(builder.held(number) for number in range(len(builder.devices))) == 32 * replicas
    assert report.dispersion >= 0
    builder.validate()


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (lambda builder: builder.add(device(0)), "there is a device 0 already"),
        (
            lambda builder: builder.add(Device(9, 1, 1, "10.1.1.1", 6200, "d0")),
            "device 0 is r1z1-10.1.1.1:6200/d0",
        ),
        (lambda builder: builder.set_weight(0, float("nan")), "a weight is a number from 0 up, not nan"),
        (lambda builder: builder.set_weight(0, -1), "a weight is a number from 0 up, not -1"),
        (lambda builder: builder.remove(7), "there is no device 7"),
        (lambda builder: builder.rebalance(1, 0), "3 replicas need as many devices"),
        (lambda builder: builder.to_ring(), "rebalance first"),
        (lambda builder: RingBuilder.create(40, 3), "part power must be from 1 to 24, not 40"),
        (lambda builder: RingBuilder.create(8, 0.5), "a ring has from 1 to 100 replicas, not 0.5"),
        (lambda builder: RingBuilder.create(8, 3, -1), "min_part_hours must be"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wish, sentence) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RingError, match=sentence):
        wish(builder_of(device(0)))
