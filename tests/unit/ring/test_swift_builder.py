"""ring.swift_builder. docs/ring-file.md, "Swift's builder file"; beside it OpenStack Swift's builder and its tool."""

import dataclasses
import os
import pickle
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swift.cli import ringbuilder
from swift.common.ring import RingBuilder as SwiftBuilder

from ring import swift_builder
from ring.builder import RingBuilder
from ring.device import Device
from ring.errors import DamagedFile, RingError, UnknownFormat
from tests.unit.ring.topologies import device, placed, same_builder

SAMPLES = Path(__file__).with_name("samples")
NOW_S = 1_700_000_000
BUILDER = placed(*(device(number, zone=number) for number in range(5)), part_power=5, replicas=2.5).with_id()
DATA = swift_builder.dump(BUILDER)


def saved(**changes: object) -> bytes:
    """Return the file of BUILDER as Swift would have written it, but for `changes`."""
    return pickle.dumps(pickle.loads(DATA) | changes, 2)


def by_swift(path: Path) -> Mapping[str, Any]:
    """Return what Swift reads in the file `path`."""
    fields: Mapping[str, Any] = SwiftBuilder.load(str(path)).to_dict()
    return fields


def test_every_field_survives_a_round_trip() -> None:
    builder = dataclasses.replace(
        BUILDER.remove(2).add(device(7, zone=9)).set_overload(0.1).prepare_increase_partition_power(),
        moved_s=np.arange(32, dtype=np.uint32) * 3601,
        dispersion=1.5,
    )
    assert same_builder(swift_builder.load(swift_builder.dump(builder)), builder)


@settings(deadline=None)
@given(st.builds(RingBuilder.create, st.integers(1, 10), st.floats(1, 100), st.integers(0, 65_535)), st.floats(0, 9))
def test_a_builder_without_devices_survives_a_round_trip(wishes: RingBuilder, overload: float) -> None:
    builder = wishes.set_overload(overload)
    assert same_builder(swift_builder.load(swift_builder.dump(builder)), builder)


def test_a_builder_goes_on_where_it_was_saved() -> None:
    after, expected = (each.remove(1).rebalance(3, NOW_S)[0] for each in (swift_builder.load(DATA), BUILDER))
    assert same_builder(after, expected)


class TestTimesOfMoves:
    """Swift has an epoch, and by partition the hours from its last move until then."""

    def moved(self, *seconds: int) -> RingBuilder:
        builder = placed(device(0), device(1), part_power=2, replicas=1)
        return dataclasses.replace(builder, moved_s=np.array(seconds, np.uint32))

    def swift_sees(self, tmp_path: Path, builder: RingBuilder) -> tuple[int, list[int]]:
        path = tmp_path / "object.builder"
        path.write_bytes(swift_builder.dump(builder))
        fields = by_swift(path)
        return fields["_last_part_moves_epoch"], list(fields["_last_part_moves"])

    def ours_after_swift_saved(self, tmp_path: Path, builder: RingBuilder) -> list[int]:
        path = tmp_path / "object.builder"
        path.write_bytes(swift_builder.dump(builder))
        SwiftBuilder.load(str(path)).save(str(path))
        moved_s = swift_builder.load(path.read_bytes()).moved_s
        assert moved_s is not None
        return list(map(int, moved_s))

    def test_swift_sees_whole_hours(self, tmp_path: Path) -> None:
        builder = self.moved(NOW_S, NOW_S - 3599, NOW_S - 3600, NOW_S - 254 * 3600)
        assert self.swift_sees(tmp_path, builder) == (NOW_S, [0, 0, 1, 254])

    def test_what_never_moved_or_long_ago_may_move(self, tmp_path: Path) -> None:
        assert self.swift_sees(tmp_path, self.moved(NOW_S, 0, NOW_S - 255 * 3600, 1)) == (NOW_S, [0, 255, 255, 255])
        assert self.swift_sees(tmp_path, self.moved(0, 0, 0, 0)) == (0, [255] * 4)
        builder = self.moved(NOW_S, NOW_S, NOW_S, NOW_S).pretend_min_part_hours_passed()
        assert self.swift_sees(tmp_path, builder) == (0, [255] * 4)

    def test_of_one_rebalance_in_an_hour_the_second_survives(self) -> None:
        builder = self.moved(NOW_S, NOW_S - 5000, NOW_S - 5000, NOW_S - 300 * 3600)
        assert same_builder(swift_builder.load(swift_builder.dump(builder)), builder)

    def test_of_two_in_an_hour_the_later_one_holds(self) -> None:
        """A partition rests for too long rather than too shortly."""
        loaded = swift_builder.load(swift_builder.dump(self.moved(NOW_S, NOW_S - 3601, NOW_S - 3700, 0)))
        assert loaded.moved_s is not None
        assert loaded.moved_s.tolist() == [NOW_S, NOW_S - 3601, NOW_S - 3601, 0]

    def test_once_swift_saved_it_whole_hours_are_left(self, tmp_path: Path) -> None:
        builder = self.moved(NOW_S, NOW_S - 5000, 0, NOW_S - 300 * 3600)
        assert self.ours_after_swift_saved(tmp_path, builder) == [NOW_S, NOW_S - 3600, 0, 0]


