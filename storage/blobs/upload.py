"""Data that is being received for a version to be: in memory while it is small, else in a nameless file.

Pieces are gathered to about a megabyte, then written by a thread, which sums the blocks on the way; the
next pieces are received meanwhile. Every few megabytes the file is synced in the background, so that the sync
at commit finds little to do and the kernel's dirty pages stay few. Memory: two gathers per upload.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs.blocks import BlockSummer
from storage.blobs.files import FileIdentity, FileStore
from storage.direct import DIRECT_BYTES, write_direct
from storage.disk import Buffer, Disk, TemporaryFile, write_fully
from storage.log.interface import LogRefusal, refusal_of
from storage.messages import INLINE_LIMIT, Refusal

Read = Callable[[], Awaitable[Buffer]]  # the next piece; empty at the end
_GATHER_BYTES = INLINE_LIMIT  # an upload that ends within one gather is never written to a file
_SYNC_BYTES = 8 << 20
_RETRY_S = 1.0  # of a removal that found too many calls waiting for the disk


class Upload:
    """Received or being received; not visible to anybody."""

    def __init__(
        self, disk: Disk, files: FileStore, waiters: Waiters, data_id: bytes, size: int | None
    ) -> None:
        self._disk = disk
        self._files = files
        self._waiters = waiters
        self._expected = size
        self._file: TemporaryFile | None = None
        self._direct_fd: int | None = None  # the same file, past the page cache
        self._named = False
        self._summer = BlockSummer()
        self._writing: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._synced = 0
        self.data_id = data_id
        self.size = 0
        self.data: Buffer | None = None  # all of it, when it is small
        self.busy = True  # being received, or committed
        self.dropped = False  # nobody wants it any more
        self.deadline_s = 0.0  # loop time; set once it is complete

    async def receive(self, read: Read) -> None:
        """Take the data until it ends. Raise what `read` raises; LogRefusal when the device fails."""
        gathered: list[Buffer] = []
        gathered_bytes = 0
        while piece := await read():
            if self.dropped:
                raise RemoteError(Refusal.NOT_FOUND, "the upload was aborted")
            gathered.append(piece)
            gathered_bytes += len(piece)
            self.size += len(piece)
            if gathered_bytes > _GATHER_BYTES:
                await self._write(gathered)
                gathered, gathered_bytes = [], 0
        if self._expected is not None and self.size != self._expected:
            raise RemoteError(Refusal.BAD_REQUEST, f"{self.size} bytes came, not {self._expected}")
        if self._file is None and self._writing is None:
            self.data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
            return
        if gathered:
            await self._write(gathered)
        await self._settle()

    def checksums(self) -> bytes:
        """Return the packed checksums of the blocks."""
        return self._summer.packed()

    async def publish(self, metadata: bytes) -> None:
        """Give the file its identity and its name, durably. After a failed sync it fails for ever: LogRefusal."""
        await self._settle()
        self._writing = self._waiters.run(self._publish_waiting, FileIdentity(metadata, self.checksums()))
        await _done(self._writing)

    async def discard(self) -> None:
        """Remove everything, once no thread is at it."""
        self.dropped = True
        with suppress(LogRefusal):  # what could not be written is removed all the same
            await self._settle()
        self.data = None
        while self._file is not None:
            try:
                removing = self._waiters.run(self._remove_waiting)  # freeing gigabytes takes its time
            except OverflowError:  # the disk is behind: the file is ours still, and so is its space
                await asyncio.sleep(_RETRY_S)
            else:
                await asyncio.shield(removing)

    def hand_over(self) -> None:
        """Close the file; if it has a name, that is somebody else's now."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if self._direct_fd is not None:
            self._disk.close(self._direct_fd)
        if self._named:
            self._disk.close(file.fd)
        else:
            self._files.discard(file)

    async def _write(self, pieces: list[Buffer]) -> None:
        """Have `pieces` written once those before them are."""
        if self._writing is not None:
            await _done(self._writing)
        offset = self.size - sum(map(len, pieces))
        self._writing = self._waiters.run(self._write_waiting, pieces, offset)
        if offset - self._synced >= _SYNC_BYTES and self._file is not None:
            if self._syncing is not None:
                await _done(self._syncing)
            self._synced = offset
            self._syncing = self._waiters.run(self._disk.fdatasync, self._file.fd)

    def _write_waiting(self, pieces: list[Buffer], offset: int) -> None:
        if self._file is None:
            self._file = self._files.create()
            if self._expected:
                self._disk.allocate(self._file.fd, self._expected)
            with suppress(OSError):  # tmpfs, for one, has no direct writes
                self._direct_fd = self._disk.open_direct(self._file.fd)
        if self._direct_fd is not None and sum(map(len, pieces)) >= DIRECT_BYTES:
            staging = self._files.staging.get()
            try:
                write_direct(self._disk, self._file.fd, self._direct_fd, staging, pieces, offset)
            finally:
                self._files.staging.put(staging)
        else:
            write_fully(self._disk, self._file.fd, pieces, offset)
        for piece in pieces:
            self._summer.add(piece)

    async def _settle(self) -> None:
        """Wait until no thread uses the file."""
        running = [future for future in (self._writing, self._syncing) if future is not None]
        if running:
            await asyncio.wait(running)  # unlike gather, it leaves them alone when we are cancelled
        for future in running:
            await _done(future)

    def _publish_waiting(self, identity: FileIdentity) -> None:
        assert self._file is not None
        self._disk.truncate(self._file.fd, self.size)  # the last block may have been filled with zeros
        self._files.publish(self._file, self.data_id, self.size, identity, self._named)
        self._named = True

    def _remove_waiting(self) -> None:
        try:
            self._files.remove(self.data_id)  # it may have got its name before what failed
        finally:
            self.hand_over()


async def _done(future: asyncio.Future[None]) -> None:
    """Wait for a thread, which runs on when we are cancelled."""
    try:
        await asyncio.shield(future)
    except OSError as error:
        raise refusal_of("upload", error) from error
