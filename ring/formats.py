"""The formats that rings and builders are written in, and which of them a file is: by its first bytes.

Ours (ring.file, ring.builder_file) and OpenStack Swift's (ring.swift_ring, ring.swift_builder) hold the same. A
builder stays in the format that it is in. docs/ring-file.md is their page.
"""

import os
from enum import Enum

from ring import builder_file, disk, file, swift_builder, swift_ring
from ring.builder import RingBuilder
from ring.errors import UnknownFormat
from ring.lookup import Ring


class Format(Enum):
    """Whose files they are. Each of its members has the name that operators give it."""

    SWIFT = "swift"
    HOLDFAST = "holdfast"

    @property
    def ring_suffix(self) -> str:
        """What stands in the name of a ring where its builder has `.builder`."""
        return ".ring.gz" if self is Format.SWIFT else ".ring"


def dump_builder(builder: RingBuilder, written_in: Format) -> bytes:
    """Return the file that holds `builder`."""
    return swift_builder.dump(builder) if written_in is Format.SWIFT else builder_file.dump(builder)


def load_builder(data: bytes) -> tuple[RingBuilder, Format]:
    """Return the builder in a file of either format, and which it is. Raise DamagedFile or UnknownFormat."""
    if data.startswith(builder_file.MAGIC):
        return builder_file.load(data), Format.HOLDFAST
    if data.startswith(swift_builder.MAGIC):
        return swift_builder.load(data), Format.SWIFT
    raise UnknownFormat("it begins as neither our builders do nor Swift's")


def dump_ring(ring: Ring, written_in: Format) -> bytes:
    """Return the file that holds `ring`. Raise RingError when Swift's cannot."""
    return swift_ring.dump(ring) if written_in is Format.SWIFT else file.dump(ring)


def load_ring(data: bytes) -> tuple[Ring, Format]:
    """Return the ring in a file of either format, and which it is. Raise DamagedFile or UnknownFormat."""
    if data.startswith(file.MAGIC):
        return file.load(data), Format.HOLDFAST
    if data.startswith(swift_ring.GZIP_MAGIC):
        return swift_ring.load(data), Format.SWIFT
    raise UnknownFormat("it begins as neither our rings do nor Swift's")


def read_builder(path: str | os.PathLike[str]) -> tuple[RingBuilder, Format]:
    """Return the builder in the file `path`, and what it is written in. Raise RingError, naming it, or OSError."""
    return disk.read(path, load_builder, "builder")


def read_ring(path: str | os.PathLike[str]) -> tuple[Ring, Format]:
    """Return the ring in the file `path`, and what it is written in. Raise RingError, naming it, or OSError."""
    return disk.read(path, load_ring, "ring")
