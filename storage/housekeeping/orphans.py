"""Parts of S3 uploads that nothing names any more are found and deleted.

A part is an object in a hidden container, in which only uploads and manifests look (proxy.objects.multipart). Whoever
ends an upload deletes what is not needed, behind the answer, and whoever replaces its object lets it expire; if he dies
in between, the parts stay. So the hidden containers are walked, slowly: each account's by the first primary of the
account's database that is up, a page of rows a step, over and over. What one replica lists, of containers too, is only
where to look. A part goes if all hold:

1. Its upload has ended: a read quorum has the deletion of the upload's entry, or nothing of it. Ids are given once,
   so it stays ended. Or the container was deleted since: then its uploads went with it, and their entries go, too.
2. The part is older than the grace time, and so is the end of the upload, which may have been its completion.
3. The object's current version, which a read quorum has, is no manifest of this upload, and older than the grace time:
   who reads what it has replaced goes on. Or it is one, and its table does not name this part (another try of the same
   part, or one that was left out).
4. The part has no time at which it expires: proxies give it one when they replace an object.

Why that is safe while uploads are completed: the manifest is written before the entry goes, so who reads that the entry
is gone (1) and the object after that (3) sees the manifest, or what has replaced it. Whoever was about to write a
manifest when another one ended the upload has had the grace time for it (2); he would not find the parts
anyway if that other one had not died, for then they had been deleted at once. A version in doubt decides nothing: it is
asked again in the next pass.

An upload that is never completed or aborted keeps its parts, as in S3. Segments of Swift's large objects are objects of
clients, and none of this concerns them.

Crash points: a part is deleted with its row as any object is (storage.housekeeping.deletion). The walk begins anew
where it was written down last. What is not found: hidden containers of a container that was deleted so long ago that
its account does not remember it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import msgpack

from cluster.clock import Timestamp, microseconds_of, wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import PeerUnavailable, RemoteError
from storage import metadata as stored
from storage.asking import ask, replies_of
from storage.client import Placement
from storage.housekeeping.deletion import Deletion, Outcome
from storage.housekeeping.hidden import PARTS, UPLOADS, Databases, Position, Walk, decode
from storage.housekeeping.rows import RowSender, Undecided
from storage.messages import BlobFlag, BlobGet, Operation, Row, Version, parse
from storage.metadata import EXPIRING
from storage.quorum import timestamp_of
from storage.ranges.decision import Named
from storage.ranges.listing import Unlistable
from storage.rings.document import OBJECT

INTERVAL_S = 3600.0  # between walks, or the grace time if that is less
PAUSE_S = 1.0  # between pages
RETRY_S = 30.0
WIDTH = 4  # deleted at a time
TIMEOUT_S = 30.0
_SAVE_PAGES = 32  # after so many the position is written down
_log = get_logger("storage")


class Bookmark(Protocol):
    """Where the walk's position is kept over restarts."""

    def load(self) -> bytes | None:
        """Return what was saved last."""

    def save(self, position: bytes) -> Awaitable[None]:
        """Keep it; losing it costs a repetition."""


@dataclass(frozen=True, slots=True)
class _Upload:
    """What the rows of one upload have in common."""

    account: str
    container: str  # the clients'
    object: str
    upload_id: str

    @property
    def entry(self) -> tuple[str, str, str]:
        """The name of its entry."""
        return self.account, UPLOADS + self.container, f"{self.object}\0{self.upload_id}"


class Doubtful(Exception):
    """Too few replicas agree on a name. Ask again in the next walk."""


