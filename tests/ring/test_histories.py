"""What a ring has after any history of changes, whoever builds it. Bounds come from tests.ring.placements."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.builder import RingBuilder
from tests.ring.builders import Ours, play
from tests.ring.histories import HOUR_S, START_S, Add, History, SetOverload, Step, histories, least_devices, sample
from tests.ring.placements import (
    Placement,
    beyond_one_percent,
    beyond_overload,
    crowded,
    dispersion,
    moves,
    off_share,
)

PLENTY = 1e9  # an overload that allows all that dispersion may ask for
DAY_S = 24 * HOUR_S


def settled(history: History) -> tuple[Placement, int]:
    """Return what becomes of `history` when rebalances go on until nothing moves; and how many that took."""
    return settle(played(history), START_S + 1000 * DAY_S)


def played(history: History) -> Ours:
    """Return our builder after the rebalances of `history`."""
    for ours, now_s in play(Ours.of(history), history):
        ours.rebalance(1, now_s)
    return ours


def settle(ours: Ours, now_s: int) -> tuple[Placement, int]:
    """Rebalance, days apart, until nothing moves.

    One replica of a partition moves at a time, so spreading n replicas takes up to n rebalances.
    """
    limit = 2 * least_devices(ours.value.replicas) + 4
    for number in range(limit):
        before = ours.placement()
        ours.rebalance(number, now_s + number * 2 * DAY_S)
        if not moves(before, ours.placement()).count:
            return before, number
    raise AssertionError(f"replicas still move at the {limit}th rebalance in which nothing changed")


@sample(60)
@given(histories())
def test_every_partition_has_its_replicas_on_devices_of_their_own(history: History) -> None:
    for ours, now_s in play(Ours.of(history), history):
        ours.rebalance(3, now_s)
        placement = ours.placement()
        expected = int(placement.replicas * placement.partition_count)
        assert [len(row) for row in placement.rows][:-1] == [placement.partition_count] * (len(placement.rows) - 1)
        assert placement.slot_count == expected
        for partition in range(placement.partition_count):
            ids = placement.ids(partition)
            assert len(set(ids)) == len(ids)
            assert set(ids) <= placement.devices.keys()


@sample(60)
@given(histories())
def test_a_rebalance_moves_one_replica_of_a_partition_at_most_and_none_that_rests(history: History) -> None:
    """Lost replicas are placed anew at once, and then the others of the partition stay."""
    changed_s = np.zeros(1 << history.part_power, np.int64)
    before: Placement | None = None
    for ours, now_s in play(Ours.of(history), history):
        ours.rebalance(3, now_s)
        after = ours.placement()
        if before is not None:
            done = moves(before, after)
            assert (done.moved.sum(axis=0) <= 1).all()
            assert not (done.moved.any(axis=0) & done.lost.any(axis=0)).any()
            rested = now_s - changed_s >= history.min_part_hours * HOUR_S
            assert rested[done.moved.any(axis=0)].all()
            changed_s[(done.moved | done.lost).any(axis=0)] = now_s
        before = after


@sample(60)
@given(histories())
def test_devices_come_to_hold_what_their_weights_give_them(history: History) -> None:
    """Without overload: within 1 %, or a partition where that is less than one."""
    history = without_overload(history)
    placement, _count = settled(history)
    assert beyond_one_percent(placement) == []


@sample(60)
@given(histories())
def test_replicas_come_to_be_as_far_apart_as_the_topology_permits(history: History) -> None:
    """At every tier, when overload allows."""
    placement, _count = settled(with_overload(history, PLENTY))
    assert list(crowded(placement)) == []


@sample(40)
@given(histories())
def test_no_device_holds_more_than_overload_lets_it(history: History) -> None:
    placement, _count = settled(history)
    assert beyond_overload(placement) == []


@sample(40)
@given(histories())
def test_the_required_overload_suffices(history: History) -> None:
    ours = played(without_overload(history))
    enough = ours.value.set_overload(ours.value.required_overload() + 1e-6)
    assert list(crowded(settle(Ours(enough), START_S + 1000 * DAY_S)[0])) == []


@sample(30)
@given(histories(), st.integers(0, 1 << 32))
def test_nothing_moves_once_all_is_in_place(history: History, seed: int) -> None:
    ours = played(history)
    before, _count = settle(ours, START_S + 1000 * DAY_S)
    ours.rebalance(seed, START_S + 2000 * DAY_S)
    assert moves(before, ours.placement()).count == 0


@sample(20)
@given(histories(max_steps=2), st.integers(0, 1 << 32))
def test_the_same_seed_gives_the_same_ring(history: History, seed: int) -> None:
    for ours, now_s in play(Ours.of(history), history):
        again = Ours(ours.value)
        ours.rebalance(seed, now_s)
        again.rebalance(seed, now_s)
        assert moves(ours.placement(), again.placement()).count == 0


@sample(30)
@given(histories())
def test_what_the_builder_says_of_itself_is_so(history: History) -> None:
    for ours, now_s in play(Ours.of(history), history):
        before = ours.placement() if ours.value.rows is not None else None
        ours.value, report = ours.value.rebalance(5, now_s)
        after = ours.placement()
        ours.value.validate()
        held = after.held()
        assert all(ours.value.held(device_id) == held[device_id] for device_id in after.devices)
        assert report.dispersion == pytest.approx(dispersion(after), abs=0.01)
        assert report.moved == (moves(before, after).count if before is not None else after.slot_count)


@sample(20)
@given(histories(max_steps=2))
def test_a_greater_part_power_leaves_every_name_on_its_devices(history: History) -> None:
    """Both children of a partition are on its devices; a name's child is one of the two."""
    ours = played(history)
    old = ours.value.to_ring()
    grown = ours.value.prepare_increase_partition_power().increase_partition_power()
    new = grown.finish_increase_partition_power().to_ring()
    assert new.part_power == old.part_power + 1
    for partition in range(new.partition_count):
        assert [each.id for each in new.primaries(partition)] == [each.id for each in old.primaries(partition >> 1)]
    grown_on = Ours(grown.finish_increase_partition_power())
    before = grown_on.placement()
    grown_on.rebalance(1, START_S + 1000 * DAY_S)
    assert (moves(before, grown_on.placement()).moved.sum(axis=0) <= 1).all()


