"""Large objects: a manifest is an object whose stored bytes are a table of segments.

S3 multipart uploads and Swift's static large objects share it. A dynamic large object has no table: its
segments are whatever a container lists under a prefix at the time of reading.

Table: a msgpack array of `Segment` arrays. Readers fill in what an older table lacks.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from hashlib import md5

import msgpack

from proxy.http.message import Buffer
from proxy.objects.directory import Directory
from proxy.objects.errors import RangeNotSatisfiable, SegmentChanged, Unavailable
from proxy.objects.model import ListingQuery, NewObject, ObjectInfo, ObjectName, ObjectReader, Segment
from proxy.objects.objects import Objects, Opened, Written
from proxy.objects.ranges import Range, bounds
from storage.messages import BlobFlag, Row

NESTING_LIMIT = 10  # manifests within manifests
DYNAMIC_PAGE = 10_000  # segments of a dynamic large object, listed at a time
DYNAMIC_LIMIT = 100_000  # of one in all: whoever reads it holds them in memory, some 40 MB
TABLE_LIMIT = 16 << 20  # bytes of a stored table


def pack_segments(segments: Sequence[Segment]) -> bytes:
    """Encode a table."""
    packed: bytes = msgpack.packb(list(segments))
    return packed


def unpack_segments(table: Buffer) -> list[Segment]:
    """Decode a table. Raise ValueError when it is none."""
    try:
        return [Segment(*row) for row in msgpack.unpackb(table)]
    except TypeError as error:
        raise ValueError(f"not a table of segments: {error}") from error


@dataclass(frozen=True, slots=True)
class _Slice:
    """Bytes [start, end) of what one segment gives."""

    segment: Segment
    start: int
    end: int


def slices(segments: Sequence[Segment], start: int, end: int) -> list[_Slice]:
    """Return which bytes of which segments make bytes [start, end) of the whole."""
    found = []
    position = 0
    for segment in segments:
        first, last = max(start - position, 0), min(end - position, segment.size)
        if first < last:
            found.append(_Slice(segment, first, last))
        position += segment.size
    return found


class Manifests:
    """Writes manifests, and reads objects through them."""

    def __init__(self, objects: Objects, directory: Directory) -> None:
        self._objects = objects
        self._directory = directory

    async def put(self, name: ObjectName, segments: Sequence[Segment], new: NewObject, size: int) -> Written:
        """Store a manifest that stands for `size` bytes; `new.etag` is the whole's."""
        return await self._objects.put_bytes(name, pack_segments(segments), new, BlobFlag.MANIFEST, size)

    async def segments(self, name: ObjectName) -> tuple[ObjectInfo, list[Segment]]:
        """Return the table of a manifest; one segment, itself, of a plain object."""
        opened = await self._objects.open(name)
        if not opened.info.manifest:
            opened.held.close()
            metadata = opened.info.metadata
            return opened.info, [Segment(*name, metadata.size, metadata.etag)]
        return opened.info, await self._table(opened)

    async def _table(self, opened: Opened) -> list[Segment]:
        pieces, size = [], 0
        held = opened.held
        try:
            if held.body is None:
                return unpack_segments(held.payload)
            while piece := await held.body.read():
                pieces.append(piece)
                size += len(piece)
                if size > TABLE_LIMIT:
                    raise SegmentChanged("the table of segments is too long")
            return unpack_segments(b"".join(pieces))
        finally:
            held.close()

    async def describe(self, name: ObjectName) -> ObjectInfo:
        """Return the current version as a reader sees it: a dynamic one with its size and etag of now."""
        info = await self._objects.head(name)
        return info if dynamic_prefix(info) is None else (await self._dynamic(name, info))[0]

    async def read(self, name: ObjectName, wanted: Range | None = None, raw: bool = False) -> ObjectReader:
        """Open an object through its manifest. With `raw` a dynamic one is not followed."""
        try:
            opened = await self._objects.open(name, wanted)
        except RangeNotSatisfiable:  # by its own bytes, which are not what a dynamic one is read for
            if raw or dynamic_prefix(info := await self._objects.head(name)) is None:
                raise
            return self._reader(*await self._dynamic(name, info), wanted, 0)
        info = opened.info
        if info.manifest:
            return self._reader(info, await self._table(opened), wanted, 0)
        if not raw and dynamic_prefix(info) is not None:
            opened.held.close()
            return self._reader(*await self._dynamic(name, info), wanted, 0)
        data = opened.held.payload if opened.held.body is None else None
        pieces = self._objects.pieces(self._objects.key(name), opened)
        return ObjectReader(info, opened.start, opened.end, pieces, data)

    def _reader(
        self, info: ObjectInfo, segments: Sequence[Segment], wanted: Range | None, depth: int
    ) -> ObjectReader:
        start, end = bounds(wanted, info.metadata.size)
        return ObjectReader(info, start, end, self._follow(slices(segments, start, end), depth))

    async def _dynamic(self, name: ObjectName, info: ObjectInfo) -> tuple[ObjectInfo, list[Segment]]:
        """Return a dynamic large object as it is now, and its segments. Raise SegmentChanged when they are too many."""
        container, prefix = dynamic_prefix(info) or ("", "")
        segments: list[Segment] = []
        query = ListingQuery(limit=DYNAMIC_PAGE, prefix=prefix)
        while True:
            page = await self._directory.list_container(name.account, container, query)
            rows = [item for item in page.items if isinstance(item, Row)]
            segments += [Segment(name.account, container, row.name, row.size, row.etag) for row in rows]
            if not page.truncated:
                break
            if len(segments) >= DYNAMIC_LIMIT:
                raise SegmentChanged(f"{container}/{prefix} has more than {DYNAMIC_LIMIT} segments")
            query = ListingQuery(limit=DYNAMIC_PAGE, prefix=prefix, marker=rows[-1].name)
        etags = md5("".join(segment.etag for segment in segments).encode()).hexdigest()
        size = sum(segment.size for segment in segments)
        metadata = info.metadata._replace(size=size, etag=etags)
        return ObjectInfo(info.timestamp, metadata, manifest=False), segments

    async def _follow(self, parts: Sequence[_Slice], depth: int) -> AsyncGenerator[Buffer, None]:
        """Yield the bytes of segments one after the other; the next one is opened while one is sent."""
        following: asyncio.Task[AsyncGenerator[Buffer, None]] | None = None
        try:
            for index, part in enumerate(parts):
                pieces = await (following or self._open(part, depth))
                following = None
                if index + 1 < len(parts):
                    following = asyncio.get_running_loop().create_task(self._open(parts[index + 1], depth))
                try:
                    async for piece in pieces:
                        yield piece
                finally:
                    await pieces.aclose()
        finally:
            if following is not None:
                await _close(following)

    async def _open(self, part: _Slice, depth: int) -> AsyncGenerator[Buffer, None]:
        """Open bytes of a segment. Raise SegmentChanged when it is not what the manifest names."""
        segment = part.segment
        if segment.data is not None:
            return _bytes(segment.data[part.start : part.end])
        if depth >= NESTING_LIMIT:
            raise SegmentChanged("manifests are nested too deeply")
        first, last = segment.offset + part.start, segment.offset + part.end - 1
        key = self._objects.key(ObjectName(segment.account, segment.container, segment.object))
        opened = await self._objects.open_key(key, (first, last))
        if opened is None:
            raise SegmentChanged(f"segment {segment.container}/{segment.object} is gone")
        info = opened.info
        if segment.etag and segment.etag != info.metadata.etag:
            opened.held.close()
            raise SegmentChanged(f"segment {segment.container}/{segment.object} has changed")
        if info.manifest:
            table = await self._table(opened)
            return self._follow(slices(table, first, last + 1), depth + 1)
        if opened.end - opened.start != part.end - part.start:
            opened.held.close()
            raise SegmentChanged(f"segment {segment.container}/{segment.object} is shorter than it was")
        return self._objects.pieces(key, opened)


def dynamic_prefix(info: ObjectInfo) -> tuple[str, str] | None:
    """Return (container, prefix) of a dynamic large object, None of any other."""
    target = info.metadata.system.get("dlo")
    if target is None:
        return None
    container, _slash, prefix = target.partition("/")
    return container, prefix


async def _bytes(data: bytes) -> AsyncGenerator[Buffer, None]:
    yield data


async def _close(opening: "asyncio.Task[AsyncGenerator[Buffer, None]]") -> None:
    """Close what was opened ahead and is not needed."""
    try:
        await (await opening).aclose()
    except (SegmentChanged, Unavailable):
        return  # nothing was opened
