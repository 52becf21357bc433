"""One device's answers to the operations of storage.messages: a table from operation to handler.

Who asks says by which version of the rings it has chosen us (a request's tag). One that is below the floor is
refused before anything else (STALE_RINGS), so that a client that has slept through a change of the
rings neither finds a quorum for a write that others would not see, nor reads where nobody writes any more. A tag
of 0, of somebody without rings, is older than all. What takes no part in a quorum is answered whoever asks
(`UNFENCED`). A tag that is newer than our rings makes us read them.

Handlers take the arguments' array and give a Reply at once where memory or the page cache has the
answer, a future where the disk must be waited for, a coroutine where other devices are asked. They look
at the arguments before they give a coroutine, so that `handle` refuses what has a wrong shape.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ParamSpec, TypeVar

from cluster.clock import ZERO, Timestamp, wall_us
from cluster.wire import BodyReader, Buffer, Later, PeerUnavailable, RemoteError, Reply, Request
from storage.blobs.reader import FileReader
from storage.blobs.reads import GetAnswer
from storage.blobs.store import BlobStore
from storage.chunks.service import ChunkService
from storage.chunks.store import ChunkStore
from storage.client import Placement
from storage.copying import FETCH_TIMEOUT_S, UNLIMITED, Copies, GivingBudget, answer_many, peer_of
from storage.indexes.interfaces import Pull
from storage.indexes.store import IndexStore
from storage.membership.votes import Votes
from storage.messages import (
    NEWER,
    RECLAIM_LIMIT,
    BlobCommit,
    BlobCopyMany,
    BlobDelete,
    BlobFetch,
    BlobFlag,
    BlobGet,
    BlobPrepare,
    BlobPromise,
    BlobPut,
    BlobReclaim,
    BlobUpdate,
    Changes,
    DatabaseKind,
    Holding,
    IndexChanges,
    IndexCreate,
    IndexFreeze,
    IndexInfo,
    IndexList,
    IndexMove,
    IndexReclaim,
    IndexRows,
    IndexThaw,
    Operation,
    ReclaimedDatabase,
    Refusal,
    Version,
    parse,
)

# Data of an upload is no version before its commit; to give up, and to confirm a row, changes no version; the rest
# shows what is here to those who know themselves what that is worth: operators and housekeeping.
UNFENCED = frozenset(
    {
        Operation.BLOB_PREPARE,
        Operation.BLOB_ABORT,
        Operation.ROWS_CONFIRM,
        Operation.BLOB_DIGESTS,
        Operation.BLOB_SUBDIGESTS,
        Operation.BLOB_VERSIONS,
        Operation.BLOB_COPY,
        Operation.BLOB_COPY_MANY,
        Operation.INDEX_INVENTORY,
        Operation.INDEX_CHANGES,
        Operation.INDEX_SAMPLE,
        Operation.CHUNK_COPY,
        Operation.CHUNK_MAP,
        Operation.CHUNK_DIGESTS,
        Operation.CHUNK_LIST,
        Operation.CHUNK_FENCES,
        Operation.CHUNK_SUM,
        Operation.STATUS,
        Operation.SCRUB,
    }
)
P = ParamSpec("P")
FutureT = TypeVar("FutureT", bound="asyncio.Future[Any]")
Answer = Reply | Later | asyncio.Future[Reply] | Coroutine[Any, Any, Reply]


class DeviceService:
    """Serves the objects and databases of one device."""

    def __init__(
        self,
        blobs: BlobStore,
        indexes: IndexStore,
        placement: Placement,
        device_id: int,
        status: Callable[[], Mapping[str, Any]],
        wall: Callable[[], int] = wall_us,
        votes: Votes | None = None,
        budget: GivingBudget = UNLIMITED,
        chunks: ChunkStore | None = None,
    ) -> None:
        self.votes = votes or Votes()
        self.client_requests = 0  # reads and writes of clients, roughly: whether there are any is what counts
        self._budget = budget  # of what is copied from here
        self.copies = Copies(blobs, placement, wall)
        self.fetch = self.copies.fetch
        self._blobs = blobs
        self._indexes = indexes
        self._placement = placement
        self._device_id = device_id
        self._status = status
        # tells how scrubbing is, and begins a pass when asked to; whoever scrubs puts itself here
        self.scrub: Callable[[bool], Mapping[str, Any]] = lambda _now: {}
        self._unsettled: set[asyncio.Future[Any]] = set()  # writes that are not in the log yet, and those that wait
        self._handlers: dict[int, Callable[[Request], Answer]] = {
            Operation.BLOB_PUT: self._put,
            Operation.BLOB_DELETE: self._delete,
            Operation.BLOB_PREPARE: self._prepare,
            Operation.BLOB_COMMIT: self._commit,
            Operation.BLOB_ABORT: self._abort,
            Operation.BLOB_STAT: self._stat,
            Operation.BLOB_HEAD: self._head,
            Operation.BLOB_GET: self._get,
            Operation.BLOB_UPDATE: self._update,
            Operation.BLOB_PROMISE: self._promise,
            Operation.BLOB_RECLAIM: self._reclaim,
            Operation.BLOB_FETCH: self._fetch,
            Operation.BLOB_COPY: self._copy_out,
            Operation.BLOB_COPY_MANY: self._copy_many,
            Operation.ROWS_CONFIRM: self._confirm,
            Operation.BLOB_DIGESTS: self._digests,
            Operation.BLOB_SUBDIGESTS: self._subdigests,
            Operation.BLOB_VERSIONS: self._versions,
            Operation.INDEX_CREATE: self._index_create,
            Operation.INDEX_INFO: self._index_info,
            Operation.INDEX_ROWS: self._index_rows,
            Operation.INDEX_LIST: self._index_list,
            Operation.INDEX_FREEZE: self._index_freeze,
            Operation.INDEX_THAW: self._index_thaw,
            Operation.INDEX_INVENTORY: self._index_inventory,
            Operation.INDEX_CHANGES: self._index_changes,
            Operation.INDEX_MOVE: self._index_move,
            Operation.INDEX_SAMPLE: self._index_sample,
            Operation.INDEX_RECLAIM: self._index_reclaim,
            Operation.STATUS: self._answer_status,
            Operation.SCRUB: self._scrub,
        }
        self.chunks: ChunkService | None = None
        if chunks is not None:
            self.chunks = ChunkService(chunks, device_id, placement.names, self._ask, budget.spend)
            self._handlers |= self.chunks.handlers

    def handle(self, request: Request) -> Answer:
        """Answer a request."""
        rings = self._placement.rings
        if request.tag < rings.floor:
            if request.operation not in UNFENCED:
                raise RemoteError(Refusal.STALE_RINGS, rings.floor)
        elif request.tag > rings.version:
            self._placement.refresh(request.tag)
        handler = self._handlers.get(request.operation)
        if handler is None:
            raise RemoteError(Refusal.BAD_REQUEST, f"no operation {request.operation}")
        try:
            if self.votes.restricted:
                self.votes.check(request)
            return handler(request)
        except (ValueError, TypeError, IndexError) as error:
            raise RemoteError(Refusal.BAD_REQUEST, f"operation {request.operation}: {error}") from error

    @property
    def request_count(self) -> int:
        """Return how many reads and writes of clients there were, of objects and of chunks."""
        return self.client_requests + (0 if self.chunks is None else self.chunks.request_count)

    @property
    def copied_objects(self) -> int:
        """How many versions were copied from peers, whoever asked for that."""
        return self.copies.copied_objects

    @property
    def copied_bytes(self) -> int:
        """Bytes of them."""
        return self.copies.copied_bytes

    async def settle(self) -> None:
        """Wait until every write that was let in before now is durable and seen by all reads, or has failed.

        After the floor was raised that means: what was let in below it changes nothing here any more.
        """
        if self._unsettled:
            await asyncio.wait(self._unsettled)
        await self._blobs.settled()
        if self.chunks is not None:
            await self.chunks.settle()

    def _settling(self, write: Coroutine[Any, Any, Reply]) -> "asyncio.Task[Reply]":
        """Run a write that waits for something before it appends to the log."""
        return self._watched(asyncio.get_running_loop().create_task(write))

    def _watched(self, write: FutureT) -> FutureT:
        self._unsettled.add(write)
        write.add_done_callback(self._unsettled.discard)
        return write

    def _ask(self, device_id: int, operation: Operation, arguments: Any) -> "asyncio.Future[Reply]":
        """Ask another device, under the rings in force."""
        peer = peer_of(self._placement, device_id)
        return peer.call(operation, arguments, b"", FETCH_TIMEOUT_S, self._placement.rings.version)

    # objects

    def _put(self, request: Request) -> Answer:
        message = parse(BlobPut, request.metadata)
        return self._replacing(message.key, message.timestamp, lambda: self._blobs.put(message, request.payload))

    def _delete(self, request: Request) -> Answer:
        message = parse(BlobDelete, request.metadata)
        return self._replacing(message.key, message.timestamp, lambda: self._blobs.delete(message))

    def _commit(self, request: Request) -> Answer:
        return self._settling(self._committed(parse(BlobCommit, request.metadata)))

    async def _committed(self, message: BlobCommit) -> Reply:
        """Commit an upload; answer as `_replacing` does."""
        return await self._replaced_later(message.key, message.timestamp, lambda: self._blobs.commit(message))

    def _replacing(self, key: bytes, timestamp: Timestamp, write: Callable[[], asyncio.Future[Any]]) -> Answer:
        """Answer a write, once it is durable, with the version that it replaces.

        Who is refused as SUPERSEDED counts on it that something newer is durable here.
        """
        self.client_requests += 1
        previous = self._blobs.stat(key)
        if _is_manifest(previous) or self._blobs.pending(key) is not None:
            return self._settling(self._replaced_later(key, timestamp, write))
        return Later(write(), Reply(_if_older(previous, timestamp)))

    async def _replaced_later(self, key: bytes, timestamp: Timestamp, write: Callable[[], Awaitable[Any]]) -> Reply:
        """The same when something is on its way into the log, or must be read first.

        That is the metadata of a manifest: the proxy needs it to find the parts that are no more.
        """
        previous = self._blobs.stat(key)
        if _is_manifest(previous):
            previous = await self._whole(key)
        await self._written(key, timestamp, write)
        return Reply(_if_older(previous, timestamp))

    async def _written(self, key: bytes, timestamp: Timestamp, write: Callable[[], Awaitable[Any]]) -> None:
        """Write, once more if what has overtaken it comes to nothing.

        Others may wait for it, too: who has gone meanwhile does not take it back.
        """
        while True:
            try:
                await asyncio.shield(write())
                return
            except RemoteError as refusal:
                if refusal.code not in NEWER or self.copies.holds(key, timestamp):
                    raise
                await self.copies.settled(key)

    async def _whole(self, key: bytes) -> Version | None:
        found = self._blobs.head(key)
        return await found if isinstance(found, Awaitable) else found

    def _prepare(self, request: Request) -> Answer:
        self.client_requests += 1
        message = parse(BlobPrepare, request.metadata)
        if request.body is None:
            raise ValueError("no body")
        return self._received(message, request.body)

    async def _received(self, message: BlobPrepare, body: BodyReader) -> Reply:
        return Reply((await self._blobs.prepare(message, body.read),))

    def _abort(self, request: Request) -> Answer:
        (upload_id,) = request.metadata
        self._blobs.abort(upload_id)
        return Reply()

    def _stat(self, request: Request) -> Answer:
        (key,) = request.metadata
        return Reply(self._blobs.stat(key))

    def _head(self, request: Request) -> Answer:
        (key,) = request.metadata
        found = self._blobs.head(key)
        return self._head_later(found) if isinstance(found, Awaitable) else Reply(found)

    async def _head_later(self, found: Awaitable[Version | None]) -> Reply:
        return Reply(await found)

    def _get(self, request: Request) -> Answer:
        self.client_requests += 1
        answer = self._blobs.get(parse(BlobGet, request.metadata))
        return _with_bytes(*answer) if isinstance(answer, tuple) else self._get_later(answer)

    async def _get_later(self, answer: Awaitable[GetAnswer]) -> Reply:
        return _with_bytes(*await answer)

    def _update(self, request: Request) -> Answer:
        message = parse(BlobUpdate, request.metadata)
        return self._settling(_done(self._written, message.key, message.timestamp, lambda: self._blobs.update(message)))

    def _promise(self, request: Request) -> Answer:
        return self._settling(_replied(self._blobs.promise, parse(BlobPromise, request.metadata)))

    def _reclaim(self, request: Request) -> Answer:
        message = parse(BlobReclaim, request.metadata)
        if len(message.tombstones) > RECLAIM_LIMIT:
            raise ValueError(f"{len(message.tombstones)} tombstones at a time")
        if self.votes.restricted:
            raise RemoteError(Refusal.REBUILDING, "this device does not know what it should have")
        return self._settling(self._reclaimed(message))

    async def _reclaimed(self, message: BlobReclaim) -> Reply:
        """Answer about tombstones, or forget them. A name that is being copied here has something on its way."""
        reclaims = self._blobs.reclaims
        tombstones = [(key, timestamp) for key, timestamp in message.tombstones]
        if message.forget:
            await reclaims.forget(tombstones)
            return Reply()
        await reclaims.raise_floor(message.floor)
        return Reply(
            bytes(
                [
                    Holding.OTHER if self.copies.is_copying(key) else reclaims.holding(key, timestamp)
                    for key, timestamp in tombstones
                ]
            )
        )

    def _fetch(self, request: Request) -> Answer:
        message = parse(BlobFetch, request.metadata)
        if message.source == self._device_id:
            raise ValueError("a device has nothing to fetch from itself")
        return self._settling(self._fetched(message))

    async def _fetched(self, message: BlobFetch) -> Reply:
        try:
            await self.fetch(message.key, message.timestamp, message.source)
        except PeerUnavailable as error:
            raise RemoteError(Refusal.BUSY, f"device {message.source} cannot be asked: {error}") from error
        held = self._blobs.stat(message.key)
        newest = ZERO if held is None else held.timestamp
        if newest != message.timestamp and not self._blobs.had(message.key, message.timestamp):
            raise self._blobs.superseded(newest)
        return Reply()

    def _copy_out(self, request: Request) -> Answer:
        (key,) = request.metadata
        held = self._blobs.stat(key)
        self._budget.spend(0 if held is None else held.size)  # without waiting: a client's read may depend on it
        answer = self._blobs.get(BlobGet(key))
        return _with_bytes(*answer) if isinstance(answer, tuple) else self._get_later(answer)

    def _copy_many(self, request: Request) -> Answer:
        return answer_many(self._blobs, parse(BlobCopyMany, request.metadata), self._budget)

    def _confirm(self, request: Request) -> Answer:
        self._blobs.confirm_rows(request.metadata)
        return Reply()

    def _digests(self, request: Request) -> Answer:
        part_power, partitions = request.metadata
        return Reply(self._blobs.digests(part_power, partitions))

    def _subdigests(self, request: Request) -> Answer:
        part_power, partition = request.metadata
        return Reply(self._blobs.subdigests(part_power, partition))

    def _versions(self, request: Request) -> Answer:
        start, end, limit = request.metadata
        return Reply(self._blobs.versions(start, end, limit))

    # containers and accounts

    def _index_rows(self, request: Request) -> Answer:
        message = parse(IndexRows, request.metadata)
        self.client_requests += not message.moved
        rows = self._indexes.rows(message)
        if isinstance(rows, asyncio.Task):  # its database must be looked up first
            self._watched(rows)
        return Later(rows, Reply())

    def _index_create(self, request: Request) -> Answer:
        return self._settling(_done(self._indexes.create, parse(IndexCreate, request.metadata)))

    def _index_info(self, request: Request) -> Answer:
        message = parse(IndexInfo, request.metadata)
        answer = _replied(self._indexes.info, message)
        return answer if message.sync_from is None else self._settling(answer)

    def _index_list(self, request: Request) -> Answer:
        self.client_requests += 1
        message = parse(IndexList, request.metadata)
        answer = _replied(self._indexes.list, message)
        return answer if message.sync_from is None else self._settling(answer)

    def _index_freeze(self, request: Request) -> Answer:
        return self._settling(_replied(self._indexes.freeze, parse(IndexFreeze, request.metadata)))

    def _index_move(self, request: Request) -> Answer:
        return self._settling(_done(self._indexes.move, parse(IndexMove, request.metadata)))

    def _index_sample(self, request: Request) -> Answer:
        _kind, key, count = request.metadata
        return _replied(self._indexes.sample, key, count)

    def _index_reclaim(self, request: Request) -> Answer:
        message = parse(IndexReclaim, request.metadata)
        items = [parse(ReclaimedDatabase, values) for values in message.databases]
        if sum(max(1, len(item.names)) for item in items) > RECLAIM_LIMIT:
            raise ValueError("too many tombstones at a time")
        return self._settling(_replied(self._indexes.reclaim, message._replace(databases=tuple(items))))

    def _index_thaw(self, request: Request) -> Answer:
        return self._settling(_done(self._indexes.thaw, parse(IndexThaw, request.metadata)))

    def _index_inventory(self, request: Request) -> Answer:
        kind, start, end, limit = request.metadata
        return _replied(self._indexes.inventory_for_peers, kind, start, end, limit)

    def _index_changes(self, request: Request) -> Answer:
        return _replied(self._indexes.changes, parse(IndexChanges, request.metadata))

    def _scrub(self, request: Request) -> Answer:
        (now,) = request.metadata
        return Reply((dict(self.scrub(bool(now))),))

    def _answer_status(self, _request: Request) -> Answer:
        return Reply((dict(self._status()),))


def _if_older(version: Version | None, timestamp: Timestamp) -> Version | None:
    """Return what a write of `timestamp` has replaced. It may have been here before, and have been replaced itself."""
    return version if version is not None and version.timestamp < timestamp else None


def _is_manifest(version: Version | None) -> bool:
    return version is not None and not version.deleted and bool(version.flags & BlobFlag.MANIFEST)


async def _done(work: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> Reply:
    await work(*args, **kwargs)
    return Reply()


async def _replied(work: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> Reply:
    return Reply(await work(*args, **kwargs))


def _with_bytes(version: Version | None, data: Buffer | FileReader) -> Reply:
    """Return the reply with bytes that are in hand, or with those that are read as they are sent."""
    return Reply(version, body=data) if isinstance(data, FileReader) else Reply(version, data)


def pull_through(placement: Placement) -> Pull:
    """Return what asks peers for pages of changes."""

    async def pull(device_id: int, message: IndexChanges, _kind: DatabaseKind) -> Changes | None:
        peer = peer_of(placement, device_id)
        reply = await peer.call(Operation.INDEX_CHANGES, message, b"", FETCH_TIMEOUT_S)
        return None if reply.metadata is None else parse(Changes, reply.metadata)

    return pull
