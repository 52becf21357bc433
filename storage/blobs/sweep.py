"""Finds files that no version refers to: what a crash left between publishing a file and its record.

One directory per step, so that a full pass costs at most 256 small steps. A file that nothing refers to is
removed; one that cannot say any more what it is, only at the end, after a look at all versions. But when the log has
lost records, it may be a version whose record is among them. Then it is adopted: its identity and every block are
verified, and its version goes through the same admission as any other, so it never replaces something newer. What
is not adopted stays, until the device has everything from its peers again: then another pass removes it.
"""

import asyncio
from collections.abc import Callable

from cluster.telemetry.log import get_logger
from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.blocks import BLOCK_SIZE, checksums_size, first_mismatch
from storage.blobs.commits import Commits
from storage.blobs.files import FileIdentity, FileStore
from storage.blobs.index import BlobIndex
from storage.disk import Disk, read_fully

_PIECE_SIZE = 8 * BLOCK_SIZE
_ENTRIES = 1000  # of the index that are looked at without a pause
_WAITS = 8  # for writes of a name, which may follow each other without end

log = get_logger("storage.blobs")


class Sweep:
    """A pass over all files of a device."""

    name = "sweep"

    def __init__(
        self,
        disk: Disk,
        files: FileStore,
        index: BlobIndex,
        commits: Commits,
        waiters: Waiters,
        in_use: Callable[[], set[bytes]],
        adopt: bool,
    ) -> None:
        self._disk = disk
        self._files = files
        self._index = index
        self._commits = commits
        self._waiters = waiters
        self._in_use = in_use
        self._adopt = adopt
        self._adopts_no_more = False  # after this pass
        self._looking = False  # at a directory
        self._todo: list[str] = []
        self._count = 0
        self._unreadable: set[bytes] = set()
        self.restart()
        self.removed = 0
        self.adopted = 0

    def restart(self) -> None:
        """Begin another pass."""
        self._unreadable.clear()
        self._todo = self._files.shards()
        self._count = len(self._todo)

    def adopt_no_more(self) -> None:
        """Remove, in another pass after this one, what was not adopted: nothing here is missed any more."""
        self._adopts_no_more = True
        if self.done and not self._looking:
            self._begin_to_remove()

    def _begin_to_remove(self) -> None:
        if self._adopt:
            self._adopt = False
            self.restart()

    @property
    def done(self) -> bool:
        """The pass has ended."""
        return not self._todo

    @property
    def progress(self) -> float:
        """How much of the pass is done, 0 to 1."""
        return 1 - len(self._todo) / self._count if self._count else 1.0

    async def step(self) -> None:
        """Look at one directory."""
        if not self._todo:
            return
        self._looking = True
        try:
            await self._look_into(self._todo.pop())
        finally:
            self._looking = False
        if not self._todo and self._adopts_no_more:
            self._begin_to_remove()

    async def _look_into(self, shard: str) -> None:
        for data_id in await self._waiters.run(self._files.data_ids, shard):
            try:
                identity = await self._waiters.run(self._files.identity, data_id)
            except FileNotFoundError:
                continue
            await self._look_at(data_id, identity)
        if not self._todo and self._unreadable and not self._adopt:
            await self._remove_unreadable()

    async def _look_at(self, data_id: bytes, identity: FileIdentity | None) -> None:
        if data_id in self._in_use():
            return
        if identity is None:  # damaged, or a removal that a crash has undone
            self._unreadable.add(data_id)
            return
        _type, _flags, _, key, timestamp, _size = record.decode_identity(identity.metadata)
        for _ in range(_WAITS):  # for the record of this file, maybe, or of one that has replaced it
            if (pending := self._commits.pending(key)) is not None:
                await asyncio.gather(pending, return_exceptions=True)
        # from here to the decision nothing is awaited: an upload's file is in use, or in the index, or neither
        in_use = data_id in self._in_use() or self._index.data_id(key) == data_id
        if in_use or self._commits.pending(key) is not None:
            return
        if not self._adopt or (
            self._index.timestamp(key) is not None and self._index.timestamp(key) >= timestamp
        ):
            await self._remove(data_id)
        elif await self._waiters.run(self.is_whole, data_id, identity):
            await self._take(key, data_id, identity)

    async def _remove_unreadable(self) -> None:
        """Remove the files that do not say what they are, if no version refers to them: none ever will."""
        start: bytes | None = b""
        while start is not None and self._unreadable:
            referred, start = self._index.data_ids(start, _ENTRIES)
            self._unreadable -= referred
            await asyncio.sleep(0)
        for data_id in self._unreadable - self._in_use():
            await self._remove(data_id)
        self._unreadable.clear()

    async def _remove(self, data_id: bytes) -> None:
        await self._waiters.run(self._files.remove, data_id)
        self.removed += 1
        log.info("orphan_removed", data_id=data_id)

    async def _take(self, key: bytes, data_id: bytes, identity: FileIdentity) -> None:
        """Give the file's version a record again."""
        try:
            if self._commits.admit(key, record.timestamp_of(identity.metadata)) is None:
                await self._commits.append(key, identity.metadata, identity.checksums)
                self.adopted += 1
                log.warning("orphan_adopted", data_id=data_id)
        except RemoteError as refusal:
            log.info("orphan_left", data_id=data_id, reason=refusal)

    def is_whole(self, data_id: bytes, identity: FileIdentity) -> bool:
        """Verify every block. Blocking."""
        size = record.decode_identity(identity.metadata)[5]
        if len(identity.checksums) != checksums_size(size):
            return False
        fd = self._disk.open(self._files.path(data_id))
        try:
            for offset in range(0, size, _PIECE_SIZE):
                length = min(_PIECE_SIZE, size - offset)
                data = read_fully(self._disk, fd, offset, length)
                mismatch = first_mismatch(memoryview(data), offset // BLOCK_SIZE, identity.checksums)
                if len(data) != length or mismatch is not None:
                    return False
            return True
        finally:
            self._disk.close(fd)
