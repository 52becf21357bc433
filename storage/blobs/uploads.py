"""Uploads on their way: prepare, commit, abort, and dropping what nobody commits.

Until its commit is durable an upload belongs to this table, whatever state it is in; from the moment
its record is appended its file belongs to the log, which removes it should the record fail.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from cluster.clock import Timestamp
from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.files import FileStore
from storage.blobs.upload import Read, Upload
from storage.disk import Buffer, Disk
from storage.messages import BlobCommit, BlobPrepare, Refusal

UPLOADS_LIMIT = 1024  # at a time; each may hold two megabytes

Admit = Callable[[], "asyncio.Future[Any] | None"]  # see Commits.admit


class NewVersion(NamedTuple):
    """What an upload becomes."""

    key: bytes
    timestamp: Timestamp
    flags: int  # BlobFlag
    metadata: bytes  # the object's


class Uploads:
    """The uploads of one device."""

    def __init__(
        self,
        disk: Disk,
        files: FileStore,
        waiters: Waiters,
        commits: Commits,
        new_id: Callable[[], bytes],
        now: Callable[[], float],
        ttl_s: float,
    ) -> None:
        self._disk = disk
        self._files = files
        self._waiters = waiters
        self._commits = commits
        self._new_id = new_id
        self._now = now
        self._ttl_s = ttl_s  # a complete upload that nobody commits is dropped
        self._uploads: dict[bytes, Upload] = {}
        self._discarding: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._uploads)

    def data_ids(self) -> set[bytes]:
        """Return the data ids of files that belong to no version yet."""
        return {upload.data_id for upload in self._uploads.values()}

    async def prepare(self, message: BlobPrepare, read: Read) -> int:
        """Receive the data of an upload; return its size. Nothing is left when this raises."""
        upload_id = message.upload_id
        if upload_id in self._uploads:
            raise RemoteError(Refusal.BAD_REQUEST, "the upload id is in use")
        upload = await self.receive(upload_id, message.size, read)
        upload.deadline_s = self._now() + self._ttl_s
        upload.busy = False
        return upload.size

    async def receive(self, upload_id: bytes, size: int | None, read: Read) -> Upload:
        """Receive data into a new upload of this id, which is the caller's until `finish`."""
        self._commits.refuse_when_full()
        if len(self._uploads) >= UPLOADS_LIMIT:
            raise RemoteError(Refusal.BUSY, f"{len(self._uploads)} uploads at a time")
        upload = Upload(self._disk, self._files, self._waiters, self._new_id(), size)
        self._uploads[upload_id] = upload
        try:
            await upload.receive(read)
            if upload.dropped:
                raise RemoteError(Refusal.NOT_FOUND, "the upload was aborted")
        except BaseException:
            del self._uploads[upload_id]
            await upload.discard()
            raise
        return upload

    def finish(self, upload_id: bytes) -> None:
        """End what `receive` began: drop the upload unless it was appended."""
        if upload_id in self._uploads:
            self._uploads[upload_id].busy = False
            self.abort(upload_id)

    def commit(self, message: BlobCommit) -> asyncio.Future[Any]:
        """Make an upload a version. When refused, the upload stays: it may be committed again."""
        here = self._commits.admit(message.key, message.timestamp)
        upload = self._uploads.get(message.upload_id)
        if here is not None:
            self.abort(message.upload_id)
            return here
        if upload is None or upload.dropped:
            raise RemoteError(Refusal.NOT_FOUND, "no such upload")
        if upload.busy:
            raise RemoteError(Refusal.BUSY, "the upload is being received or committed")
        self._commits.refuse_when_full()
        upload.busy = True
        return asyncio.get_running_loop().create_task(self._commit(message, upload))

    def abort(self, upload_id: bytes) -> None:
        """Drop an upload, now or when nobody is at it any more. Unknown ids are fine."""
        upload = self._uploads.get(upload_id)
        if upload is None:
            return
        upload.dropped = True
        if not upload.busy:
            del self._uploads[upload_id]
            self._discard(upload)

    def expire(self) -> None:
        """Drop uploads that nobody has committed for too long."""
        now = self._now()
        for upload_id, upload in list(self._uploads.items()):
            if not upload.busy and upload.deadline_s <= now:
                self.abort(upload_id)

    async def close(self) -> None:
        """Drop all uploads that nobody is at."""
        idle = [upload_id for upload_id, upload in self._uploads.items() if not upload.busy]
        for upload_id in idle:
            self.abort(upload_id)
        await asyncio.gather(*self._discarding)

    async def append(
        self, upload_id: bytes, version: NewVersion, admit: Admit, record_flags: int = 0
    ) -> asyncio.Future[Any]:
        """Publish a complete upload, if it is a file, and append its record once `admit` agrees.

        When this raises the upload stays. `admit` is asked after the last wait.
        """
        upload = self._uploads[upload_id]
        key, timestamp, flags, metadata = version
        if upload.data is None:
            payload: Buffer = upload.checksums()
            metadata = record.encode_file(key, timestamp, flags, upload.size, upload.data_id, metadata)
            await upload.publish(metadata)
        else:
            payload = upload.data
            metadata = record.encode_data(key, timestamp, flags, upload.size, metadata)
        here = admit()
        if here is not None:
            upload.dropped = True
            return here
        future = self._commits.append(key, metadata, payload, record_flags)
        del self._uploads[upload_id]
        upload.hand_over()
        return future

    async def _commit(self, message: BlobCommit, upload: Upload) -> None:
        version = NewVersion(message.key, message.timestamp, message.flags, message.metadata)
        try:
            future = await self.append(
                message.upload_id,
                version,
                lambda: self._commits.admit(message.key, message.timestamp),
            )
        finally:
            upload.busy = False
            if upload.dropped:
                self.abort(message.upload_id)
        await asyncio.shield(future)  # cancelling us must not cancel what others wait for too

    def _discard(self, upload: Upload) -> None:
        task = asyncio.get_running_loop().create_task(upload.discard())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)
