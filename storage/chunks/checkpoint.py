"""The small file that says from where on the journal is needed, and which epochs are fenced off.

Format: docs/chunks.md. It is replaced as a whole (storage.disk.replace_small_file): a crash leaves the old one or the
new one.
"""

import struct
from dataclasses import dataclass, field

from storage.log.checksum import crc32c
from storage.log.interface import START, Position
from storage.log.segment import LOG_ID_SIZE

MAGIC = b"HFCHKPT1"
_HEAD = struct.Struct("<8sII16sQ")  # magic, crc of what follows it, count of fences, id and position of the journal
_COVERED_OFFSET = 12
_FENCE = struct.Struct("<16sQQ")  # family, layer, epoch


class CheckpointDamaged(Exception):
    """The file is there, and is not what was written."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is behind us."""

    log_id: bytes = bytes(LOG_ID_SIZE)  # of the journal that `position` is in
    position: Position = START  # the files have everything before it, durably
    fences: dict[tuple[bytes, int], int] = field(default_factory=dict)  # (family, layer) -> oldest epoch that may write


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the content of the file."""
    fences = b"".join([_FENCE.pack(*place, epoch) for place, epoch in checkpoint.fences.items()])
    head = _HEAD.pack(MAGIC, 0, len(checkpoint.fences), checkpoint.log_id, checkpoint.position)
    covered = head[_COVERED_OFFSET:] + fences
    return MAGIC + struct.pack("<I", crc32c(covered)) + covered


def decode(data: bytes) -> Checkpoint:
    """Decode the content of the file. Raise CheckpointDamaged."""
    if len(data) < _HEAD.size:
        raise CheckpointDamaged("cut off")
    magic, checksum, count, log_id, position = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise CheckpointDamaged("no checkpoint, or one of a version that is not known here")
    if len(data) != _HEAD.size + count * _FENCE.size or crc32c(memoryview(data)[_COVERED_OFFSET:]) != checksum:
        raise CheckpointDamaged("checksum")
    fences = {(family, layer): epoch for family, layer, epoch in _FENCE.iter_unpack(data[_HEAD.size :])}
    return Checkpoint(log_id, Position(position), fences)
