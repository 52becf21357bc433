"""Files made by either builder are read by the other, and a ring may go from one to the other at any time."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swift.common.ring import RingBuilder, RingData

from ring import disk, formats
from ring.device import Device
from ring.formats import Format
from tests.ring.builders import Ours, Swifts, play
from tests.ring.histories import HOUR_S, START_S, History, histories, sample
from tests.ring.placements import Placement


def to_swift(ours: Ours, path: Path) -> Swifts:
    """Return Swift's builder of our file."""
    disk.write(path, formats.dump_builder(ours.value, Format.SWIFT))
    return Swifts(RingBuilder.load(str(path)))


def from_swift(theirs: Swifts, path: Path) -> Ours:
    """Return our builder of Swift's file."""
    theirs.value.save(str(path))
    builder, written_in = formats.read_builder(path)
    assert written_in is Format.SWIFT
    return Ours(builder)


def assert_same(ours: Placement, theirs: Placement) -> None:
    assert (ours.part_power, ours.replicas, ours.overload) == (theirs.part_power, theirs.replicas, theirs.overload)
    assert as_reached(ours.devices.values()) == as_reached(theirs.devices.values())
    assert [row.tolist() for row in ours.rows] == [row.tolist() for row in theirs.rows]


def as_reached(devices: Iterable[Device | None]) -> list[Device]:
    """Return `devices` with the addresses for replication that apply: where none is set, the other ones."""
    return [
        dataclasses.replace(
            each, replication_ip=each.replication_ip or each.ip, replication_port=each.replication_port or each.port
        )
        for each in devices
        if each is not None
    ]


@sample(25)
@given(histories())
def test_a_builder_goes_to_swift_and_back(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    """And each knows what the other would not move yet."""
    directory = tmp_path_factory.mktemp("files")
    for ours, now_s in play(Ours.of(history), history):
        ours.rebalance(1, now_s)
        theirs = to_swift(ours, directory / "a.builder")
        theirs.value.validate()
        assert_same(ours.placement(), theirs.placement())
        back = from_swift(theirs, directory / "b.builder")
        assert_same(back.placement(), ours.placement())
        assert back.value.min_part_hours == ours.value.min_part_hours
        for later_s in (now_s, now_s + HOUR_S, now_s + 30 * HOUR_S):
            assert back.value.seconds_left(later_s) >= ours.value.seconds_left(later_s)
            assert back.value.seconds_left(later_s) <= ours.value.seconds_left(later_s) + HOUR_S


@sample(25)
@given(histories(), st.booleans())
def test_builders_may_take_turns(
    tmp_path_factory: pytest.TempPathFactory, history: History, is_ours_first: bool
) -> None:
    """Each does a step of the history, and hands its file to the other."""
    directory = tmp_path_factory.mktemp("files")
    ours, theirs, now_s = Ours.of(history), Swifts.of(history), START_S
    for number, step in enumerate(history.steps):
        now_s += int(step.hours * HOUR_S)
        turn: Ours | Swifts = ours if (number % 2 == 0) == is_ours_first else theirs
        for operation in step.operations:
            turn.do(operation)
        turn.rebalance(1, now_s)
        if turn is ours:
            theirs = to_swift(ours, directory / "a.builder")
            theirs.value.validate()
        else:
            ours = from_swift(theirs, directory / "b.builder")
            ours.value.validate()
        assert_same(ours.placement(), theirs.placement())


@sample(20)
@given(histories(max_steps=2), st.sampled_from([1, 2]))
def test_a_ring_of_swifts_is_read(
    tmp_path_factory: pytest.TempPathFactory, history: History, format_version: int
) -> None:
    for theirs, now_s in play(Swifts.of(history), history):
        theirs.rebalance(1, now_s)
    path = tmp_path_factory.mktemp("files") / "object.ring.gz"
    ring_data = theirs.value.get_ring()
    ring_data.save(str(path), format_version=format_version)
    ring, written_in = formats.read_ring(path)
    assert written_in is Format.SWIFT
    assert ring.part_power == history.part_power
    assert [list(row) for row in ring.replica_rows] == [list(row) for row in ring_data._replica2part2dev_id if row]
    assert [each and (each.id, each.ip, each.weight) for each in ring.devices] == [
        each and (each["id"], each["ip"], each["weight"]) for each in ring_data.devs
    ]


@sample(20)
@given(histories(max_steps=2))
def test_swift_reads_our_rings(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    for ours, now_s in play(Ours.of(history), history):
        ours.rebalance(1, now_s)
    ring = ours.value.to_ring()
    path = tmp_path_factory.mktemp("files") / "object.ring.gz"
    disk.write(path, formats.dump_ring(ring, Format.SWIFT))
    theirs = RingData.load(str(path))
    assert theirs._part_shift == 32 - ring.part_power
    assert theirs.version == ring.version
    assert [np.array(row).tolist() for row in theirs._replica2part2dev_id] == [list(row) for row in ring.replica_rows]
    assert [each and each["id"] for each in theirs.devs] == [each and each.id for each in ring.devices]
    again, _format = formats.read_ring(path)
    own, _format = formats.load_ring(formats.dump_ring(ring, Format.HOLDFAST))
    for other in (again, own):
        assert as_reached(other.devices) == as_reached(ring.devices)
        assert [list(row) for row in other.replica_rows] == [list(row) for row in ring.replica_rows]
