"""What one backup consists of: bytes <-> values. No I/O. docs/backup-format.md, "Manifests".

A manifest names every piece of the volume, whatever backup sent it: a restore takes one manifest and its pieces. It
is written last, so a backup has a manifest or does not exist. A manifest of a backup that is under way says, too,
which positions have been read: that is what an interrupted backup goes on from.

Positions count pieces from the start of a volume. One that is not in the table is zeros.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgpack

from blockgw.backup.cipher import ID_SIZE, Cipher
from blockgw.backup.compression import Compression, decompress, pack
from blockgw.backup.key import Document
from blockgw.backup.piece import PIECE, Stored

MAGIC = b"HFBACKUP"
FORMAT = 1
_HEAD = struct.Struct("<8sHBBI")  # magic, format, kind, cipher, length of the key document
_ENTRY = struct.Struct(f"<{ID_SIZE}sI")  # id, size of the object
_CHECKSUM_SIZE = 32
_BODY_LIMIT = 1 << 32  # bytes, unpacked
assert (_HEAD.size, _ENTRY.size) == (16, 36)


class Kind(IntEnum):
    """Of a manifest."""

    WHOLE = 1
    UNDER_WAY = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """What was backed up."""

    volume_id: str
    volume_name: str
    size: int  # bytes
    snapshot_id: str
    snapshot_name: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What a backup took. Bytes of the volume, but for `sent`: bytes of objects."""

    read: int = 0
    zeros: int = 0  # of what was read
    deduplicated: int = 0  # of what was read: the target had it already
    sent: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """One backup."""

    id: str
    origin: Origin
    created_us: int  # when its snapshot was taken
    parent: str | None  # the backup since which changes were read, for information only
    pieces: Mapping[int, Stored]  # by position
    counts: Counts = Counts()
    done: frozenset[int] = field(default=frozenset())  # positions; of a backup under way

    @property
    def positions(self) -> int:
        """How many pieces the volume has, zeros included."""
        return -(-self.origin.size // PIECE)

    def length(self, position: int) -> int:
        """Return how many bytes of the volume are in a piece."""
        return length_at(self.origin.size, position)


def length_at(size: int, position: int) -> int:
    """Return how many bytes of a volume of `size` bytes are in a piece."""
    return min(PIECE, size - position * PIECE)


def encode(manifest: Manifest, kind: Kind, key: Document | None, cipher: Cipher) -> bytes:
    """Return the object of a manifest."""
    document = json.dumps(key, sort_keys=True).encode()
    head = _HEAD.pack(MAGIC, FORMAT, kind, cipher.number, len(document)) + document
    body = pack(msgpack.packb(_fields(manifest)))
    data = head + cipher.seal(body, head + manifest.id.encode())
    return data + hashlib.sha256(data).digest()


def _fields(manifest: Manifest) -> dict[str, Any]:
    origin, counts = manifest.origin, manifest.counts
    return {
        "id": manifest.id,
        "volume": {"id": origin.volume_id, "name": origin.volume_name, "size": origin.size},
        "snapshot": {"id": origin.snapshot_id, "name": origin.snapshot_name},
        "created_us": manifest.created_us,
        "parent": manifest.parent,
        "piece_size": PIECE,
        "pieces": [
            [run.start, b"".join(_ENTRY.pack(*manifest.pieces[position]) for position in run)]
            for run in runs(manifest.pieces)
        ],
        "done": [[run.start, len(run)] for run in runs(manifest.done)],
        "counts": [counts.read, counts.zeros, counts.deduplicated, counts.sent],
    }


def key_document(data: bytes) -> Document | None:
    """Return the key document of a manifest's object. Raise ValueError when the object is not whole."""
    _head(data)
    length = _HEAD.unpack_from(data)[4]
    document = json.loads(data[_HEAD.size : _HEAD.size + length])
    if document is not None and not isinstance(document, dict):
        raise ValueError("its key document is none")
    return document


def _head(data: bytes) -> tuple[int, int, int]:
    """Return kind, cipher, and where the body begins."""
    if len(data) < _HEAD.size + _CHECKSUM_SIZE or data[:8] != MAGIC:
        raise ValueError("it is no manifest")
    if hashlib.sha256(memoryview(data)[:-_CHECKSUM_SIZE]).digest() != data[-_CHECKSUM_SIZE:]:
        raise ValueError("its checksum is wrong")
    _magic, form, kind, cipher, length = _HEAD.unpack_from(data)
    if form != FORMAT:
        raise ValueError(f"its format is {form}, and this release knows {FORMAT}")
    return kind, cipher, _HEAD.size + length


def decode(backup_id: str, data: bytes, kind: Kind, cipher: Cipher) -> Manifest:
    """Return the manifest of a backup. Raise ValueError, with the reason, when `data` is not that."""
    found_kind, sealed_by, start = _head(data)
    if (found_kind, sealed_by) != (kind, cipher.number):
        raise ValueError("its head is not one that it should have")
    body = cipher.open(data[start:-_CHECKSUM_SIZE], data[:start] + backup_id.encode())
    try:
        manifest = _manifest(msgpack.unpackb(decompress(Compression.ZSTANDARD, body, _BODY_LIMIT)))
    except (struct.error, KeyError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"it does not have what it should: {error}") from error
    if manifest.id != backup_id:
        raise ValueError(f"it is the manifest of {manifest.id}")
    return manifest


def _manifest(fields: dict[str, Any]) -> Manifest:
    if fields["piece_size"] != PIECE:
        raise ValueError(f"its pieces are of {fields['piece_size']} bytes, and this release knows {PIECE}")
    volume, snapshot = fields["volume"], fields["snapshot"]
    origin = Origin(volume["id"], volume["name"], volume["size"], snapshot["id"], snapshot["name"])
    count = -(-origin.size // PIECE)
    tables = [(_within(first, len(table) // _ENTRY.size, count), table) for first, table in fields["pieces"]]
    return Manifest(
        fields["id"],
        origin,
        fields["created_us"],
        fields["parent"],
        {
            position: Stored(*entry)
            for run, table in tables
            for position, entry in zip(run, _ENTRY.iter_unpack(table), strict=True)
        },
        Counts(*fields["counts"]),
        frozenset(position for first, length in fields["done"] for position in _within(first, length, count)),
    )


def _within(first: int, length: int, count: int) -> range:
    """Return a run of positions. Raise ValueError when it is not one of the volume."""
    if not 0 <= first < first + length <= count:
        raise ValueError("it has pieces beyond the end of the volume")
    return range(first, first + length)


def runs(positions: Iterable[int]) -> Iterator[range]:
    """Yield the positions as ranges, in order, none touching the next."""
    start = end = -1
    for position in sorted(positions):
        if position != end:
            if end > start:
                yield range(start, end)
            start = position
        end = position + 1
    if end > start:
        yield range(start, end)
