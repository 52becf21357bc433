"""The object service in memory: same methods, same errors, one process, no replicas.

The dialects are tested on it. It has no awaits between looking and changing, so conditions are
atomic, as they are in the real one.
"""

import hashlib
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.clock import HybridClock, Timestamp, wall_us
from proxy.http.message import Body, Buffer
from proxy.objects.errors import (
    ContainerNotEmpty,
    ContainerTaken,
    InvalidPart,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    PartTooSmall,
    QuotaExceeded,
    RangeNotSatisfiable,
)
from proxy.objects.model import (
    AccountInfo,
    AccountListing,
    CommonPrefix,
    CompletionCheck,
    Condition,
    ContainerInfo,
    ContainerListing,
    ListingQuery,
    NewObject,
    ObjectInfo,
    ObjectName,
    ObjectReader,
    Part,
    PartListing,
    Segment,
    Upload,
    UploadListing,
)
from proxy.objects.quotas import of_account, of_container
from storage.messages import Row
from storage.metadata import ObjectMetadata, row_of

ByteRange = tuple[int | None, int | None]
PIECE_SIZE = 1 << 16
MINIMUM_PART_SIZE = 5 << 20


class BytesBody:
    """A body that is all there."""

    def __init__(self, data: bytes, piece_size: int = PIECE_SIZE) -> None:
        self.length: int | None = len(data)
        self._pieces = iter([data[i : i + piece_size] for i in range(0, len(data), piece_size)])

    async def read(self) -> Buffer:
        """Return the next piece."""
        return next(self._pieces, b"")


@dataclass(slots=True)
class _Stored:
    info: ObjectInfo
    data: bytes
    segments: list[Segment] | None = None


@dataclass(slots=True)
class _Container:
    timestamp: Timestamp
    created_us: int
    metadata: dict[str, Any]
    objects: dict[str, _Stored] = field(default_factory=dict)


@dataclass(slots=True)
class _Upload:
    name: ObjectName
    about: Upload
    new: NewObject
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict)
    completed: tuple[list[tuple[int, str]], ObjectInfo] | None = None


def _merged(old: Mapping[str, Any], changes: Mapping[str, Any | None]) -> dict[str, Any]:
    return {name: value for name, value in {**old, **changes}.items() if value is not None}


def _page(names: Iterable[str], query: ListingQuery) -> tuple[list[str | CommonPrefix], bool]:
    """Return the items of a page, by the rules of INDEX_LIST."""
    items: list[str | CommonPrefix] = []
    low, high = (query.end_marker, query.marker) if query.reverse else (query.marker, query.end_marker)
    for name in sorted(names, reverse=query.reverse):
        if not name.startswith(query.prefix) or (low and name <= low) or (high and name >= high):
            continue
        item: str | CommonPrefix = name
        if query.delimiter:
            found = name.find(query.delimiter, len(query.prefix))
            if found >= 0:
                item = CommonPrefix(name[: found + len(query.delimiter)])
                if item == query.marker or (items and items[-1] == item):
                    continue
        if len(items) == query.limit:
            return items, True
        items.append(item)
    return items, False


def _bounds(size: int, wanted: ByteRange | None) -> tuple[int, int]:
    """Return the half-open range that the inclusive `wanted` means."""
    if wanted is None:
        return 0, size
    first, last = wanted
    if first is None:
        assert last is not None
        start, end = max(0, size - last), size
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= end:
        raise RangeNotSatisfiable(size)
    return start, end


async def _pieces(data: bytes) -> AsyncGenerator[Buffer, None]:
    for start in range(0, len(data), PIECE_SIZE):
        yield data[start : start + PIECE_SIZE]


async def _read_all(body: Body) -> bytes:
    data = bytearray()
    while piece := await body.read():
        data += piece
    return bytes(data)