@pytest.mark.parametrize("replicas", [2.0, 3.0, 3.5, 5.0])
def test_one_zone_becomes_seven(replicas: float) -> None:
    """A zone at a time, weights all alike: in the end no zone has two replicas of a partition."""
    steps = [Step(tuple(place(number, zone=1, node=number // 2) for number in range(8)), 0)]
    for zone in range(2, 8):
        new = range(8 * (zone - 1), 8 * zone)
        steps.append(Step(tuple(place(number, zone, number // 2) for number in new), 24))
    placement, _count = settled(History(8, replicas, 1, 0.0, tuple(steps)))
    assert list(crowded(placement)) == []
    assert beyond_one_percent(placement) == []


def test_replicas_go_up_and_down_by_fractions() -> None:
    """A replica more is placed without moving others; a replica less is dropped without moving others."""
    devices = [place(number, zone=number % 4, node=number) for number in range(12)]
    ours = Ours(RingBuilder.create(8, 3, 0))
    for device in devices:
        ours.do(device)
    ours.rebalance(1, START_S)
    for number, replicas in enumerate([3.25, 3.5, 4.0, 3.9, 2.5, 1.0, 1.75, 3.0], 1):
        before = ours.placement()
        ours.value = ours.value.set_replicas(replicas)
        ours.rebalance(number, START_S + number * DAY_S)
        after = ours.placement()
        assert after.slot_count == int(replicas * 256)
        for rounds in range(4):
            ours.rebalance(rounds, START_S + number * DAY_S + rounds)
        assert off_share(ours.placement()) < 1 + 1e-6
        assert moves(before, after).placed == max(0, after.slot_count - before.slot_count)
        assert list(crowded(ours.placement())) == []


def test_a_device_added_to_a_thousand_moves_little_more_than_its_share() -> None:
    ours = thousand_devices()
    before = ours.placement()
    ours.do(place(1000, zone=3, node=17, weight=150.0))
    ours.rebalance(2, START_S + DAY_S)
    after = ours.placement()
    share = after.slot_count * 150.0 / sum(device.weight for device in after.devices.values())
    assert after.held()[1000] == pytest.approx(share, abs=1.001)
    assert moves(before, after).count <= 1.2 * share


def test_a_device_taken_from_a_thousand_moves_what_it_held() -> None:
    ours = thousand_devices()
    before = ours.placement()
    ours.value = ours.value.remove(500)
    ours.rebalance(2, START_S + DAY_S)
    assert moves(before, ours.placement()).count <= 1.2 * before.held()[500]
    assert beyond_one_percent(ours.placement()) == []
    assert dispersion(ours.placement()) == 0


def thousand_devices() -> Ours:
    """Return a ring of 2^15 partitions on devices of three sizes, in five zones of ten nodes."""
    ours = Ours(RingBuilder.create(15, 3, 1))
    for number in range(1000):
        ours.do(place(number, zone=number % 5, node=number % 50, weight=(100.0, 150.0, 200.0)[number % 3]))
    ours.rebalance(1, START_S)
    return ours


@sample(5)
@given(histories(max_steps=3))
def test_balance_holds_at_65536_partitions(history: History) -> None:
    history = without_overload(dataclasses.replace(history, part_power=16))
    placement, _count = settled(history)
    assert beyond_one_percent(placement) == []


def place(number: int, zone: int, node: int, weight: float = 100.0) -> Add:
    return Add(number, 1, zone, node, weight)


def without_overload(history: History) -> History:
    return with_overload(history, 0.0)


def with_overload(history: History, overload: float) -> History:
    """Return `history` with one overload from start to end."""
    steps = tuple(
        dataclasses.replace(
            step, operations=tuple(each for each in step.operations if not isinstance(each, SetOverload))
        )
        for step in history.steps
    )
    return dataclasses.replace(history, overload=overload, steps=steps)
