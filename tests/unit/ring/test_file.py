"""ring.file. docs/ring-file.md, "A ring"."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ring import envelope, file
from ring.errors import DamagedFile, RingError
from tests.unit.ring.topologies import device, placed, same_ring

RING = placed(*(device(number, zone=number) for number in range(4)), part_power=4, replicas=2.5).to_ring()
DATA = file.dump(RING)
SAMPLES = Path(__file__).with_name("samples")


def test_a_ring_survives_a_round_trip() -> None:
    assert same_ring(file.load(DATA), RING)


def test_a_removed_device_survives_a_round_trip() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5)), part_power=4).remove(1)
    ring = builder.rebalance(1, 0)[0].to_ring()
    assert ring.devices[1] is None
    assert same_ring(file.load(file.dump(ring)), ring)


def test_an_increase_of_the_part_power_survives_a_round_trip() -> None:
    ring = placed(device(0), device(1), replicas=2).prepare_increase_partition_power().to_ring()
    assert ring.next_part_power == 9
    assert same_ring(file.load(file.dump(ring)), ring)


@pytest.mark.parametrize("name", ["format-1.ring", "format-2.ring"])
def test_the_stored_samples_read_as_ever(name: str) -> None:
    """The example of docs/ring-file.md: files that users have must stay readable."""
    ring = file.read(SAMPLES / name)
    assert (ring.part_power, ring.version, ring.next_part_power, ring.replica_count) == (2, 7, None, 2.0)
    assert [[each.id for each in ring.primaries(partition)] for partition in range(4)] == [
        [0, 1],
        [1, 2],
        [2, 0],
        [0, 2],
    ]


@settings(deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_damage_anywhere_is_noticed(offset: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[offset] ^= change
    with pytest.raises(RingError):
        file.load(bytes(damaged))


def sealed(**changes: object) -> bytes:
    """Return a whole file whose header is not as `dump` writes it."""
    contents = envelope.open_sealed(file.MAGIC, DATA)
    return envelope.seal(file.MAGIC, {**contents.header, **changes}, contents.arrays)


def test_unknown_names_in_the_header_are_ignored() -> None:
    devices = [dict(fields, colour="blue") for fields in file.pack_devices(RING.devices) if fields]
    assert same_ring(file.load(sealed(flavour="new", devices=devices)), RING)


@pytest.mark.parametrize(
    "changes",
    [
        {"part_power": 5},
        {"part_power": "4"},
        {"part_power": 1 << 40},
        {"part_power": True},
        {"version": None},
        {"version": -1},
        {"next_part_power": 4.5},
        {"devices": []},
        {"devices": None},
        {"devices": file.pack_devices(RING.devices)[::-1]},
        {"devices": [{"id": 0}]},
        {"devices": ["sdb1"]},
    ],
)
def test_a_header_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedFile):
        file.load(sealed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"ip": 7},
        {"port": "6200"},
        {"port": 65_536},
        {"zone": -1},
        {"weight": float("nan")},
        {"weight": float("inf")},
        {"weight": -1.0},
        {"meta": None},
    ],
)
def test_a_device_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    first, *others = file.pack_devices(RING.devices)
    assert first is not None
    with pytest.raises(DamagedFile, match=next(iter(changes))):
        file.load(sealed(devices=[first | changes, *others]))


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "object.ring"
    file.write(path, RING)
    assert same_ring(file.read(path), RING)


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "object.ring"
    path.write_bytes(DATA[:-1])
    with pytest.raises(DamagedFile, match=r"object\.ring is not a ring that can be used"):
        file.read(path)
