"""S3 multipart uploads: parts are objects in hidden containers until a manifest names them.

For a container `c` two containers of our own exist once it has had an upload, whose names hold a NUL
and so can't come from outside: the uploads under way (names `key NUL upload-id`) and the parts (names
`key NUL upload-id NUL number NUL try`). Both sort as S3 lists them. Each try of a part is an object of
its own, the newest counts: one that arrives late, when the upload is completed, takes only itself away.

Crash points: the manifest is committed before the upload's entry goes. In between the upload is listed
as under way still: completing it again gives the same object, aborting it only removes the entry.
An aborted upload loses its entry first and its parts then; a part that arrives between looks again
for the entry when it is stored, and takes itself away. Who completes or aborts puts his mark on the entry
first, so that it is one or the other; of one that has died on the way the mark is taken over after a while.

Parts of an object that is replaced or deleted are read on by downloads that began before. So they are not deleted, but
get a time after which the devices delete them (storage.housekeeping.expire). Parts that a proxy did not come to before
it died are found there, too (storage.housekeeping.orphans).
"""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from hashlib import md5
from typing import Any

from cluster.clock import HybridClock, Timestamp, microseconds_of, wall_us
from proxy.http.message import Body
from proxy.objects.background import Background
from proxy.objects.directory import Directory
from proxy.objects.errors import (
    ContainerNotEmpty,
    InvalidPart,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    PartTooSmall,
)
from proxy.objects.manifests import Manifests
from proxy.objects.marks import Mark, marked, unmarked
from proxy.objects.model import (
    CommonPrefix,
    CompletionCheck,
    Condition,
    ListingQuery,
    NewObject,
    ObjectInfo,
    ObjectName,
    Part,
    PartListing,
    Segment,
    Upload,
    UploadListing,
)
from proxy.objects.objects import Objects, Written
from proxy.objects.quotas import Quotas
from storage.messages import Row
from storage.metadata import DELETE_AT, EXPIRING, ObjectMetadata

MINIMUM_PART_SIZE = 5 << 20  # bytes, of all parts but the last: S3's
PART_LIMIT = 10_000  # parts of one upload: S3's
PAGE = 1000
CLEANING_WIDTH = 4  # deletions at a time behind an answer
GRACE_S = 3600.0  # parts of what is no more can be read on for so long: longer, and they take space for longer
_LAST = "\U0010ffff"  # sorts behind every name


def _uploads(account: str, container: str) -> tuple[str, str]:
    return account, f"\0uploads\0{container}"


def _parts(account: str, container: str) -> tuple[str, str]:
    return account, f"\0parts\0{container}"


def _entry(name: ObjectName, upload_id: str) -> ObjectName:
    return ObjectName(*_uploads(name.account, name.container), f"{name.object}\0{upload_id}")


def _prefix(name: ObjectName, upload_id: str) -> str:
    return f"{name.object}\0{upload_id}\0"


def _new_part(name: ObjectName, upload_id: str, number: int) -> ObjectName:
    unique = os.urandom(8).hex()
    return ObjectName(
        *_parts(name.account, name.container), f"{_prefix(name, upload_id)}{number:05d}\0{unique}"
    )


def _upload_of(row: Row) -> Upload:
    key, _nul, upload_id = row.name.rpartition("\0")
    return Upload(key, upload_id, row.modified_us, (row.extra or {}).get("system", {}))


def _number_of(row: Row) -> int:
    return int(row.name.rsplit("\0", 2)[1])


@dataclass(frozen=True, slots=True)
class _Tries:
    """What was stored under one part number."""

    rows: list[Row]

    @property
    def newest(self) -> Row:
        """The part; the others were replaced by it."""
        return max(self.rows, key=lambda row: row.timestamp)

    @property
    def part(self) -> Part:
        """The part as clients see it."""
        row = self.newest
        return Part(_number_of(row), row.size, row.etag, row.modified_us, row.extra or {})