class MemoryService:
    """Stands for `proxy.objects.service.ObjectService` in tests."""

    def __init__(self, minimum_part_size: int = MINIMUM_PART_SIZE) -> None:
        self.minimum_part_size = minimum_part_size
        self._clock = HybridClock(1)
        self._containers: dict[tuple[str, str], _Container] = {}
        self._accounts: dict[str, dict[str, Any]] = {}
        self._buckets: dict[str, str] = {}
        self._uploads: dict[str, _Upload] = {}
        self._hidden: dict[ObjectName, _Stored] = {}  # parts of large objects
        self._counter = itertools.count(1)

    # Containers

    def _container(self, account: str, container: str) -> _Container:
        try:
            return self._containers[account, container]
        except KeyError:
            raise NoSuchContainer from None

    async def create_container(self, account: str, container: str, metadata: Mapping[str, Any]) -> bool:
        """Create or bring up to date; tell whether it is new."""
        existing = self._containers.get((account, container))
        if existing is not None:
            existing.metadata = _merged(existing.metadata, metadata)
            return False
        self._containers[account, container] = _Container(
            self._clock.now(), wall_us(), _merged({}, metadata)
        )
        return True

    async def update_container(
        self, account: str, container: str, metadata: Mapping[str, Any | None]
    ) -> None:
        """Merge metadata; None removes a name."""
        found = self._container(account, container)
        found.metadata = _merged(found.metadata, metadata)

    async def container_info(self, account: str, container: str) -> ContainerInfo:
        """Return counts and metadata."""
        found = self._container(account, container)
        return ContainerInfo(
            account,
            container,
            found.timestamp,
            found.created_us,
            len(found.objects),
            sum(stored.info.metadata.size for stored in found.objects.values()),
            found.metadata,
        )

    async def delete_container(self, account: str, container: str) -> None:
        """Delete an empty container."""
        if self._container(account, container).objects:
            raise ContainerNotEmpty
        del self._containers[account, container]

    async def list_container(self, account: str, container: str, query: ListingQuery) -> ContainerListing:
        """Return a page of rows and common prefixes."""
        found = self._container(account, container)
        info = await self.container_info(account, container)
        names, truncated = _page(found.objects, query)
        items: list[Row | CommonPrefix] = []
        for name in names:
            if isinstance(name, CommonPrefix):
                items.append(name)
            else:
                stored = found.objects[name].info
                items.append(row_of(stored.metadata, stored.timestamp, False))
        return ContainerListing(info, items, truncated)

    # Accounts

    async def account_info(self, account: str) -> AccountInfo:
        """Return counts and metadata; every account exists."""
        infos = [await self.container_info(*key) for key in list(self._containers) if key[0] == account]
        return AccountInfo(
            account,
            min((info.created_us for info in infos), default=0),
            len(infos),
            sum(info.object_count for info in infos),
            sum(info.bytes_used for info in infos),
            self._accounts.get(account, {}),
        )

    async def update_account(self, account: str, metadata: Mapping[str, Any | None]) -> None:
        """Merge metadata; None removes a name."""
        self._accounts[account] = _merged(self._accounts.get(account, {}), metadata)

    async def list_account(self, account: str, query: ListingQuery) -> AccountListing:
        """Return a page of the account's containers."""
        names, truncated = _page((name for owner, name in self._containers if owner == account), query)
        items: list[Row | CommonPrefix] = []
        for name in names:
            if isinstance(name, CommonPrefix):
                items.append(name)
                continue
            info = await self.container_info(account, name)
            items.append(
                Row(
                    name,
                    info.put_timestamp,
                    False,
                    info.bytes_used,
                    modified_us=info.created_us,
                    object_count=info.object_count,
                )
            )
        return AccountListing(await self.account_info(account), items, truncated)

    # S3's global bucket names

    async def claim_bucket(self, bucket: str, account: str) -> None:
        """Take the name for `account`."""
        owner = self._buckets.setdefault(bucket, account)
        if owner != account:
            raise ContainerTaken(owner)

    async def bucket_owner(self, bucket: str) -> str | None:
        """Return the account that has the name."""
        return self._buckets.get(bucket)

    async def release_bucket(self, bucket: str, account: str) -> None:
        """Give the name back."""
        if self._buckets.get(bucket) == account:
            del self._buckets[bucket]

    # Objects

    def _find(self, name: ObjectName) -> _Stored | None:
        if name in self._hidden:
            return self._hidden[name]
        container = self._containers.get((name.account, name.container))
        return container.objects.get(name.object) if container else None

    def _stored(self, name: ObjectName) -> _Stored:
        stored = self._find(name)
        if stored is None:
            self._container(name.account, name.container)
            raise NoSuchObject
        return stored

    def _write(
        self,
        name: ObjectName,
        data: bytes,
        new: NewObject,
        *,
        size: int | None = None,
        segments: list[Segment] | None = None,
    ) -> ObjectInfo:
        container = self._container(name.account, name.container)
        md5 = hashlib.md5(data).hexdigest()
        system, row = new.finish(md5) if new.finish else ({}, {})
        if new.condition is not None:
            existing = container.objects.get(name.object)
            new.condition(existing.info if existing else None)
        metadata = ObjectMetadata(
            *name,
            len(data) if size is None else size,
            new.etag or md5,
            new.content_type,
            wall_us() if new.modified_us is None else new.modified_us,
            dict(new.headers),
            dict(new.user),
            {**new.system, **system},
            {**new.row, **row},
        )
        info = ObjectInfo(self._clock.now(), metadata, segments is not None)
        container.objects[name.object] = _Stored(info, data, segments)
        return info

    async def _require_room(self, name: ObjectName, size: int, unbound: bool = False) -> None:
        quotas = [of_container(await self.container_info(name.account, name.container))]
        if not unbound:
            quotas.append(of_account(await self.account_info(name.account)))
        if not all(quota.has_room(size) for quota in quotas):
            raise QuotaExceeded

    async def put_object(self, name: ObjectName, body: Body, new: NewObject) -> ObjectInfo:
        """Store `body` under `name`."""
        await self._require_room(name, body.length or 0, new.unbound)
        return self._write(name, await _read_all(body), new)

    async def head_object(self, name: ObjectName) -> ObjectInfo:
        """Return what is known of `name`."""
        return self._resolved(self._stored(name))[0]

    async def get_object(
        self, name: ObjectName, wanted: ByteRange | None = None, raw_manifest: bool = False
    ) -> ObjectReader:
        """Open `name` for reading."""
        assert not raw_manifest, "use segments()"
        info, data = self._resolved(self._stored(name))
        start, end = _bounds(len(data), wanted)
        found = data[start:end]
        return ObjectReader(info, start, end, _pieces(found), found if len(found) <= PIECE_SIZE else None)

    def _resolved(self, stored: _Stored) -> tuple[ObjectInfo, bytes]:
        """Return an object's info and bytes, following manifests."""
        if stored.segments is not None:
            return stored.info, b"".join(self._segment(segment) for segment in stored.segments)
        dlo = stored.info.metadata.system.get("dlo")
        if dlo is None:
            return stored.info, stored.data
        container, _slash, prefix = dlo.partition("/")
        found = self._containers.get((stored.info.metadata.account, container))
        objects = found.objects if found else {}
        parts = [objects[name] for name in sorted(objects) if name.startswith(prefix)]
        data = b"".join(self._resolved(part)[1] for part in parts)
        etag = hashlib.md5("".join(part.info.metadata.etag for part in parts).encode()).hexdigest()
        return replace(stored.info, metadata=stored.info.metadata._replace(size=len(data), etag=etag)), data

    def _segment(self, segment: Segment) -> bytes:
        if segment.data is not None:
            return segment.data
        source = self._stored(ObjectName(segment.account, segment.container, segment.object))
        return self._resolved(source)[1][segment.offset : segment.offset + segment.size]

    async def update_object(
        self, name: ObjectName, change: Callable[[ObjectMetadata], ObjectMetadata]
    ) -> ObjectInfo:
        """Change what is known of `name`; the data stay."""
        stored = self._stored(name)
        stored.info = replace(
            stored.info, timestamp=self._clock.now(), metadata=change(stored.info.metadata)
        )
        return stored.info

    async def copy_object(
        self,
        source: ObjectName,
        target: ObjectName,
        new: Callable[[ObjectInfo], NewObject],
        source_condition: Condition | None = None,
        wanted: ByteRange | None = None,
    ) -> ObjectInfo:
        """Copy bytes on the server's side."""
        info, data = self._resolved(self._stored(source))
        if source_condition is not None:
            source_condition(info)
        start, end = _bounds(len(data), wanted)
        made = new(info)
        await self._require_room(target, end - start, made.unbound)
        return self._write(target, data[start:end], made)

    async def delete_object(self, name: ObjectName, condition: Condition | None = None) -> bool:
        """Delete `name`; tell whether it was there."""
        container = self._container(name.account, name.container)
        stored = container.objects.get(name.object)
        if condition is not None:
            condition(stored.info if stored else None)
        if stored is None:
            return False
        del container.objects[name.object]
        for segment in stored.segments or ():
            self._hidden.pop(ObjectName(segment.account, segment.container, segment.object), None)
        return True

    async def put_manifest(
        self, name: ObjectName, segments: list[Segment], new: NewObject, size: int
    ) -> ObjectInfo:
        """Store a large object made of `segments`."""
        assert new.etag is not None
        await self._require_room(name, size, new.unbound)
        return self._write(name, b"", new, size=size, segments=segments)

    async def segments(self, name: ObjectName) -> tuple[ObjectInfo, list[Segment]]:
        """Return a manifest's table."""
        stored = self._stored(name)
        if stored.segments is None:
            return stored.info, [Segment(*name, len(stored.data), stored.info.metadata.etag)]
        return stored.info, list(stored.segments)

    # Multipart uploads

    def _upload(self, name: ObjectName, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.name != name:
            raise NoSuchUpload
        return upload

    def _open_upload(self, name: ObjectName, upload_id: str) -> _Upload:
        upload = self._upload(name, upload_id)
        if upload.completed is not None:
            raise NoSuchUpload
        return upload

    async def create_upload(self, name: ObjectName, new: NewObject) -> str:
        """Begin an upload; return its id."""
        self._container(name.account, name.container)
        upload_id = f"upload-{next(self._counter):06}"
        self._uploads[upload_id] = _Upload(
            name, Upload(name.object, upload_id, wall_us(), dict(new.system)), new
        )
        return upload_id

    async def put_part(
        self, name: ObjectName, upload_id: str, number: int, body: Body, new: NewObject
    ) -> ObjectInfo:
        """Store a part; one of the same number is replaced."""
        upload = self._open_upload(name, upload_id)
        await self._require_room(name, body.length or 0)
        data = await _read_all(body)
        etag = hashlib.md5(data).hexdigest()
        system, row = new.finish(etag) if new.finish else ({}, {})
        part = Part(number, len(data), etag, wall_us(), {**new.row, **row})
        upload.parts[number] = part, data
        metadata = ObjectMetadata(
            *name, len(data), etag, "", part.modified_us, {}, {}, dict(system), dict(part.row)
        )
        return ObjectInfo(self._clock.now(), metadata)

    async def complete_upload(
        self,
        name: ObjectName,
        upload_id: str,
        parts: Sequence[tuple[int, str, Mapping[str, str]]],
        condition: Condition | None = None,
        check: CompletionCheck | None = None,
    ) -> ObjectInfo:
        """Make the object of the named parts; repeating a completion gives the same answer."""
        upload = self._upload(name, upload_id)
        wanted = [(number, etag) for number, etag, _checksums in parts]
        if upload.completed is not None:
            if upload.completed[0] != wanted:
                raise NoSuchUpload
            return upload.completed[1]
        chosen = self._choose(upload, wanted)
        system, row = check(upload.about, [part for part, _data in chosen]) if check else ({}, {})
        segments = []
        for part, data in chosen:
            hidden = ObjectName(name.account, name.container, f"\0part\0{upload_id}\0{part.number}")
            metadata = ObjectMetadata(*hidden, len(data), part.etag, "", 0, {}, {}, {}, {})
            self._hidden[hidden] = _Stored(ObjectInfo(self._clock.now(), metadata), data)
            segments.append(Segment(*hidden, len(data), part.etag, number=part.number, row=dict(part.row)))
        digests = b"".join(bytes.fromhex(part.etag) for part, _data in chosen)
        new = replace(
            upload.new,
            etag=f"{hashlib.md5(digests).hexdigest()}-{len(chosen)}",
            system={**upload.new.system, "parts": len(chosen), **system},
            row={**upload.new.row, **row},
            condition=condition,
        )
        size = sum(len(data) for _part, data in chosen)
        await self._require_room(name, size)
        info = self._write(name, b"", new, size=size, segments=segments)
        upload.completed = wanted, info
        upload.parts.clear()
        return info

    def _choose(self, upload: _Upload, wanted: list[tuple[int, str]]) -> list[tuple[Part, bytes]]:
        chosen = []
        for index, (number, etag) in enumerate(wanted):
            if index and number <= wanted[index - 1][0]:
                raise InvalidPart(index, "order")
            if number not in upload.parts:
                raise InvalidPart(index, "not found")
            if upload.parts[number][0].etag != etag:
                raise InvalidPart(index, "etag")
            chosen.append(upload.parts[number])
        for index, (part, _data) in enumerate(chosen[:-1]):
            if part.size < self.minimum_part_size:
                raise PartTooSmall(index, "too small")
        return chosen

    async def abort_upload(self, name: ObjectName, upload_id: str) -> None:
        """Drop an upload and its parts."""
        self._open_upload(name, upload_id)
        del self._uploads[upload_id]

    async def list_parts(self, name: ObjectName, upload_id: str, marker: int, limit: int) -> PartListing:
        """Return parts with numbers above `marker`."""
        upload = self._open_upload(name, upload_id)
        parts = [upload.parts[number][0] for number in sorted(upload.parts) if number > marker]
        return PartListing(upload.about, parts[:limit], len(parts) > limit)

    async def list_uploads(
        self,
        account: str,
        container: str,
        prefix: str,
        delimiter: str,
        key_marker: str,
        upload_id_marker: str,
        limit: int,
    ) -> UploadListing:
        """Return uploads after (key_marker, upload_id_marker), rolled up at `delimiter`."""
        self._container(account, container)
        uploads = sorted(
            (upload.about.object, upload.about.upload_id, upload.about)
            for upload in self._uploads.values()
            if upload.name[:2] == (account, container) and upload.completed is None
        )
        items: list[Upload | CommonPrefix] = []
        for key, upload_id, about in uploads:
            if key < key_marker or (key == key_marker and upload_id <= (upload_id_marker or upload_id)):
                continue
            if not key.startswith(prefix):
                continue
            item: Upload | CommonPrefix = about
            found = key.find(delimiter, len(prefix)) if delimiter else -1
            if found >= 0:
                item = CommonPrefix(key[: found + len(delimiter)])
                if item == key_marker or (items and items[-1] == item):
                    continue
            if len(items) == limit:
                return UploadListing(items, True)
            items.append(item)
        return UploadListing(items, False)
