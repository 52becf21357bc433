"""ring.formats"""

from pathlib import Path

import pytest

from ring import formats
from ring.builder import RingBuilder
from ring.errors import DamagedFile, UnknownFormat
from ring.formats import Format
from tests.unit.ring.topologies import device, placed, same_builder, same_ring

SAMPLES = Path(__file__).with_name("samples")
BUILDER = placed(*(device(number, zone=number) for number in range(4)), part_power=4, replicas=2.5)


@pytest.mark.parametrize("written_in", Format)
def test_a_builder_tells_its_format(written_in: Format) -> None:
    builder, found = formats.load_builder(formats.dump_builder(BUILDER, written_in))
    assert found is written_in
    assert same_builder(builder, BUILDER)


@pytest.mark.parametrize("written_in", Format)
def test_a_ring_tells_its_format(written_in: Format) -> None:
    ring, found = formats.load_ring(formats.dump_ring(BUILDER.to_ring(), written_in))
    assert found is written_in
    assert same_ring(ring, BUILDER.to_ring())


def test_both_formats_give_the_same_builder() -> None:
    builder = RingBuilder.create(6, 3, 1).add(device(0)).add(device(1, zone=2)).with_id().set_overload(0.5)
    by_format = [formats.load_builder(formats.dump_builder(builder, each))[0] for each in Format]
    assert all(same_builder(each, builder) for each in by_format)


@pytest.mark.parametrize(
    ("name", "written_in"),
    [
        ("format-1.ring", Format.HOLDFAST),
        ("format-2.ring", Format.HOLDFAST),
        ("swift-1.ring.gz", Format.SWIFT),
        ("swift-2.ring.gz", Format.SWIFT),
    ],
)
def test_a_ring_is_known_by_its_first_bytes(name: str, written_in: Format) -> None:
    assert formats.read_ring(SAMPLES / name)[1] is written_in


@pytest.mark.parametrize("name", ["swift.builder", "swift-old.builder"])
def test_a_builder_is_known_by_its_first_bytes(name: str) -> None:
    assert formats.read_builder(SAMPLES / name)[1] is Format.SWIFT


@pytest.mark.parametrize("data", [b"", b"\x89", b"<html>", b"\x00" * 4096])
def test_a_foreign_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "object.x"
    path.write_bytes(data)
    with pytest.raises(UnknownFormat, match=r"object\.x is not a builder that can be used"):
        formats.read_builder(path)
    with pytest.raises(UnknownFormat, match=r"object\.x is not a ring that can be used"):
        formats.read_ring(path)


def test_a_builder_is_no_ring_and_a_ring_no_builder() -> None:
    for each in Format:
        with pytest.raises(UnknownFormat):
            formats.load_ring(formats.dump_builder(BUILDER, each))
        with pytest.raises(UnknownFormat):
            formats.load_builder(formats.dump_ring(BUILDER.to_ring(), each))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "object.builder"
    path.write_bytes(formats.dump_builder(BUILDER, Format.SWIFT)[:-1])
    with pytest.raises(DamagedFile, match=r"object\.builder is not a builder that can be used: "):
        formats.read_builder(path)
