"""Damages what a device has stored, record by record and file by file, as a disk would: behind the program's back."""

import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from storage.blobs import record
from storage.log.interface import Kind, Position, Record, offset_of, segment_of
from storage.log.segment import HEADER_SIZE, file_name, salt_of, segment_of_name
from storage.log.walk import Walk, Window


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest record of an object on a device."""

    key: bytes
    position: Position
    length: int  # without padding
    size: int  # of the object's data
    data_id: bytes  # of its file; b"" when the record holds the data


def stored_objects(device: Path) -> dict[bytes, Stored]:
    """Return by key what is in a device's log. The device may run."""
    log_id = (device / "log" / "id").read_bytes()
    found: dict[bytes, Stored] = {}
    for path in sorted((device / "log").glob("*.segment")):
        segment = segment_of_name(path.name)
        assert segment is not None
        data = path.read_bytes()

        def read_at(offset: int, length: int, data: bytes = data) -> bytes:
            return data[offset : offset + length]

        walk = Walk(Window(read_at), segment, salt_of(log_id, segment), len(data))
        for item in walk:
            if isinstance(item, Record) and item.kind == Kind.BLOB and item.metadata[0] in (1, 2):
                stored = _stored(item)
                found[stored.key] = stored
    return found


def _stored(item: Record) -> Stored:
    type_, _, _, key, _, size = record.decode_identity(item.metadata)
    data_id = record.data_id_of(item.metadata) if type_ == record.Type.FILE else b""
    length = 40 + len(item.metadata) + item.payload_length
    return Stored(key, item.position, length, size, data_id)


def spoil_record(device: Path, stored: Stored, chance: random.Random) -> None:
    """Flip a bit anywhere in a record: header, metadata or payload."""
    path = device / "log" / file_name(segment_of(stored.position))
    offset = offset_of(stored.position)
    assert offset >= HEADER_SIZE
    _flip(path, offset + chance.randrange(stored.length), chance)


def spoil_file(device: Path, stored: Stored, chance: random.Random) -> None:
    """Flip a bit anywhere in the data of a file."""
    name = stored.data_id.hex()
    _flip(device / "blobs" / "files" / name[:2] / name, chance.randrange(stored.size), chance)


def spoil_databases(device: Path, chance: random.Random) -> int:
    """Flip a bit in a row of each container database of a device that is stopped; return how many those are."""
    count = 0
    for path in sorted((device / "indexes" / "databases").glob("*/*.db")):
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT row FROM rows").fetchall()
        connection.close()
        if not found:
            continue
        (row,) = chance.choice(found)
        offset = path.read_bytes().find(row)
        if offset >= 0:
            _flip(path, offset + chance.randrange(len(row)), chance)
            count += 1
    return count


def _flip(path: Path, offset: int, chance: random.Random) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))
