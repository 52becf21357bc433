"""Takes versions over from replicas: replication and read repair.

A copy keeps its timestamp. It is taken or, when something as new is here already, passed over; doing it
twice changes nothing. One whose bytes are damaged here is put in the place of itself.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from cluster.clock import Timestamp
from cluster.wire import RemoteError
from storage.blobs import record
from storage.blobs.commits import Commits
from storage.blobs.index import BlobIndex
from storage.blobs.upload import Read
from storage.blobs.uploads import NewVersion, Uploads
from storage.disk import Buffer
from storage.messages import INLINE_LIMIT, NEWER, Refusal, Version

Admit = Callable[[bytes, Timestamp], "asyncio.Future[Any] | None"]  # see Commits.admit_copy


class Installs:
    """Of one device."""

    def __init__(
        self, commits: Commits, uploads: Uploads, index: BlobIndex, new_id: Callable[[], bytes]
    ) -> None:
        self._commits = commits
        self._uploads = uploads
        self._index = index
        self._new_id = new_id

    async def install(
        self, key: bytes, version: Version, data: Buffer | Read = b"", listed: bool = False, replace: bool = False
    ) -> None:
        """Store `version` unless something as new is here. Durable when it returns.

        `data` is all of it, or gives it piece by piece. `listed`: its row is somebody else's care. `replace`: also
        when this very version is here, because it is damaged (what is known of its row stays); but not what is gone.
        """
        newest = self._index.timestamp(key)
        same = newest == version.timestamp
        if replace and newest is None:
            return
        if newest is not None and (newest > version.timestamp or (same and not replace)):
            return
        if same:
            listed = self._index.is_listed(key, version.timestamp)
        record_flags = record.LISTED if listed else 0
        admit = self._commits.admit_again if replace else self._commits.admit_copy
        try:
            if callable(data) or len(data) > INLINE_LIMIT:
                future = await self._streamed(key, version, data, record_flags, admit)
            else:
                future = self._whole(key, version, data, record_flags, admit)
        except RemoteError as error:
            if error.code not in NEWER:
                raise
            return
        await asyncio.shield(future)

    def begin(self, key: bytes, version: Version, data: Buffer, listed: bool) -> asyncio.Future[Any] | None:
        """Store a small version; return what resolves when it is durable, None when something as new is here.

        Do not cancel that: others may wait for it, too.
        """
        newest = self._index.timestamp(key)
        if newest is not None and newest >= version.timestamp:
            return None
        try:
            return self._whole(key, version, data, record.LISTED if listed else 0, self._commits.admit_copy)
        except RemoteError as error:
            if error.code not in NEWER:
                raise
            return None

    def _whole(
        self, key: bytes, version: Version, data: Buffer, record_flags: int, admit: Admit
    ) -> asyncio.Future[Any]:
        timestamp, deleted, flags, size, metadata = version
        if len(data) != size:
            raise RemoteError(Refusal.BAD_REQUEST, f"{len(data)} bytes of {size}")
        here = admit(key, timestamp)
        if here is not None:
            return here
        if deleted:
            tombstone = record.encode_tombstone(key, timestamp, flags, metadata)
            return self._commits.append(key, tombstone, b"", record_flags)
        self._commits.refuse_when_full()
        identity = record.encode_data(key, timestamp, flags, size, metadata)
        return self._commits.append(key, identity, data, record_flags)

    async def _streamed(
        self, key: bytes, version: Version, data: Buffer | Read, record_flags: int, admit: Admit
    ) -> asyncio.Future[Any]:
        upload_id = self._new_id()
        await self._uploads.receive(upload_id, version.size, data if callable(data) else _pieces(data))
        try:
            return await self._uploads.append(
                upload_id,
                NewVersion(key, version.timestamp, version.flags, version.metadata),
                lambda: admit(key, version.timestamp),
                record_flags,
            )
        finally:
            self._uploads.finish(upload_id)


def _pieces(data: Buffer) -> Read:
    pieces = iter((data, b""))

    async def read() -> Buffer:
        return next(pieces)

    return read
