"""Single objects: their versions, bytes and rows. Manifests are stored here as any bytes are.

Order of a write: data and version to a quorum of the object's primaries, its row to a quorum of the
container's, then the answer. Should the proxy die in between, the storage nodes add the row.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from cluster.clock import Timestamp, wall_us
from cluster.wire import PeerUnavailable, RemoteError
from proxy.http.message import Body, Buffer
from proxy.objects.confirm import Confirmations
from proxy.objects.directory import Directory
from proxy.objects.errors import (
    BodyTooLarge,
    ContainerRemade,
    NoSuchContainer,
    NoSuchObject,
    Unavailable,
)
from proxy.objects.model import Condition, ContainerInfo, NewObject, ObjectInfo, ObjectName
from proxy.objects.ranges import Range, asked_of_storage, bounds
from proxy.objects.register import Condition as VersionCondition
from proxy.objects.register import Held, Register
from proxy.objects.upload import Upload
from ring.hashing import NameHash
from storage import metadata as stored
from storage.messages import INLINE_LIMIT, BlobFlag, Version
from storage.metadata import DELETE_AT, ObjectMetadata, row_of

MAX_SIZE = 5 << 30  # bytes of one PUT: S3's and Swift's limit
FAILOVERS = 4  # of one download, from replica to replica


@dataclass(frozen=True, slots=True)
class Written:
    """A version that was acknowledged, and the one that it replaced."""

    info: ObjectInfo
    replaced: ObjectInfo | None


@dataclass(frozen=True, slots=True)
class Opened:
    """Stored bytes [start, end) of an object, not following manifests."""

    info: ObjectInfo
    start: int
    end: int
    held: Held


class Objects:
    """Reads and writes single objects."""

    def __init__(
        self, names: NameHash, register: Register, directory: Directory, confirmations: Confirmations
    ) -> None:
        self._names = names
        self._register = register
        self._directory = directory
        self._confirmations = confirmations

    def key(self, name: ObjectName) -> bytes:
        """Return the key under which `name` is stored."""
        return self._names.key(*name)

    # writing

    async def put(self, name: ObjectName, body: Body, new: NewObject) -> Written:
        """Store `body`. Nothing is visible before it has ended well and `new.finish` has agreed."""
        container = await self._directory.known_container(name.account, name.container)
        if body.length is not None and body.length > MAX_SIZE:
            raise BodyTooLarge(f"{body.length} bytes")
        if new.condition is not None:
            new.condition(await self._current(self.key(name)))  # spares an upload that can't succeed
        head, more = await _head_of(body)
        if not more:
            digest = md5(head).hexdigest()
            return await self._put_bytes(name, container, head, 0, _finished(name, len(head), digest, new), new)
        return await self._put_streamed(name, container, head, body, new)

    async def put_bytes(self, name: ObjectName, data: Buffer, new: NewObject, flags: int, size: int) -> Written:
        """Store bytes of our own (a manifest) that stand for an object of `size` bytes and `new.etag`."""
        assert new.etag is not None
        container = None
        if not flags & BlobFlag.UNLISTED:
            container = await self._directory.known_container(name.account, name.container)
        metadata = _finished(name, size, new.etag, new)
        if len(data) <= INLINE_LIMIT:
            return await self._put_bytes(name, container, data, flags, metadata, new)
        key = self.key(name)
        upload = await self._register.upload(key, len(data))
        try:
            await upload.send(data)
            await upload.finish()
            return await self._commit_upload(name, container, upload, flags, metadata, new)
        except BaseException:
            upload.abort()
            raise

    async def _put_bytes(
        self,
        name: ObjectName,
        container: ContainerInfo | None,
        data: Buffer,
        flags: int,
        metadata: ObjectMetadata,
        new: NewObject,
    ) -> Written:
        key = self.key(name)
        condition = _of_versions(new.condition)
        timestamp, previous = await self._register.put(key, flags, metadata, data, condition)
        return await self._acknowledge(name, key, container, timestamp, metadata, flags, previous)

    async def _put_streamed(
        self, name: ObjectName, container: ContainerInfo, head: Buffer, body: Body, new: NewObject
    ) -> Written:
        upload = await self._register.upload(self.key(name), body.length)
        try:
            digest, size = md5(head), len(head)
            await upload.send(head)
            while piece := await body.read():
                size += len(piece)
                if size > MAX_SIZE:
                    raise BodyTooLarge(f"more than {MAX_SIZE} bytes")
                digest.update(piece)
                await upload.send(piece)
            metadata = _finished(name, size, digest.hexdigest(), new)
            await upload.finish()
            return await self._commit_upload(name, container, upload, 0, metadata, new)
        except BaseException:
            upload.abort()
            raise

    async def _commit_upload(
        self,
        name: ObjectName,
        container: ContainerInfo | None,
        upload: Upload,
        flags: int,
        metadata: ObjectMetadata,
        new: NewObject,
    ) -> Written:
        key = self.key(name)
        condition = _of_versions(new.condition)
        timestamp, previous = await self._register.commit(key, upload, flags, metadata, condition)
        return await self._acknowledge(name, key, container, timestamp, metadata, flags, previous)

    async def _acknowledge(
        self,
        name: ObjectName,
        key: bytes,
        container: ContainerInfo | None,
        timestamp: Timestamp,
        metadata: ObjectMetadata,
        flags: int,
        previous: Version | None,
    ) -> Written:
        """Bring the row to its container; undo the write when the container is gone."""
        if container is not None:
            try:
                await self._add_row(name, container, timestamp, metadata, deleted=False)
            except (NoSuchContainer, ContainerRemade):
                await self._undo(key, timestamp, metadata)
                raise
            self._confirmations.add(key, timestamp)
        info = ObjectInfo(timestamp, metadata, bool(flags & BlobFlag.MANIFEST))
        return Written(info, _replaced(previous))

    async def _undo(self, key: bytes, timestamp: Timestamp, metadata: ObjectMetadata) -> None:
        """Take a version back that no container lists, unless it has been replaced since."""

        def still_there(current: Version | None) -> None:
            if current is None or current.timestamp != timestamp:
                raise _Replaced

        try:
            await self._register.delete(key, BlobFlag.UNLISTED, metadata, still_there)
        except _Replaced:
            return

    async def _add_row(
        self,
        name: ObjectName,
        container: ContainerInfo,
        timestamp: Timestamp,
        metadata: ObjectMetadata,
        deleted: bool,
    ) -> None:
        database = self._directory.container(name.account, name.container)
        row = row_of(metadata, timestamp, deleted)
        try:
            await self._directory.add_row(database, container.put_timestamp, row)
        except NoSuchContainer:
            # what we believed of the container may be old: it may have been made anew since
            self._directory.forget(name.account, name.container)
            fresh = await self._directory.container_info(name.account, name.container)
            if fresh.put_timestamp <= container.put_timestamp:
                raise
            try:
                await self._directory.add_row(database, fresh.put_timestamp, row)
            except NoSuchContainer as error:  # the version is older than the container: our clock is behind
                raise ContainerRemade(f"{name.container} was made anew meanwhile") from error

    async def delete(self, name: ObjectName, condition: Condition | None = None) -> ObjectInfo | None:
        """Delete an object; return what it was, None when there was nothing."""
        container = await self._directory.known_container(name.account, name.container)
        previous = await self._delete(name, condition, 0, container)
        return _replaced(previous)

    async def delete_unlisted(self, name: ObjectName, condition: Condition) -> None:
        """Delete an object of our own that no container lists."""
        await self._delete(name, condition, BlobFlag.UNLISTED, None)

    async def _delete(
        self, name: ObjectName, condition: Condition | None, flags: int, container: ContainerInfo | None
    ) -> Version | None:
        key = self.key(name)
        metadata = _tombstone(name)
        timestamp, previous = await self._register.delete(key, flags, metadata, _of_versions(condition))
        if container is not None:
            await self._add_row(name, container, timestamp, metadata, deleted=True)
            self._confirmations.add(key, timestamp)
        return previous

    async def update(self, name: ObjectName, change: Callable[[ObjectMetadata], ObjectMetadata]) -> ObjectInfo:
        """Change metadata, keeping the data. Raise NoSuchContainer, NoSuchObject."""
        container = await self._directory.known_container(name.account, name.container)
        key = self.key(name)
        written: list[ObjectMetadata] = []  # by each try; the last one counts

        def noted(metadata: ObjectMetadata) -> ObjectMetadata:
            written.append(change(metadata))
            return written[-1]

        def there(current: Version | None) -> None:
            if _info_of(current) is None:
                raise NoSuchObject(name.object)

        timestamp, base = await self._register.update(key, noted, there)
        metadata = written[-1]
        await self._add_row(name, container, timestamp, metadata, deleted=False)
        self._confirmations.add(key, timestamp)
        return ObjectInfo(timestamp, metadata, base is not None and bool(base.flags & BlobFlag.MANIFEST))

    async def _current(self, key: bytes) -> ObjectInfo | None:
        return _info_of(await self._register.head(key))

    # reading

    async def head(self, name: ObjectName) -> ObjectInfo:
        """Return the current version. Raise NoSuchObject, NoSuchContainer."""
        info = await self._current(self.key(name))
        if info is None:
            await self._absent(name)
        assert info is not None
        return info

    async def find(self, name: ObjectName) -> ObjectInfo | None:
        """Return the current version, None when there is none; its container is not looked at."""
        return await self._current(self.key(name))

    async def open(self, name: ObjectName, wanted: Range | None = None) -> Opened:
        """Open the stored bytes; a manifest's come whole. Raise NoSuchObject, RangeNotSatisfiable."""
        opened = await self.open_key(self.key(name), wanted)
        if opened is not None and _has_expired(opened.info.metadata):
            opened.held.close()
            opened = None
        if opened is None:
            await self._absent(name)
        assert opened is not None
        return opened

    async def open_key(self, key: bytes, wanted: Range | None = None) -> Opened | None:
        """Open the stored bytes under `key`; None when nothing is there."""
        held = await self._register.get(key, *asked_of_storage(wanted))
        if held is None:
            return None
        info = info_of(held.version)
        if info.manifest:
            return Opened(info, 0, held.version.size, held)
        try:
            start, end = bounds(wanted, held.version.size)
        except BaseException:
            held.close()
            raise
        return Opened(info, start, end, held)

    async def _absent(self, name: ObjectName) -> None:
        """Raise what an absent object means."""
        await self._directory.container_info(name.account, name.container)
        raise NoSuchObject(name.object)

    async def pieces(self, key: bytes, opened: Opened) -> AsyncGenerator[Buffer, None]:
        """Yield the opened bytes, going on at another replica where one fails."""
        held, position = opened.held, opened.start
        failovers = 0
        try:
            if held.body is None:
                yield held.payload
                return
            while position < opened.end:
                try:
                    piece = await held.body.read() if held.body is not None else held.payload
                except (PeerUnavailable, RemoteError) as error:
                    failovers += 1
                    if failovers > FAILOVERS:
                        raise Unavailable(f"replicas fail one after the other: {error}") from error
                    held.close()
                    held = await self._register.get_version(key, opened.held.version, position, opened.end)
                    continue
                if not piece:
                    raise Unavailable("a replica ended the object early")
                position += len(piece)
                yield piece
        finally:
            held.close()


