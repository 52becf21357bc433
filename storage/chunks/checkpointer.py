"""Makes files durable up to what was applied to them, and lets go of the journal before that.

In this order, each step durable before the next: content of the files; what they say of themselves; their names; the
small file that says from where on the journal is needed. The package's docstring tells why.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import NamedTuple

from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from storage.chunks import checkpoint
from storage.chunks.checkpoint import Checkpoint, CheckpointDamaged
from storage.chunks.chunk import Chunk
from storage.chunks.files import ChunkFiles
from storage.chunks.journal import Journal
from storage.chunks.table import Table
from storage.chunks.version import Version
from storage.disk import Disk, read_small_file, replace_small_file
from storage.log.interface import Position

SLICE = 64  # files that are synced together: so many are kept open for it
_NAME = "checkpoint"

log = get_logger("storage.chunks")


class Claim(NamedTuple):
    """What a file is to say of itself."""

    chunk: Chunk
    version: Version  # applied when the claim was made: the file has it, or more


class Checkpointer:
    """Of one device."""

    def __init__(self, disk: Disk, files: ChunkFiles, table: Table, journal: Journal, thread: Waiters) -> None:
        self._disk = disk
        self._files = files
        self._table = table
        self._journal = journal
        self._thread = thread
        self._path = os.path.join(files.directory, _NAME)
        self._lock = asyncio.Lock()
        self._dirty: dict[Chunk, None] = {}  # with something applied since the file was last synced
        self._named: set[bytes] = set()  # families with files whose names are not durable
        self.position = Position(0)  # of the last one
        self.count = 0

    def __repr__(self) -> str:
        return f"Checkpointer({len(self._dirty)} files to sync)"

    def load(self) -> Checkpoint:
        """Return what the last one has left. CheckpointDamaged. Blocking."""
        data = read_small_file(self._disk, self._path)
        if data is None:
            return Checkpoint()
        found = checkpoint.decode(data)
        if found.log_id != self._journal.log_id:
            raise CheckpointDamaged("it belongs to another journal")
        self.position = found.position
        return found

    def note(self, chunk: Chunk, is_new: bool) -> None:
        """Take note that something was applied to a file."""
        self._dirty[chunk] = None
        if is_new:
            self._named.add(chunk.family)

    def forget(self, chunk: Chunk) -> None:
        """Take note that a file goes."""
        self._dirty.pop(chunk, None)

    async def run(self, position: Position) -> None:
        """Checkpoint: everything in the journal before `position` is in the files by now. OSError."""
        async with self._lock:
            claims = [Claim(chunk, chunk.applied) for chunk in self._dirty]
            named, self._named = self._named, set()
            self._dirty = {}
            try:
                for start in range(0, len(claims), SLICE):
                    await self._sync_some(claims[start : start + SLICE])
                await self._thread.run(self._finish, named, self._content(position))
            except BaseException:
                self._dirty = {claim.chunk: None for claim in claims} | self._dirty
                self._named |= named
                raise
            self._finished(position)

    def run_blocking(self, position: Position) -> None:
        """The same before the loop runs."""
        claims = [Claim(chunk, chunk.applied) for chunk in self._dirty]
        for start in range(0, len(claims), SLICE):
            part = claims[start : start + SLICE]
            self._sync(part, [self._files.lease(claim.chunk) for claim in part])
            for claim in part:
                self._files.give_back(claim.chunk)
        self._finish(self._named, self._content(position))
        self._dirty, self._named = {}, set()
        self._finished(position)

    def _finished(self, position: Position) -> None:
        self.position = position
        self.count += 1
        self._journal.forget_before(position)

    def _content(self, position: Position) -> bytes:
        return checkpoint.encode(Checkpoint(self._journal.log_id, position, self._table.fences))

    async def _sync_some(self, claims: Sequence[Claim]) -> None:
        claims = [claim for claim in claims if not claim.chunk.dropped]
        leased: list[Claim] = []
        try:
            fds = []
            for claim in claims:
                fds.append(self._files.lease(claim.chunk))
                leased.append(claim)
            syncing = self._thread.run(self._sync, claims, fds)
            await asyncio.wait({syncing})  # the files stay open as long as the thread has them
            syncing.result()
        finally:
            for claim in leased:
                self._files.give_back(claim.chunk)

    def _sync(self, claims: Sequence[Claim], fds: Sequence[int]) -> None:
        for fd in fds:
            self._disk.fdatasync(fd)
        for claim, fd in zip(claims, fds, strict=True):
            chunk = claim.chunk
            self._files.claim(fd, chunk.family, chunk.number, chunk.layer, claim.version)
        for fd in fds:  # the first commits the file system's journal for all of them
            self._disk.fsync(fd)

    def _finish(self, named: set[bytes], content: bytes) -> None:
        for family in named:
            self._files.sync_family(family)
        replace_small_file(self._disk, self._path, content)
