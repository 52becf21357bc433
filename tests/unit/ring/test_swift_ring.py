"""ring.swift_ring. docs/ring-file.md, "Swift's ring file"; and beside it OpenStack Swift's own reader and writer."""

import gzip
import json
import struct
import sys
from array import array
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swift.common.ring.ring import RingData

from ring import swift_ring
from ring.device import Device
from ring.errors import DamagedFile, RingError, UnknownFormat
from ring.lookup import Ring
from tests.unit.ring.topologies import device, placed, same_ring

SAMPLES = Path(__file__).with_name("samples")
RING = placed(*(device(number, zone=number) for number in range(4)), part_power=4, replicas=2.5).to_ring()
DATA = swift_ring.dump(RING)


def by_swift(path: Path) -> tuple[object, ...]:
    """Return what Swift reads in the file `path`."""
    read = RingData.load(str(path))
    rows = [row.tolist() for row in read._replica2part2dev_id]
    return read.part_power, read.next_part_power, read.version, read.devs, rows


def test_a_ring_survives_a_round_trip() -> None:
    assert same_ring(swift_ring.load(DATA), RING)


def test_the_same_ring_gives_the_same_file() -> None:
    assert swift_ring.dump(swift_ring.load(DATA)) == DATA


def test_swift_reads_ours(tmp_path: Path) -> None:
    builder = placed(*(device(number, zone=number) for number in range(5)), part_power=4, replicas=2.5)
    ring = builder.remove(1).rebalance(1, 0)[0].prepare_increase_partition_power().to_ring()
    path = tmp_path / "object.ring.gz"
    path.write_bytes(swift_ring.dump(ring))
    part_power, next_part_power, version, devices, rows = by_swift(path)
    assert (part_power, next_part_power, version) == (4, 5, ring.version)
    assert rows == [row.tolist() for row in ring.replica_rows]
    assert isinstance(devices, list)
    assert devices[1] is None
    assert devices[2] == {
        "id": 2,
        "region": 1,
        "zone": 2,
        "ip": "10.1.2.1",
        "port": 6202,
        "device": "d2",
        "weight": 1.0,
        "replication_ip": "10.1.2.1",
        "replication_port": 6202,
        "meta": "",
    }


@pytest.mark.parametrize("format_version", [1, 2])
def test_we_read_swifts(tmp_path: Path, format_version: int) -> None:
    path = str(tmp_path / "object.ring.gz")
    rows = [array("H", [0, 1, 3, 0]), array("H", [1, 3])]
    devices: list[dict[str, Any] | None] = [
        {"id": number, "region": 1, "zone": number, "ip": "10.0.0.1", "port": 6200, "device": "sdb", "weight": 2.0}
        for number in range(4)
    ]
    devices[2] = None
    RingData(rows, devices, 30, next_part_power=3, version=9).save(path, format_version=format_version)
    ring = swift_ring.load(Path(path).read_bytes())
    assert (ring.part_power, ring.next_part_power, ring.version) == (2, 3, 9)
    assert [row.tolist() for row in ring.replica_rows] == [[0, 1, 3, 0], [1, 3]]
    assert ring.devices[2:] == (None, Device(3, 1, 3, "10.0.0.1", 6200, "sdb", 2.0))


def test_four_byte_ids_are_read(tmp_path: Path) -> None:
    """Swift writes them in format 2 only."""
    path = str(tmp_path / "object.ring.gz")
    devices: list[dict[str, Any] | None] = [None] * 70_000
    devices.append({"id": 70_000, "region": 1, "zone": 1, "ip": "a", "port": 1, "device": "d", "weight": 1.0})
    RingData([array("I", [70_000, 70_000])], devices, 31, version=1).save(path, format_version=2)
    ring = swift_ring.load(Path(path).read_bytes())
    assert [each.id for each in ring.primaries(1)] == [70_000]
    with pytest.raises(RingError, match="numbers no more than 65536 devices"):
        swift_ring.dump(ring)


