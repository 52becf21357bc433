"""BLOB_UPDATE: new metadata over the data of the newest version.

Small data is appended again under the new metadata; a file stays, gets the new identity, and the new
record refers to it. Should the process die between the two, the file names a version that was never
acknowledged, and the log, which is what counts, still refers to it under the old one.
"""

import asyncio

from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.entry import Entry
from storage.blobs.files import FileIdentity, FileStore
from storage.blobs.index import BlobIndex
from storage.blobs.reads import Reads
from storage.disk import Buffer
from storage.log.interface import Record, refusal_of
from storage.messages import BlobUpdate, Refusal


class Updates:
    """Of one device."""

    def __init__(
        self, files: FileStore, waiters: Waiters, commits: Commits, index: BlobIndex, reads: Reads
    ) -> None:
        self._files = files
        self._waiters = waiters
        self._commits = commits
        self._index = index
        self._reads = reads

    async def update(self, message: BlobUpdate) -> None:
        """Do it; durable when it returns. NOT_FOUND, SUPERSEDED, PROMISED."""
        key = message.key
        here = self._commits.admit(key, message.timestamp)
        if here is not None:
            await here
            return
        self._commits.refuse_when_full()
        pending = self._commits.pending(key)
        if pending is not None:
            await pending
        base = self._base(message)
        old = await self._reads.record(key, base)
        metadata, payload = await self._renewed(message, base, old)
        here = self._commits.admit(key, message.timestamp)
        if here is None:
            if self._commits.pending(key) is not None:
                raise RemoteError(Refusal.NOT_FOUND, "the version was superseded meanwhile")
            self._base(message)  # it must still be the newest: the payload is its own
            here = self._commits.append(key, metadata, payload)
        await asyncio.shield(here)  # cancelling us must not cancel what others wait for too

    def _base(self, message: BlobUpdate) -> Entry:
        entry = self._index.get(message.key)
        if entry is None or entry.deleted or entry.timestamp != message.base:
            raise RemoteError(Refusal.NOT_FOUND, None if entry is None else entry.timestamp)
        return entry

    async def _renewed(self, message: BlobUpdate, base: Entry, old: Record) -> tuple[bytes, Buffer]:
        """Return metadata and payload of the new record."""
        key, timestamp, flags = message.key, message.timestamp, message.flags
        if base.type == record.Type.DATA:
            return record.encode_data(key, timestamp, flags, base.size, message.metadata), old.payload
        data_id = record.data_id_of(old.metadata)
        metadata = record.encode_file(key, timestamp, flags, base.size, data_id, message.metadata)
        identity = FileIdentity(metadata, bytes(old.payload))
        try:
            await self._waiters.run(self._files.identify, data_id, base.size, identity)
        except FileNotFoundError:
            raise RemoteError(Refusal.NOT_FOUND, "the version was superseded meanwhile") from None
        except OSError as error:
            raise refusal_of("update", error) from error
        return metadata, old.payload