class Multipart:
    """Uploads in parts."""

    def __init__(
        self,
        objects: Objects,
        manifests: Manifests,
        directory: Directory,
        quotas: Quotas,
        background: Background,
        clock: HybridClock,
        grace_s: float = GRACE_S,
    ) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._objects = objects
        self._manifests = manifests
        self._directory = directory
        self._quotas = quotas
        self._background = background

    async def create(self, name: ObjectName, new: NewObject) -> str:
        """Begin an upload; return its id. Ids of later uploads sort later. Raise NoSuchContainer."""
        container = await self._directory.container_info(name.account, name.container)
        for hidden in (_uploads(name.account, name.container), _parts(name.account, name.container)):
            await self._ensure(*hidden, container.put_timestamp)
        upload_id = f"{wall_us():014x}{os.urandom(9).hex()}"
        entry = replace(
            new, etag="", row={"system": dict(new.system), "row": dict(new.row)}, condition=None, finish=None
        )
        await self._objects.put_bytes(_entry(name, upload_id), b"", entry, 0, 0)
        return upload_id

    async def _ensure(self, account: str, container: str, since: Timestamp) -> None:
        """Make a container of our own, unless it was made after `since`: an older one may be about to go."""
        try:
            known = await self._directory.known_container(account, container)
        except NoSuchContainer:
            known = None
        if known is None or known.put_timestamp <= since:
            await self._directory.create(self._directory.container(account, container), {})

    async def _find(self, name: ObjectName, upload_id: str) -> ObjectInfo:
        info = await self._objects.find(_entry(name, upload_id)) if "\0" not in upload_id else None
        if info is None:
            raise NoSuchUpload(upload_id)
        return info

    async def put_part(
        self, name: ObjectName, upload_id: str, number: int, body: Body, new: NewObject
    ) -> ObjectInfo:
        """Store a part; one of the same number is replaced. Raise NoSuchUpload, QuotaExceeded.

        Parts count when they are an object; but one that is too large by itself need not come.
        """
        await self._find(name, upload_id)
        await self._quotas.require_room(name, body.length or 0)
        part = _new_part(name, upload_id, number)
        written = await self._objects.put(part, body, new)
        if await self._objects.find(_entry(name, upload_id)) is None:
            await self._objects.delete(part)
            raise NoSuchUpload(upload_id)
        return written.info

    async def complete(
        self,
        name: ObjectName,
        upload_id: str,
        wanted: Sequence[tuple[int, str, Mapping[str, str]]],
        condition: Condition | None,
        check: CompletionCheck | None,
    ) -> Written:
        """Make the object of the parts (number, etag, checksums); repeating it gives the same answer."""
        try:
            async with self._marked(name, upload_id) as mark:
                stored = [tries async for tries in self._all_parts(name, upload_id)]
                written, kept = await self._commit(name, upload_id, stored, wanted, condition, check)
                await mark.end()
        except NoSuchUpload:
            current = await self._objects.find(name)
            if current is None or current.metadata.system.get("upload_id") != upload_id:
                raise
            return Written(current, None)
        rows = [row for tries in stored for row in tries.rows if row.name not in kept]
        if rows:
            self._background.start("unused parts", self._delete_all(self._names(name, rows)))
        return written

    async def _commit(
        self,
        name: ObjectName,
        upload_id: str,
        stored: Sequence[_Tries],
        wanted: Sequence[tuple[int, str, Mapping[str, str]]],
        condition: Condition | None,
        check: CompletionCheck | None,
    ) -> tuple[Written, set[str]]:
        """Write the manifest; return what was written, and the names of the parts that it keeps."""
        entry = await self._find(name, upload_id)
        chosen = _choose([tries.part for tries in stored], wanted)
        about = _about(name, upload_id, entry)
        system, row = check(about, chosen) if check is not None else ({}, {})
        names = {tries.part.number: tries.newest.name for tries in stored}
        hidden = _parts(name.account, name.container)
        segments = [
            Segment(*hidden, names[part.number], part.size, part.etag, 0, None, part.number, dict(part.row))
            for part in chosen
        ]
        digests = b"".join(bytes.fromhex(part.etag) for part in chosen)
        metadata = entry.metadata
        new = NewObject(
            metadata.content_type,
            metadata.headers,
            metadata.user,
            {**unmarked(metadata.system), "parts": len(chosen), "upload_id": upload_id, **system},
            {**metadata.row.get("row", {}), **row},
            etag=f"{md5(digests).hexdigest()}-{len(chosen)}",
            condition=condition,
        )
        size = sum(part.size for part in chosen)
        await self._quotas.require_room(name, size)
        written = await self._manifests.put(name, segments, new, size)
        return written, {segment.object for segment in segments}

    async def abort(self, name: ObjectName, upload_id: str) -> None:
        """Drop an upload and its parts. Raise NoSuchUpload."""
        async with self._marked(name, upload_id) as mark:
            current = await self._objects.find(name)
            await mark.end()
        if current is None or current.metadata.system.get("upload_id") != upload_id:
            await self._delete_parts(name, upload_id)

    def _marked(self, name: ObjectName, upload_id: str) -> AbstractAsyncContextManager[Mark]:
        """Let nobody else complete or abort an upload. Raise NoSuchUpload."""
        if "\0" in upload_id:
            raise NoSuchUpload(upload_id)
        return marked(self._objects, _entry(name, upload_id), NoSuchUpload(upload_id))

    def discard(self, replaced: ObjectInfo | None, by: ObjectInfo | None = None) -> None:
        """Let go, behind the answer, of the parts of a manifest that is no more, unless `by` has them too."""
        if replaced is None or not replaced.manifest:
            return
        metadata = replaced.metadata
        upload_id = metadata.system.get("upload_id")
        if by is not None and by.manifest and by.metadata.system.get("upload_id") == upload_id:
            return  # the upload was completed again, or in two tries
        if upload_id is not None:
            name = ObjectName(metadata.account, metadata.container, metadata.object)
            self._background.start("parts of a replaced object", self._let_expire(name, upload_id))

    async def _let_expire(self, name: ObjectName, upload_id: str) -> None:
        """Have the parts deleted when downloads are over that may read them.

        Those of an upload that goes on stay: whoever was told that completing it may have failed will try again.
        """
        if await self._objects.find(_entry(name, upload_id)) is None:
            await self._expire_all(await self._names_of_parts(name, upload_id))

    async def _delete_parts(self, name: ObjectName, upload_id: str) -> None:
        await self._delete_all(await self._names_of_parts(name, upload_id))

    async def _names_of_parts(self, name: ObjectName, upload_id: str) -> list[ObjectName]:
        return self._names(name, [row async for tries in self._all_parts(name, upload_id) for row in tries.rows])

    @staticmethod
    def _names(name: ObjectName, rows: Sequence[Row]) -> list[ObjectName]:
        return [ObjectName(*_parts(name.account, name.container), row.name) for row in rows]

    async def _delete_all(self, names: Sequence[ObjectName]) -> None:
        await _for_each(names, self._objects.delete)

    async def _expire_all(self, names: Sequence[ObjectName]) -> None:
        due_s = microseconds_of(self._clock.now()) // 1_000_000 + math.ceil(self._grace_s)

        def expiring(metadata: ObjectMetadata) -> ObjectMetadata:
            return metadata._replace(
                system={**metadata.system, DELETE_AT: due_s}, row={**metadata.row, EXPIRING: True}
            )

        async def expire(name: ObjectName) -> None:
            with suppress(NoSuchObject, NoSuchContainer):
                await self._objects.update(name, expiring)

        await _for_each(names, expire)

    async def _all_parts(
        self, name: ObjectName, upload_id: str, after: int = 0, page_size: int = PART_LIMIT
    ) -> AsyncIterator[_Tries]:
        """Yield the parts with numbers above `after`, in order."""
        prefix = _prefix(name, upload_id)
        marker = f"{prefix}{after:05d}\0{_LAST}"
        tries = _Tries([])
        truncated = True
        while truncated:
            query = ListingQuery(limit=page_size, prefix=prefix, marker=marker)
            page = await self._directory.list_container(*_parts(name.account, name.container), query)
            for row in page.items:
                assert isinstance(row, Row)
                if tries.rows and _number_of(row) != _number_of(tries.rows[0]):
                    yield tries
                    tries = _Tries([])
                tries.rows.append(row)
                marker = row.name
            truncated = page.truncated
        if tries.rows:
            yield tries

    async def list_parts(self, name: ObjectName, upload_id: str, marker: int, limit: int) -> PartListing:
        """Return parts with numbers above `marker`. Raise NoSuchUpload."""
        entry = await self._find(name, upload_id)
        parts: list[Part] = []
        truncated = False
        if limit:
            async for tries in self._all_parts(name, upload_id, marker, limit + 1):
                truncated = len(parts) == limit
                if truncated:
                    break
                parts.append(tries.part)
        return PartListing(_about(name, upload_id, entry), parts, truncated)

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
        await self._directory.known_container(account, container)
        if upload_id_marker:
            marker = f"{key_marker}\0{upload_id_marker}"
        else:
            marker = f"{key_marker}\0{_LAST}" if key_marker else ""
        if delimiter and delimiter in key_marker[len(prefix) :]:
            marker = _rolled(key_marker, prefix, delimiter) + _LAST
        items: list[Upload | CommonPrefix] = []
        while True:
            page = await self._page_of_uploads(account, container, prefix, marker)
            for row in page:
                if row.name <= marker:
                    continue  # rolled up already
                marker = row.name
                if len(items) == limit:
                    return UploadListing(items, True)
                upload = _upload_of(row)
                if delimiter and delimiter in upload.object[len(prefix) :]:
                    rolled = CommonPrefix(_rolled(upload.object, prefix, delimiter))
                    marker = rolled + _LAST
                    items.append(rolled)
                else:
                    items.append(upload)
            if len(page) < PAGE:
                return UploadListing(items, False)

    async def _page_of_uploads(self, account: str, container: str, prefix: str, marker: str) -> list[Row]:
        query = ListingQuery(limit=PAGE, prefix=prefix, marker=marker)
        try:
            listing = await self._directory.list_container(*_uploads(account, container), query)
        except NoSuchContainer:
            return []
        return [item for item in listing.items if isinstance(item, Row)]

    def forget_container(self, account: str, container: str, deleted: Timestamp) -> None:
        """Drop, behind the answer, what a container had of uploads when it was deleted."""
        self._background.start("uploads of a deleted container", self._empty(account, container, deleted))

    async def _empty(self, account: str, container: str, deleted: Timestamp) -> None:
        for hidden in (_uploads(account, container), _parts(account, container)):
            marker = ""
            try:
                while True:
                    page = await self._directory.list_container(*hidden, ListingQuery(PAGE, marker=marker))
                    rows = [row for row in page.items if isinstance(row, Row)]
                    old = [ObjectName(*hidden, row.name) for row in rows if _is_over(row, deleted)]
                    await self._delete_all(old)
                    if not page.truncated:
                        break
                    marker = rows[-1].name
                await self._directory.delete(self._directory.container(*hidden), deleted)
            except (NoSuchContainer, ContainerNotEmpty):
                continue  # never had uploads, or has new ones: the container was made anew