@pytest.mark.parametrize(("name", "version", "next_part_power"), [("swift-1", 10, None), ("swift-2", 11, 7)])
def test_the_stored_samples_read_as_ever(name: str, version: int, next_part_power: int | None) -> None:
    """Made by swift-ring-builder 2.38."""
    path = SAMPLES / f"{name}.ring.gz"
    ring = swift_ring.load(path.read_bytes())
    assert (ring.part_power, ring.version, ring.next_part_power) == (6, version, next_part_power)
    assert ring.replica_count == 2.5
    assert ring.devices[2] is None
    assert ring.devices[5] == Device(5, 2, 3, "10.0.1.5", 6200, "sdb5", 200.0, "10.1.0.5", 6300, "note 5")
    assert by_swift(path)[4] == [row.tolist() for row in ring.replica_rows]


def test_a_device_from_before_regions_is_in_region_1() -> None:
    old = {"id": 0, "zone": 3, "ip": "10.0.0.1", "port": 6000, "device": "sdb", "weight": 100}
    ring = swift_ring.load(format_1(bytes(2), devs=[old], part_shift=32, version=None))
    assert ring.devices == (Device(0, 1, 3, "10.0.0.1", 6000, "sdb", 100.0),)
    assert ring.version == 0


@pytest.mark.parametrize("byte_order", ["little", "big", None])
def test_arrays_of_either_byte_order_are_read(byte_order: str | None) -> None:
    ids = [0, 1]
    body = b"".join(each.to_bytes(2, byte_order or sys.byteorder) for each in ids)  # type: ignore[arg-type]
    header = {} if byte_order is None else {"byteorder": byte_order}
    assert [row.tolist() for row in swift_ring.load(format_1(body, **header)).replica_rows] == [ids]


def format_1(body: bytes, **changes: object) -> bytes:
    """Return a file whose header is that of a ring of two partitions but for `changes`."""
    devices = [
        {"id": number, "region": 1, "zone": 1, "ip": "a", "port": 1, "device": f"d{number}", "weight": 1}
        for number in range(2)
    ]
    header = {"devs": devices, "part_shift": 31, "replica_count": 1, "version": 3} | changes
    text = json.dumps(header).encode()
    return gzip.compress(b"R1NG\x00\x01" + struct.pack(">I", len(text)) + text + body)


@pytest.mark.parametrize("sample", ["swift-1", "swift-2", None])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damage_is_noticed_or_does_no_harm(sample: str | None, data: st.DataObject) -> None:
    """A gzip header has a time, a name and an origin, which no checksum covers, and which tell nothing of the ring."""
    whole = DATA if sample is None else (SAMPLES / f"{sample}.ring.gz").read_bytes()
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = swift_ring.load(bytes(damaged))
    except RingError:
        return
    assert same_ring(read, swift_ring.load(whole))


@pytest.mark.parametrize("whole", [DATA, (SAMPLES / "swift-2.ring.gz").read_bytes()])
def test_a_file_cut_short_is_noticed(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(RingError):
            swift_ring.load(whole[:length])


def test_a_tail_is_noticed() -> None:
    with pytest.raises(DamagedFile):
        swift_ring.load(DATA + b"x")


@pytest.mark.parametrize(
    "changes",
    [
        {"part_shift": 30},
        {"part_shift": 33},
        {"part_shift": 7},  # 2^25 partitions
        {"part_shift": "31"},
        {"replica_count": 2},
        {"replica_count": None},
        {"devs": None},
        {"devs": [None, None]},
        {"devs": []},
        {"devs": [{}]},
        {"version": "3"},
        {"next_part_power": 99},
        {"byteorder": 7},
    ],
)
def test_a_header_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedFile):
        swift_ring.load(format_1(bytes([0, 0, 1, 0]), **changes))


@pytest.mark.parametrize(
    "content",
    [
        b"R1NG\x00\x01",
        b"R1NG\x00\x01\xff\xff\xff\xff{}",
        b"R1NG\x00\x01\x00\x00\x00\x02[]",
        b"R1NG\x00\x01\x00\x00\x00\x02{]",
        b"R1NG\x00\x01\x00\x01\x00\x00" + b"[" * 65_536,
        b"R1NG\x00\x02",
        b"R1NG\x00\x02" + bytes(16),
        b"R1NG\x00\x02" + b"\xff" * 16,
    ],
)
def test_a_file_that_breaks_off_is_damage(content: bytes) -> None:
    with pytest.raises(DamagedFile):
        swift_ring.load(gzip.compress(content))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"x" * 100, "no gzip file"),
        (gzip.compress(b"\x80\x02}q\x00.", mtime=0), "a pickled one of Swift's first releases"),
        (gzip.compress(b"R1NG\x00\x03" + bytes(20), mtime=0), "its format is Swift's 3"),
    ],
)
def test_what_is_not_known_is_told_from_damage(data: bytes, sentence: str) -> None:
    with pytest.raises(UnknownFormat, match=sentence):
        swift_ring.load(data)