class TestSwiftReadsOurs:
    def test_all_fields_are_where_swift_looks(self, tmp_path: Path) -> None:
        path = tmp_path / "object.builder"
        builder = BUILDER.remove(2).set_overload(0.25).prepare_increase_partition_power()
        path.write_bytes(swift_builder.dump(builder))
        fields = by_swift(path)
        assert fields["part_power"] == 5
        assert fields["parts"] == 32
        assert fields["next_part_power"] == 6
        assert fields["replicas"] == 2.5
        assert fields["overload"] == 0.25
        assert fields["version"] == builder.version
        assert fields["id"] == builder.id
        assert fields["devs_changed"] is True
        assert [row.tolist() for row in fields["_replica2part2dev"]] == [row.tolist() for row in builder.rows or ()]
        assert [each["id"] for each in fields["_remove_devs"]] == [2]
        assert fields["_remove_devs"][0] is fields["devs"][2]
        assert fields["devs"][2]["weight"] == 0
        assert [each["parts"] for each in fields["devs"]] == builder.held_counts().tolist()

    def test_swift_places_on_and_we_go_on_from_there(self, tmp_path: Path) -> None:
        path = tmp_path / "object.builder"
        path.write_bytes(swift_builder.dump(BUILDER.remove(2).add(device(5, zone=7))))
        theirs = SwiftBuilder.load(str(path))
        theirs.rebalance(seed=1)
        theirs.validate()
        theirs.save(str(path))
        ours = swift_builder.load(path.read_bytes())
        ours.validate()
        assert ours.devices[2] is None
        assert not ours.removed
        assert ours.held(5) > 0
        assert abs(ours.balance() - theirs.get_balance()) < 1e-9

    @pytest.mark.parametrize(
        "command",
        [
            "",
            "version",
            "validate",
            "dispersion",
            "dispersion -v --recalculate",
            "search z3",
            "list_parts z3",
            "add r1z1-10.9.9.9:6200/sdx 1",
            "set_weight d1 7",
            "set_region d1 4",
            "set_zone d1 4",
            "set_info d1 127.0.0.9:6300/sdq_text",
            "set_min_part_hours 3",
            "set_replicas 3",
            "set_overload 10%",
            "remove d1",
            "pretend_min_part_hours_passed",
            "rebalance --force --seed 3",
            "write_ring",
            "prepare_increase_partition_power",
        ],
    )
    def test_every_command_of_its_tool_takes_ours(self, tmp_path: Path, command: str) -> None:
        path = tmp_path / "object.builder"
        path.write_bytes(DATA)
        self._run(path, "write_ring")  # `version` is that of the ring
        assert self._run(path, command) == 0
        swift_builder.load(path.read_bytes())

    def test_a_new_builder_of_ours_is_filled_and_placed_by_its_tool(self, tmp_path: Path) -> None:
        path = tmp_path / "object.builder"
        path.write_bytes(swift_builder.dump(RingBuilder.create(4, 2, 1)))
        for number in range(3):
            assert self._run(path, f"add r1z{number}-10.0.0.{number}:6200/sdb 100") == 0
        assert self._run(path, "rebalance --seed 1") == 1  # a warning: 32 replicas on 3 devices are not even
        builder = swift_builder.load(path.read_bytes())
        builder.validate()
        assert builder.id
        assert builder.held_counts().sum() == 32

    def _run(self, path: Path, command: str) -> object:
        words = command.split()
        with pytest.raises(SystemExit) as caught:
            ringbuilder.main(["swift-ring-builder", str(path), *words, *(["--yes"] if words[:1] in _ASKING else [])])
        return caught.value.code or 0