async def _for_each(names: Sequence[ObjectName], work: Callable[[ObjectName], Awaitable[object]]) -> None:
    """Do `work` for all, a few at a time."""
    gate = asyncio.Semaphore(CLEANING_WIDTH)

    async def one(name: ObjectName) -> None:
        async with gate:
            await work(name)

    await asyncio.gather(*(one(name) for name in names))


def _is_over(row: Row, deleted: Timestamp) -> bool:
    """Tell whether an upload or a part is of a container's life that has ended then."""
    return row.timestamp <= deleted or EXPIRING in (row.extra or {})


def _rolled(key: str, prefix: str, delimiter: str) -> str:
    end = key.index(delimiter, len(prefix)) + len(delimiter)
    return key[:end]


def _about(name: ObjectName, upload_id: str, entry: ObjectInfo) -> Upload:
    return Upload(name.object, upload_id, entry.metadata.modified_us, entry.metadata.system)


def _choose(parts: Sequence[Part], wanted: Sequence[tuple[int, str, Mapping[str, Any]]]) -> list[Part]:
    """Return the wanted parts. Raise InvalidPart, PartTooSmall."""
    stored = {part.number: part for part in parts}
    chosen: list[Part] = []
    for index, (number, etag, _checksums) in enumerate(wanted):
        if index and number <= wanted[index - 1][0]:
            raise InvalidPart(index, "order")
        part = stored.get(number)
        if part is None:
            raise InvalidPart(index, "not found")
        if part.etag != etag:
            raise InvalidPart(index, "etag")
        chosen.append(part)
    for index, part in enumerate(chosen[:-1]):
        if part.size < MINIMUM_PART_SIZE:
            raise PartTooSmall(index, "too small")
    return chosen
