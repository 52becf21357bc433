"""ring.file, and ring.envelope below it. docs/ring-file.md"""

from hashlib import sha256
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring import envelope, file
from ring.errors import DamagedFile, RingError, UnknownFormat
from ring.lookup import Ring
from tests.unit.ring.topologies import device, placed

RING = placed(*(device(number, zone=number) for number in range(4)), part_power=4, replicas=2.5).to_ring()
DATA = file.dump(RING)
SAMPLE = Path(__file__).with_name("sample.ring")


def same(one: Ring, other: Ring) -> bool:
    return (
        (one.part_power, one.devices, one.version) == (other.part_power, other.devices, other.version)
        and [list(row) for row in one.replica_rows] == [list(row) for row in other.replica_rows]
    )  # fmt: skip


def test_a_ring_survives_a_round_trip() -> None:
    assert same(file.load(DATA), RING)


def test_a_removed_device_survives_a_round_trip() -> None:
    builder = placed(*(device(number, zone=number) for number in range(5)), part_power=4).remove(1)
    ring = builder.rebalance(1, 0)[0].to_ring()
    assert ring.devices[1] is None
    assert same(file.load(file.dump(ring)), ring)


def test_the_stored_sample_reads_as_ever() -> None:
    """The example of docs/ring-file.md: files that users have must stay readable."""
    ring = file.read(SAMPLE)
    assert (ring.part_power, ring.version, ring.replica_count) == (2, 7, 2.0)
    assert [[each.id for each in ring.primaries(partition)] for partition in range(4)] == [
        [0, 1],
        [1, 2],
        [2, 0],
        [0, 2],
    ]
    assert file.dump(ring) == SAMPLE.read_bytes()


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_damage_anywhere_is_noticed(offset: int, change: int) -> None:
    damaged = bytearray(DATA)
    damaged[offset] ^= change
    with pytest.raises(RingError):
        file.load(bytes(damaged))


@pytest.mark.parametrize("length", range(0, len(DATA), 7))
def test_a_file_cut_short_is_noticed(length: int) -> None:
    with pytest.raises(RingError):
        file.load(DATA[:length])


def test_a_tail_is_noticed() -> None:
    with pytest.raises(DamagedFile):
        file.load(DATA + b"x")


def test_a_foreign_file_is_told_from_a_damaged_one() -> None:
    with pytest.raises(UnknownFormat, match="does not begin with"):
        file.load(b"R1NG" + bytes(1000))


def test_a_newer_format_is_told_as_such() -> None:
    newer = DATA[:8] + b"\x02\x00" + DATA[10:]
    with pytest.raises(UnknownFormat, match="its format is 2, and this release knows 1"):
        file.load(newer)


def sealed(**changes: object) -> bytes:
    """Return a whole file whose header is not as `dump` writes it."""
    header, rows = envelope.open_sealed(file.MAGIC, DATA)
    return envelope.seal(file.MAGIC, header | changes, rows)


def test_unknown_names_in_the_header_are_ignored() -> None:
    devices = [dict(fields, colour="blue") for fields in file.pack_devices(RING.devices) if fields]
    assert same(file.load(sealed(flavour="new", devices=devices)), RING)


@pytest.mark.parametrize(
    "changes",
    [
        {"part_power": 5},
        {"part_power": "4"},
        {"devices": []},
        {"devices": None},
        {"devices": file.pack_devices(RING.devices)[::-1]},
        {"devices": [{"id": 0}]},
    ],
)
def test_a_header_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedFile):
        file.load(sealed(**changes))


def test_arrays_that_end_outside_the_file_are_damage() -> None:
    with pytest.raises(DamagedFile, match="an array ends outside the file"):
        envelope.open_sealed(file.MAGIC, _with_sizes([["H", 1 << 40]]))


def _with_sizes(sizes: list[list[object]]) -> bytes:
    header = msgpack.packb({"arrays": sizes})
    data = file.MAGIC + b"\x01\x00\x00\x00" + len(header).to_bytes(4, "little") + header
    return bytes(data + sha256(data).digest())


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "object.ring"
    path.write_bytes(b"old")
    file.write(path, RING)
    assert same(file.read(path), RING)
    assert [each.name for each in tmp_path.iterdir()] == ["object.ring"]


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "object.ring"
    path.write_bytes(DATA[:-1])
    with pytest.raises(DamagedFile, match=r"object\.ring is not a ring that can be used"):
        file.read(path)