class _Replaced(Exception):
    """Something newer is there."""


async def _head_of(body: Body) -> tuple[Buffer, bool]:
    """Return the first bytes of `body`, all of them or more than INLINE_LIMIT, and whether more may follow.

    The empty piece is always read before all is called read: what verifies the body does so there.
    """
    pieces: list[Buffer] = []
    size = 0
    while size <= INLINE_LIMIT:
        piece = await body.read()
        if not piece:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces), False
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces), True


def _finished(name: ObjectName, size: int, digest: str, new: NewObject) -> ObjectMetadata:
    """Return the metadata of an object all of whose bytes are read; `new.finish` may refuse them here."""
    system: Mapping[str, Any] = new.system
    row: Mapping[str, Any] = new.row
    if new.finish is not None:
        more_system, more_row = new.finish(digest)
        if more_system:
            system = {**system, **more_system}
        if more_row:
            row = {**row, **more_row}
    return ObjectMetadata(
        *name,
        size,
        digest if new.etag is None else new.etag,
        new.content_type,
        wall_us() if new.modified_us is None else new.modified_us,
        dict(new.headers),
        dict(new.user),
        dict(system),
        dict(row),
    )


def info_of(version: Version) -> ObjectInfo:
    """Return what a version says of its object."""
    metadata = stored.unpack(version.metadata)
    return ObjectInfo(version.timestamp, metadata, bool(version.flags & BlobFlag.MANIFEST))


def _info_of(version: Version | None) -> ObjectInfo | None:
    """The same, None of what is not there, or has expired: the devices have not come to delete it yet."""
    if version is None or version.deleted:
        return None
    info = info_of(version)
    return None if _has_expired(info.metadata) else info


def _has_expired(metadata: ObjectMetadata) -> bool:
    due_s = metadata.system.get(DELETE_AT)
    return due_s is not None and due_s * 1_000_000 <= wall_us()


def _of_versions(condition: Condition | None) -> VersionCondition | None:
    """Return the condition on an object as one on the version that stands for it."""
    return None if condition is None else lambda version: condition(_info_of(version))


def _tombstone(name: ObjectName) -> ObjectMetadata:
    return ObjectMetadata(*name, 0, "", "", wall_us(), {}, {}, {}, {})


def _replaced(previous: Version | None) -> ObjectInfo | None:
    """Return the replaced object; of anything but a manifest only that it was there."""
    if previous is None or previous.deleted:
        return None
    if previous.metadata:
        return info_of(previous)
    nothing = ObjectMetadata("", "", "", previous.size, "", "", 0, {}, {}, {}, {})
    return ObjectInfo(previous.timestamp, nothing, bool(previous.flags & BlobFlag.MANIFEST))
