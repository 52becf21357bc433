"""ring.builder_file. docs/ring-file.md, "A builder"."""

import dataclasses
import struct
from hashlib import sha256
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring import builder_file, envelope, file
from ring.builder import RingBuilder
from ring.errors import DamagedFile, RingError, UnknownFormat
from tests.unit.ring.topologies import device, placed, same_builder

BUILDER = placed(*(device(number, zone=number) for number in range(4)), part_power=4, replicas=2.5)
DATA = builder_file.dump(BUILDER)


def test_a_builder_goes_on_where_it_was_saved() -> None:
    loaded = builder_file.load(DATA)
    after, expected = (each.add(device(4, zone=5)).rebalance(3, 0) for each in (loaded, BUILDER))
    assert after[1] == expected[1]
    assert file.dump(after[0].to_ring()) == file.dump(expected[0].to_ring())


def test_every_field_survives_a_round_trip() -> None:
    moved_s = np.arange(1_700_000_000, 1_700_000_016, dtype=np.uint32)
    builder = dataclasses.replace(
        BUILDER.remove(2).set_overload(0.1).with_id().prepare_increase_partition_power(),
        moved_s=moved_s,
        dispersion=1.5,
    )
    assert same_builder(builder_file.load(builder_file.dump(builder)), builder)


def test_a_builder_without_devices_survives_a_round_trip() -> None:
    loaded = builder_file.load(builder_file.dump(RingBuilder.create(10, 3, 24)))
    assert (loaded.part_power, loaded.replicas, loaded.min_part_hours, loaded.rows) == (10, 3, 24, None)


def test_a_placement_without_times_of_moves_survives_a_round_trip() -> None:
    builder = BUILDER.pretend_min_part_hours_passed()
    assert same_builder(builder_file.load(builder_file.dump(builder)), builder)


def test_a_ring_is_no_builder(tmp_path: Path) -> None:
    path = tmp_path / "x.builder"
    file.write(path, BUILDER.to_ring())
    with pytest.raises(UnknownFormat, match=r"x\.builder is not a builder"):
        builder_file.read(path)


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    builder_file.write(tmp_path / "x.builder", BUILDER)
    assert same_builder(builder_file.read(tmp_path / "x.builder"), BUILDER)


@settings(deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_damage_anywhere_is_noticed(offset: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[offset] ^= change
    with pytest.raises(RingError):
        builder_file.load(bytes(damaged))


def sealed(**changes: object) -> bytes:
    """Return a whole file whose header is not as `dump` writes it."""
    contents = envelope.open_sealed(builder_file.MAGIC, DATA)
    return envelope.seal(builder_file.MAGIC, {**contents.header, **changes}, contents.arrays)


@pytest.mark.parametrize(
    "changes",
    [
        {"part_power": 5},
        {"part_power": 0},
        {"part_power": 25},
        {"replicas": 0.5},
        {"replicas": float("nan")},
        {"replicas": "3"},
        {"min_part_hours": -1},
        {"overload": -0.1},
        {"version": 1.5},
        {"id": 7},
        {"devices_changed": 1},
        {"removed": [4]},
        {"removed": [[]]},
        {"removed": [True]},
        {"devices": []},
        {"devices": [*file.pack_devices(BUILDER.devices)[:3], None]},
        {"row_count": 5},
        {"row_count": 2},
        {"row_count": -1},
    ],
)
def test_a_header_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedFile):
        builder_file.load(sealed(**changes))


def test_a_file_of_format_1_is_read() -> None:
    """It had hours where format 2 has seconds, and no names of what came later."""
    contents = envelope.open_sealed(builder_file.MAGIC, DATA)
    names = ("part_power", "replicas", "min_part_hours", "version", "devices")
    header = {name: contents.header[name] for name in names}
    hours = np.full(16, 472_222, np.uint32)
    rows = [np.array(row, np.uint32) for row in contents.arrays[:3]]
    loaded = builder_file.load(_format_1(header, [*rows, hours]))
    expected = dataclasses.replace(
        BUILDER, moved_s=hours * np.uint32(3600), dispersion=0.0, overload=0.0, id="", next_part_power=None
    )
    assert same_builder(loaded, expected)


def test_a_file_of_format_1_from_before_the_first_rebalance_is_read() -> None:
    header = {"part_power": 10, "replicas": 3, "min_part_hours": 24, "version": 0, "devices": []}
    assert same_builder(builder_file.load(_format_1(header, [])), RingBuilder.create(10, 3.0, 24))


def _format_1(header: dict[str, object], arrays: list[np.ndarray[tuple[int], np.dtype[np.uint32]]]) -> bytes:
    packed = msgpack.packb({**header, "arrays": [["I", len(items)] for items in arrays]})
    data = builder_file.MAGIC + struct.pack("<HHI", 1, 0, len(packed)) + packed
    for items in arrays:
        data += bytes(-len(data) % 8) + items.astype("<u4").tobytes()
    return data + sha256(data).digest()
