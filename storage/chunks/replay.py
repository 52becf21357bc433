"""Brings the files up to the journal's end when the store is opened. Blocking; the package's docstring has the rule.

A process that was killed leaves things in the page cache that look durable and are not: files that claim a version,
names. So every file of which the journal has a record is synced again by the checkpoint that follows, and every
directory when the store is opened.

A record that is neither in its file already nor on top of what is there shows that something durable was lost: of the
file, or of the journal before it. It is passed over, and told.
"""

from collections.abc import Callable

from cluster.telemetry.log import get_logger
from storage.chunks import record as records
from storage.chunks.chunk import Chunk
from storage.chunks.destage import Applier
from storage.chunks.files import ChunkFiles
from storage.chunks.record import ChunkRecord, Type
from storage.chunks.table import Table
from storage.chunks.version import NOTHING
from storage.disk import Buffer
from storage.log.interface import Record

log = get_logger("storage.chunks")


class Replay:
    """One pass over the journal."""

    def __init__(
        self, table: Table, files: ChunkFiles, applier: Applier, note: Callable[[Chunk, bool], None]
    ) -> None:
        """`note` is told of files that are to be synced, and that their names are."""
        self._table = table
        self._files = files
        self._applier = applier
        self._note = note
        self.count = 0  # records that were applied
        self.losses: list[str] = []

    def take(self, found: Record) -> None:
        """Replay a record."""
        try:
            record = records.decode(found.metadata)
        except ValueError as error:
            self._lose(f"a record that is not understood: {error}")
            return
        self._table.raise_fence(record.family, record.layer, record.version[0])
        if record.type != Type.FENCE:
            self._write(record, found.payload)

    def _write(self, record: ChunkRecord, payload: Buffer) -> None:
        chunk = self._table.recovered(record.family, record.number, record.layer)
        if record.version <= chunk.in_file:
            self._note(chunk, True)
            return
        if record.previous != chunk.in_file:
            self._lose(f"{chunk}: the next write that is known is {record.version} on {record.previous}")
            return
        is_new = chunk.in_file == NOTHING
        if is_new and not self._has_base(record, chunk):
            self._lose(f"{chunk}: layer {record.base}, which it begins with, is not at {record.base_version}")
            return
        if not is_new:
            self._files.fd(chunk)
        self._applier.apply(chunk, record.type, record.version, record.extents, payload)
        chunk.head = chunk.version = chunk.durable = chunk.applied = chunk.in_file
        if is_new:
            chunk.exists, chunk.base = True, None
            self._files.adopt(chunk)
            self._table.add(chunk)
        self._note(chunk, True)
        self.count += 1

    def _has_base(self, record: ChunkRecord, chunk: Chunk) -> bool:
        """Find what a chunk is cloned from; tell whether that is what it should be."""
        if not record.base:
            return True
        base = self._table.recovered(record.family, record.number, record.base)
        if base.in_file != record.base_version or not base.exists:
            return False
        self._files.fd(base)
        chunk.base = base
        return True

    def _lose(self, reason: str) -> None:
        if not self.losses:
            log.error("chunks_lost", reason=reason)
        self.losses.append(reason)