def test_a_file_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    bomb = bytearray(gzip.compress(bytes(1 << 20)))
    with pytest.raises(DamagedFile, match="cut short, or there is something after"):
        swift_ring.load(bytes(bomb[:-4]) + struct.pack("<I", 4096))
    with pytest.raises(DamagedFile, match="more than any ring holds"):
        swift_ring.load(bytes(bomb[:-4]) + struct.pack("<I", (1 << 32) - 1))


class TestSections:
    """Format 2."""

    SECTIONS: dict[str, bytes] = {  # noqa: RUF012  never changed
        "swift/ring/metadata": b'{"part_shift": 31, "replica_count": 1.0, "dev_id_bytes": 2, "version": 3}',
        "swift/ring/devices": b'[{"id": 0, "zone": 1, "ip": "a", "port": 1, "device": "d", "weight": 1}]',
        "swift/ring/assignments": bytes(4),
        "custom/notes": b"whatever",
    }

    def file_of(self, sections: dict[str, bytes], **entry: object) -> bytes:
        """Return a file of `sections`; `entry` has what is to be different in each section's line of the index."""
        content, index = b"R1NG\x00\x02", {}
        for name, body in sections.items():
            section = struct.pack(">Q", len(body)) + body
            line = {"offset": len(content), "end": len(content) + len(section)}
            line |= {"method": "sha256", "checksum": sha256(section).hexdigest()}
            offset, end, method, checksum = (line | entry).values()
            index[name] = [0, offset, 0, end, method, checksum]
            content += section
        text = json.dumps(index).encode()
        return gzip.compress(content + struct.pack(">Q", len(text)) + text + struct.pack(">QQ", len(content), 0))

    def test_sections_that_are_not_known_are_passed_over(self) -> None:
        """Also when somebody compressed the file anew, so that compressed offsets are off."""
        ring = swift_ring.load(self.file_of(self.SECTIONS))
        assert (ring.version, [row.tolist() for row in ring.replica_rows]) == (3, [[0, 0]])

    @pytest.mark.parametrize("name", list(SECTIONS)[:3])
    def test_a_section_that_lacks_is_damage(self, name: str) -> None:
        with pytest.raises(DamagedFile):
            swift_ring.load(self.file_of({each: body for each, body in self.SECTIONS.items() if each != name}))

    @pytest.mark.parametrize(
        "entry",
        [
            {"checksum": sha256(b"").hexdigest()},
            {"checksum": None},
            {"method": "crc32"},
            {"method": None},
            {"method": []},
            {"offset": 7},
            {"offset": -8},
            {"offset": 1 << 40},
            {"offset": "6"},
            {"end": 7},
            {"end": 1 << 40},
        ],
    )
    def test_an_index_that_makes_no_sense_is_damage(self, entry: dict[str, object]) -> None:
        with pytest.raises(DamagedFile):
            swift_ring.load(self.file_of(self.SECTIONS, **entry))

    @pytest.mark.parametrize("size", [0, 1, 3, 8, None, "2"])
    def test_ids_are_of_two_or_four_bytes(self, size: object) -> None:
        header = {"part_shift": 31, "replica_count": 1.0, "dev_id_bytes": size, "version": 3}
        with pytest.raises(DamagedFile):
            swift_ring.load(self.file_of({**self.SECTIONS, "swift/ring/metadata": json.dumps(header).encode()}))


def test_a_ring_with_wide_ids_that_are_small_is_written() -> None:
    wide = Ring(RING.part_power, RING.devices, tuple(memoryview(array("I", row.tolist())) for row in RING.replica_rows))
    assert same_ring(swift_ring.load(swift_ring.dump(wide)), Ring(RING.part_power, RING.devices, RING.replica_rows))
