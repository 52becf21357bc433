"""Versions that a device was told to forget, as long as the log may still hold what they had replaced.

A FORGET says: of this key nothing is here any more, neither that version nor an older one. In the index that is an
entry less. But the index can be lost, and is then made from the log; and there, in a segment that is mostly live and so
never rewritten, may lie the object that was deleted long ago. Were the tombstone and the FORGET compacted away
before it, the object would be back. So each entry knows in which segments older records of its key may lie (its
*shadow*), and a version that is forgotten while it has one leaves a grave:

- as long as a segment of its shadow exists, its FORGET is a live record: compaction carries it along
  (storage.blobs.compaction), as it does tombstones;
- a newer version of the key takes the shadow over, and the grave is gone;
- with the last segment of the shadow it has no reason any more (`BlobIndex.clear_graves`).

A grave is a few dozen bytes beside a dead record of more: it is never what fills a device.
"""

import struct
from typing import NamedTuple

from cluster.clock import TIMESTAMP_SIZE, Timestamp
from storage.blobs.entry import Shadow

_LAYOUT = struct.Struct(f">{TIMESTAMP_SIZE}sIII")


class Grave(NamedTuple):
    """What is remembered of a forgotten version."""

    timestamp: Timestamp
    segment: int  # with the FORGET that names it
    shadow: Shadow  # segments that may hold older records of the key

    def encode(self) -> bytes:
        """Return it as the tables have it."""
        return _LAYOUT.pack(self.timestamp, self.segment, *self.shadow)


def decode(value: bytes) -> Grave:
    """Decode what `encode` made."""
    timestamp, segment, first, last = _LAYOUT.unpack(value)
    return Grave(Timestamp(timestamp), segment, (first, last))