_ASKING = (["remove"], ["set_info"], ["set_weight"], ["set_region"], ["set_zone"])


class TestWeReadSwifts:
    def test_the_stored_sample_reads_as_ever(self) -> None:
        """Made by swift-ring-builder 2.38."""
        builder = swift_builder.load((SAMPLES / "swift.builder").read_bytes())
        builder.validate()
        assert (builder.part_power, builder.replicas, builder.min_part_hours) == (6, 2.5, 1)
        assert (builder.overload, builder.version, builder.next_part_power) == (0.1, 11, 7)
        assert builder.id == "b636dd69fd354203a160970899ea72fc"
        assert not builder.devices_changed
        assert builder.devices[2] is None
        assert builder.devices[5] == Device(5, 2, 3, "10.0.1.5", 6200, "sdb5", 200.0, "10.1.0.5", 6300, "note 5")
        assert builder.held_counts().tolist() == [21, 26, 0, 32, 33, 37, 11]

    def test_one_of_an_old_swift_on_python_2_is_read(self) -> None:
        """Strings of bytes; no region, replication address or meta; no overload, dispersion, id or next part power."""
        builder = swift_builder.load((SAMPLES / "swift-old.builder").read_bytes())
        builder.validate()
        assert builder.devices[5] == Device(5, 1, 3, "10.0.1.5", 6200, "sdb5", 200.0)
        assert (builder.overload, builder.dispersion, builder.id, builder.next_part_power) == (0.0, 0.0, "", None)
        assert builder.held_counts().tolist() == [21, 26, 0, 32, 33, 37, 11]

    def test_one_that_was_never_saved_with_a_placement_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "object.builder"
        SwiftBuilder(7, 3.25, 4).save(str(path))
        builder = swift_builder.load(path.read_bytes())
        expected = dataclasses.replace(RingBuilder.create(7, 3.25, 4), id=builder.id)
        assert same_builder(builder, expected)
        assert len(builder.id) == 32

    def test_one_whose_part_power_it_increased_is_read(self, tmp_path: Path) -> None:
        """It has a list where others have an array."""
        path = tmp_path / "object.builder"
        path.write_bytes(DATA)
        theirs = SwiftBuilder.load(str(path))
        theirs.prepare_increase_partition_power()
        theirs.increase_partition_power()
        theirs.save(str(path))
        builder = swift_builder.load(path.read_bytes())
        builder.validate()
        assert (builder.part_power, builder.next_part_power) == (6, 6)

    def test_one_that_its_tool_made_of_a_ring_is_read(self) -> None:
        """`write_builder` knows no times of moves."""
        builder = swift_builder.load(saved(_last_part_moves=None, _last_part_moves_epoch=None, id=None))
        assert builder.moved_s is None

    def test_four_byte_ids_are_read(self) -> None:
        rows = [array("I", row) for row in pickle.loads(DATA)["_replica2part2dev"]]
        assert same_builder(swift_builder.load(saved(_replica2part2dev=rows)), BUILDER)