class Orphans:
    """The housekeeping task."""

    name = "delete orphaned parts"

    def __init__(
        self,
        databases: Databases,
        deletion: Deletion,
        sender: RowSender,
        placement: Placement,
        device_id: int,
        bookmark: Bookmark,
        grace_s: float,
        wall: Callable[[], int] = wall_us,
        clock_is_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._deletion = deletion
        self._sender = sender
        self._placement = placement
        self._device_id = device_id
        self._bookmark = bookmark
        self._grace_s = grace_s
        self._wall_us = wall
        self._clock_is_trusted = clock_is_trusted
        self._walk = Walk(databases, placement, device_id, decode(bookmark.load()))
        self._pages: AsyncIterator[tuple[Named, Sequence[Row]]] | None = None
        self._page_count = 0
        self.looked_at_count = 0  # rows
        self.deleted_count = 0
        self.doubtful_count = 0  # left for the next walk

    async def step(self) -> float:
        """Look at one page of parts or uploads."""
        if not self._clock_is_trusted():
            return RETRY_S
        if self._pages is None:
            self._pages = self._walk.pages()
        try:
            container, rows = await anext(self._pages)
        except StopAsyncIteration:
            await self._begin_at(Position())
            return min(INTERVAL_S, self._grace_s)
        except (Unlistable, RemoteError) as error:
            self._pages = None  # from there again
            _log.info("walk_interrupted", task=self.name, reason=str(error))
            return RETRY_S
        self.looked_at_count += len(rows)
        if container.container.startswith(PARTS):
            await self._look_at_parts(container, rows)
        else:
            await self._look_at_uploads(container, rows)
        self._page_count += 1
        if self._page_count % _SAVE_PAGES == 0:
            await self._bookmark.save(self._walk.position.encode())
        return PAUSE_S

    async def _begin_at(self, position: Position) -> None:
        """Have the next step begin another walk."""
        self._pages = None
        self._walk.position = position
        await self._bookmark.save(position.encode())

    # what to do about it

    async def _look_at_parts(self, container: Named, rows: Sequence[Row]) -> None:
        named = container.container.removeprefix(PARTS)

        def upload_of(row: Row) -> _Upload:
            object_, upload_id, _number, _try = row.name.rsplit("\0", 3)
            return _Upload(container.account, named, object_, upload_id)

        for upload, parts in groupby([row for row in rows if row.name.count("\0") >= 3], upload_of):
            await self._judge(container, upload, list(parts))

    async def _judge(self, container: Named, upload: _Upload, parts: Sequence[Row]) -> None:
        """Delete the parts that nobody needs."""
        old = [part for part in parts if self._is_old(part.timestamp) and EXPIRING not in (part.extra or {})]
        try:
            if old and await self._has_ended(upload, old):
                needed = await self._needed(upload)
                if needed is not None:
                    await self._delete(container, [part for part in old if part.name not in needed])
        except (Doubtful, Undecided, PeerUnavailable, RemoteError) as reason:
            self.doubtful_count += 1
            _log.info("parts_left", upload=upload.upload_id, container=upload.container, reason=str(reason))

    async def _has_ended(self, upload: _Upload, parts: Iterable[Row]) -> bool:
        """Tell whether the upload ended longer ago than the grace time."""
        entry = await self._settled(upload.entry)
        if entry is None:
            return True
        if entry.deleted:
            return self._is_old(entry.timestamp)
        newest = max(part.timestamp for part in parts)
        return await self._sender.listed_since(upload.account, upload.container, newest) is None

    async def _needed(self, upload: _Upload) -> frozenset[str] | None:
        """Return the parts that the object is made of; None: downloads may read parts of what was there before."""
        name = (upload.account, upload.container, upload.object)
        current = await self._settled(name)
        if current is not None and _is_made_of(current, upload):
            return await self._table(name, current.timestamp)
        return frozenset() if current is None or self._is_old(current.timestamp) else None

    async def _look_at_uploads(self, container: Named, rows: Sequence[Row]) -> None:
        """Delete the entries of uploads to containers that were deleted since."""
        named = container.container.removeprefix(UPLOADS)
        old = sorted([row for row in rows if self._is_old(row.timestamp)], key=lambda row: row.timestamp)
        gone: list[Row] = []
        try:
            for row in old:  # those that came after the first that counts do count
                if await self._sender.listed_since(container.account, named, row.timestamp) is not None:
                    break
                gone.append(row)
        except Undecided:
            self.doubtful_count += 1
        await self._delete(container, gone)

    async def _delete(self, container: Named, rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), WIDTH):
            names = [(*container, row.name) for row in rows[first : first + WIDTH]]
            outcomes = await asyncio.gather(
                *(
                    self._deletion.delete(self._placement.names.key(*name), row.timestamp, name)
                    for name, row in zip(names, rows[first : first + WIDTH], strict=True)
                )
            )
            self.deleted_count += outcomes.count(Outcome.DELETED)
            self.doubtful_count += outcomes.count(Outcome.UNDECIDED)

    def _is_old(self, timestamp: Timestamp) -> bool:
        return microseconds_of(timestamp) < self._wall_us() - self._grace_s * 1e6

    # asking

    async def _settled(self, name: tuple[str, str, str]) -> Version | None:
        """Return the version that a read quorum has, with its metadata; None: of nothing. Raise Doubtful."""
        replicas = self._placement.replicas(OBJECT, self._placement.names.key(*name))
        message = (self._placement.names.key(*name),)
        replies = replies_of(
            await ask(self._placement, replicas, replicas.readers, Operation.BLOB_HEAD, message)
        )
        versions = {
            device_id: None if values is None else parse(Version, values) for device_id, values in replies.items()
        }
        if not replicas.read_quorum.reached(versions):
            raise Doubtful("too few replicas answered")
        newest = max(versions.values(), key=timestamp_of)
        holders = [device_id for device_id, held in versions.items() if timestamp_of(held) == timestamp_of(newest)]
        if not replicas.read_quorum.reached(holders):
            raise Doubtful("its newest version is in doubt")
        return newest

    async def _table(self, name: tuple[str, str, str], timestamp: Timestamp) -> frozenset[str]:
        """Return the names of the objects that a manifest names. Raise Doubtful."""
        key = self._placement.names.key(*name)
        replicas = self._placement.replicas(OBJECT, key)
        for _device_id, peer in replicas.readers:
            try:
                message = BlobGet(key, timestamp=timestamp)
                reply = await peer.call(Operation.BLOB_GET, message, b"", TIMEOUT_S, replicas.version)
                table = bytes(reply.payload) if reply.body is None else await _read(reply.body)
            except (PeerUnavailable, RemoteError):
                continue
            return frozenset(segment[2] for segment in msgpack.unpackb(table))  # proxy.objects.model.Segment
        raise Doubtful("nobody gives the manifest")


def _is_made_of(version: Version, upload: _Upload) -> bool:
    if version.deleted or not version.flags & BlobFlag.MANIFEST:
        return False
    return bool(stored.unpack(version.metadata).system.get("upload_id") == upload.upload_id)


async def _read(body: Any) -> bytes:
    pieces = []
    while piece := await body.read():
        pieces.append(bytes(piece))
    return b"".join(pieces)
