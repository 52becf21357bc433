"""Damage that a device makes good by itself, without a replica.

The record of a large object is in two places: in the log, and as the identity of its file. When the one in the log is
damaged and the file says the same version and all its blocks match, the record is appended again from there. A
tombstone is nothing but its version, once its row is listed.
"""

from cluster.threads import Waiters
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.files import FileStore
from storage.blobs.index import BlobIndex
from storage.blobs.quarantine import Quarantined
from storage.blobs.sweep import Sweep


class Mending:
    """Of one device."""

    def __init__(
        self, files: FileStore, index: BlobIndex, commits: Commits, sweep: Sweep, waiters: Waiters
    ) -> None:
        self._files = files
        self._index = index
        self._commits = commits
        self._sweep = sweep
        self._waiters = waiters

    async def mend(self, found: Quarantined) -> bool:
        """Make a damaged version good from what is here; tell whether that could be. LogRefusal."""
        data_id = self._index.data_id(found.key)
        if not data_id or not isinstance(found.place, int):
            return False
        try:
            identity = await self._waiters.run(self._files.identity, data_id)
            if identity is None or not await self._waiters.run(self._sweep.is_whole, data_id, identity):
                return False
        except OSError:
            return False
        metadata = identity.metadata
        own = record.is_version(metadata, record.Type.FILE, found.key, found.timestamp)
        if not own or record.data_id_of(metadata) != data_id:
            return False
        return await self._append_again(found, metadata, identity.checksums)

    async def renew_tombstone(self, found: Quarantined) -> bool:
        """Write a damaged tombstone anew that no replica has any more; tell whether it was one that may be."""
        entry = self._index.get(found.key)
        if entry is None or not entry.deleted or not self._index.is_listed(found.key, found.timestamp):
            return False
        return await self._append_again(
            found, record.encode_tombstone(found.key, found.timestamp, entry.flags, b""), b""
        )

    async def _append_again(self, found: Quarantined, metadata: bytes, payload: bytes) -> bool:
        key, timestamp = found.key, found.timestamp
        if self._index.timestamp(key) != timestamp:
            return False
        try:
            if self._commits.admit_again(key, timestamp) is not None:
                return False
        except RemoteError:
            return False  # something newer is on its way
        flags = record.LISTED if self._index.is_listed(key, timestamp) else 0
        await self._commits.append(key, metadata, payload, flags)
        return True