class TestDamage:
    @settings(deadline=None)
    @given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
    def test_it_is_noticed_anywhere(self, offset: int, change: int) -> None:
        damaged = bytearray(DATA)
        damaged[offset] ^= change
        with pytest.raises(RingError):
            swift_builder.load(bytes(damaged))

    def test_a_file_cut_short_is_noticed(self) -> None:
        """Unless just the checksum is cut off: what is left is a whole file of Swift's."""
        whole = len(DATA) - 40
        for length in set(range(0, len(DATA), 11)) | {whole - 1, whole + 1, len(DATA) - 1}:
            with pytest.raises(RingError):
                swift_builder.load(DATA[:length])
        assert same_builder(swift_builder.load(DATA[:whole]), BUILDER)

    def test_a_tail_is_noticed(self) -> None:
        for whole in (DATA, saved()):
            with pytest.raises(DamagedFile):
                swift_builder.load(whole + b"x")

    def test_a_foreign_file_is_told_as_such(self) -> None:
        with pytest.raises(UnknownFormat):
            swift_builder.load(b"R1NG" + bytes(100))

    @pytest.mark.parametrize(
        "changes",
        [
            {"part_power": 4},
            {"part_power": 25, "parts": 1 << 25},
            {"part_power": 0, "parts": 1},
            {"parts": 33},
            {"parts": None},
            {"replicas": float("nan")},
            {"replicas": 0},
            {"replicas": "3"},
            {"min_part_hours": -1},
            {"min_part_hours": 1.5},
            {"overload": float("inf")},
            {"dispersion": "0"},
            {"version": None},
            {"id": 7},
            {"next_part_power": "6"},
            {"devs_changed": None},
            {"devs": None},
            {"devs": {}},
            {"devs": []},
            {"devs": [{"id": 0}]},
            {"devs": pickle.loads(DATA)["devs"][::-1]},
            {"_remove_devs": None},
            {"_remove_devs": [None]},
            {"_remove_devs": [pickle.loads(DATA)["devs"][0] | {"id": 77}]},
            {"_replica2part2dev": [[0] * 32]},
            {"_replica2part2dev": [array("B", bytes(32))]},
            {"_replica2part2dev": [array("H", bytes(62))]},
            {"_replica2part2dev": [array("H", bytes(64)), array("H")]},
            {"_replica2part2dev": [array("H", bytes(64)), array("H", bytes(62)), array("H", bytes(64))]},
            {"_replica2part2dev": [array("H", [5]) * 32]},
            {"_replica2part2dev": [array("H", [65_535]) * 32]},  # Swift's mark of what is nowhere
            {"_replica2part2dev": [array("I", [1 << 31]) * 32]},
            {"_last_part_moves": array("B", bytes(31)), "_last_part_moves_epoch": 1},
            {"_last_part_moves": [256] * 32, "_last_part_moves_epoch": 1},
            {"_last_part_moves": "0" * 32, "_last_part_moves_epoch": 1},
            {"_last_part_moves": 7, "_last_part_moves_epoch": 1},
            {"_last_part_moves_epoch": -1},
            {"_last_part_moves_epoch": 1.5},
            {"holdfast_move_times": [], "_last_part_moves_epoch": 1},
            {"holdfast_move_times": {255: -1}, "_last_part_moves_epoch": 1},
        ],
    )
    def test_fields_that_make_no_sense_are_damage(self, changes: dict[str, object]) -> None:
        with pytest.raises(DamagedFile):
            swift_builder.load(saved(**changes))

    @pytest.mark.parametrize("lacking", ["part_power", "replicas", "min_part_hours", "parts", "devs", "_remove_devs"])
    def test_a_field_that_lacks_is_damage(self, lacking: str) -> None:
        fields = pickle.loads(DATA)
        del fields[lacking]
        with pytest.raises(DamagedFile, match=lacking):
            swift_builder.load(pickle.dumps(fields, 2))

    @pytest.mark.parametrize("value", [None, [], "text", 7])
    def test_what_is_no_map_is_damage(self, value: object) -> None:
        with pytest.raises(DamagedFile, match="what it holds is not a map"):
            swift_builder.load(pickle.dumps(value, 2))


class _Command:
    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self._proof}",)


@pytest.mark.parametrize("name", ["part_power", "devs", "_replica2part2dev", "what Swift passes over"])
def test_no_command_in_it_is_run(tmp_path: Path, name: str) -> None:
    proof = tmp_path / "proof"
    with pytest.raises(DamagedFile, match="nothing of it was run"):
        swift_builder.load(saved(**{name: _Command(proof)}))
    assert not proof.exists()
