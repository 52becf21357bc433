"""ring.builder_file. docs/ring-file.md"""

from pathlib import Path

import pytest

from ring import builder_file, file
from ring.builder import RingBuilder
from ring.errors import RingError, UnknownFormat
from tests.unit.ring.topologies import device, placed


def test_a_builder_goes_on_where_it_was_saved() -> None:
    builder = placed(*(device(number, zone=number) for number in range(4)), replicas=2.5)
    loaded = builder_file.load(builder_file.dump(builder))
    after, expected = (
        loaded.add(device(4, zone=5)).rebalance(3, 0),
        builder.add(device(4, zone=5)).rebalance(3, 0),
    )
    assert after[1] == expected[1]
    assert file.dump(after[0].to_ring()) == file.dump(expected[0].to_ring())


def test_a_builder_without_devices_survives_a_round_trip() -> None:
    loaded = builder_file.load(builder_file.dump(RingBuilder.create(10, 3, 24)))
    assert (loaded.part_power, loaded.replicas, loaded.min_part_hours, loaded.rows) == (10, 3, 24, None)


def test_a_ring_is_no_builder(tmp_path: Path) -> None:
    path = tmp_path / "x.builder"
    file.write(path, placed(*(device(number, zone=number) for number in range(3))).to_ring())
    with pytest.raises(UnknownFormat, match=r"x\.builder is not a builder"):
        builder_file.read(path)


def test_damage_is_noticed() -> None:
    data = bytearray(builder_file.dump(RingBuilder.create(10, 3)))
    data[20] ^= 1
    with pytest.raises(RingError):
        builder_file.load(bytes(data))
