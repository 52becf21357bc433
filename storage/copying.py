"""Versions of objects go from device to device: for replication, rebuilding, moves and read repair.

A copy is a version whole, under its own timestamp. It is no vote: whoever gives it says what is here, not that this is
all there should be. So a device that is rebuilding gives and takes copies (storage.membership).

Small objects go many at a time: one message asks for up to KEYS of them and brings up to BYTES of their data, for a
message each way costs several times what the object itself does. Larger ones come one by one, as streams.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.clock import Timestamp, microseconds_of, wall_us
from cluster.wire import Buffer, Peer, RemoteError, Reply
from storage.blobs.reader import FileReader
from storage.blobs.reads import GetAnswer
from storage.blobs.upload import Read
from storage.client import Placement
from storage.messages import COPY_ALONE, NEWER, BlobCopyMany, BlobGet, Operation, Refusal, Version, parse

FETCH_TIMEOUT_S = 30.0
GIVE_S = FETCH_TIMEOUT_S / 3  # within which small copies are given: who asks for them counts what is late as failed
LISTED_AFTER_S = 120.0  # a version that is fetched: by then those that took its write have seen to its row
KEYS = 32  # asked for at a time; more: the loop stands still for longer while they are read, and while they are stored
BYTES = 1 << 20  # of their data
ALONE_FROM = 256 << 10  # bytes from which on an object comes by itself

VERSION_COST = 16 << 10  # bytes, on top of its own, that an object counts for in a budget: it costs time, not bytes

Listed = tuple[bytes, Timestamp, bool]  # key, version, deleted
_Begun = tuple[bytes, int, "asyncio.Future[Any] | None"]  # key, size, what resolves when it is durable; None: it is
_Given = tuple[int, Version | None, Buffer]  # status, version, its data


class Blobs(Protocol):
    """The objects of this device (storage.blobs.store)."""

    def stat(self, key: bytes) -> Version | None:
        """Return the newest durable version, without metadata."""

    def get(self, message: BlobGet) -> GetAnswer | Awaitable[GetAnswer]:
        """Return the newest durable version and its bytes."""

    def pending(self, key: bytes) -> "asyncio.Future[Any] | None":
        """Return what resolves when a version that is on its way into the log is there."""

    async def install(
        self, key: bytes, version: Version, data: Buffer | Read = b"", listed: bool = False, replace: bool = False
    ) -> None:
        """Store a copy, unless something as new is here; with `replace`: something newer, or nothing at all."""

    def begin_install(
        self, key: bytes, version: Version, data: Buffer, listed: bool
    ) -> "asyncio.Future[Any] | None":
        """Store a small copy; return what resolves when it is durable, None when something as new is here."""


class Budget(Protocol):
    """Makes room for clients (storage.housekeeping.budget)."""

    async def took(self, size: int) -> None:
        """Wait until `size` bytes, which were moved just now, are within it."""


class GivingBudget(Budget, Protocol):
    """The same, of who gives copies to others."""

    def spend(self, size: int) -> None:
        """Count `size` bytes, for which others may have to wait."""


class Unlimited:
    """A budget that lets all through."""

    async def took(self, size: int) -> None:
        """Wait for nothing."""

    def spend(self, size: int) -> None:
        """Count nothing."""


UNLIMITED = Unlimited()


@dataclass(slots=True)
class Fetched:
    """What came of fetching many."""

    count: int = 0
    byte_count: int = 0
    overtaken_count: int = 0  # listed there, and not to be had when asked for
    failures: list[tuple[bytes, RemoteError]] = field(default_factory=list)  # by key


class Copies:
    """Fetches versions for one device."""

    def __init__(self, blobs: Blobs, placement: Placement, wall: Callable[[], int] = wall_us) -> None:
        self._blobs = blobs
        self._placement = placement
        self._wall_us = wall
        self._copying: dict[bytes, int] = {}  # keys of which copies are on their way here, and how many
        self.copied_objects = self.copied_bytes = 0  # whoever asked for them

    async def fetch(self, key: bytes, timestamp: Timestamp, source: int) -> None:
        """Copy version `timestamp` of `key`, or a newer one, from device `source`.

        Raise RemoteError (NOT_FOUND: it has neither), PeerUnavailable.
        """
        while not self.holds(key, timestamp):
            if not await self.settled(key):  # what was on its way may have been this very version
                await self._copy(key, timestamp, source)

    async def fetch_again(self, key: bytes, timestamp: Timestamp, source: int) -> None:
        """Put the copy of device `source` in the place of a version that is damaged here; as `fetch` otherwise.

        A key that is not here any more stays so.
        """
        await self._copy(key, timestamp, source, replace=True)

    async def fetch_many(self, versions: Sequence[Listed], source: int) -> Fetched:
        """The same for several keys. Raise PeerUnavailable when the source is gone; what came before stays."""
        fetched = Fetched()
        left = [listed for listed in versions if not self.holds(listed[0], listed[1])]
        while left:
            left = left[await self._fetch_some(left[:KEYS], source, fetched) :]
        return fetched

    def is_copying(self, key: bytes) -> bool:
        """Tell whether a copy of some version may arrive that was asked for already."""
        return key in self._copying

    @contextmanager
    def _noted(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Let it be known, within the block, that these are being copied."""
        noted = list(keys)
        copying = self._copying
        for key in noted:
            copying[key] = copying.get(key, 0) + 1
        try:
            yield
        finally:
            for key in noted:
                copying[key] -= 1
                if not copying[key]:
                    del copying[key]

    def holds(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether that version or a newer one is durable here."""
        held = self._blobs.stat(key)
        return held is not None and held.timestamp >= timestamp

    async def settled(self, key: bytes) -> bool:
        """Wait until what is on its way into the log is there, or has failed; tell whether anything was."""
        pending = self._blobs.pending(key)
        if pending is None:
            return False
        await asyncio.gather(pending, return_exceptions=True)
        return True

    async def _copy(self, key: bytes, timestamp: Timestamp, source: int, replace: bool = False) -> None:
        with self._noted((key,)):
            await self._copy_noted(key, timestamp, source, replace)

    async def _copy_noted(self, key: bytes, timestamp: Timestamp, source: int, replace: bool) -> None:
        reply = await self._ask(source, Operation.BLOB_COPY, (key,))
        version = None if reply.metadata is None else parse(Version, reply.metadata)
        try:
            data = reply.payload if reply.body is None else reply.body.read
            await self._install(key, timestamp, version, data, replace)
        finally:
            if reply.body is not None:
                reply.body.close()

    async def _fetch_some(self, asked: Sequence[Listed], source: int, fetched: Fetched) -> int:
        """Fetch at least the first of those; return how many."""
        if len(asked) == 1:
            await self._fetch_alone(asked[0], source, fetched)
            return 1
        with self._noted([listed[0] for listed in asked]):
            return await self._fetch_noted(asked, source, fetched)

    async def _fetch_noted(self, asked: Sequence[Listed], source: int, fetched: Fetched) -> int:
        reply = await self._ask(source, Operation.BLOB_COPY_MANY, BlobCopyMany(tuple([a[0] for a in asked]), BYTES))
        if not reply.metadata:
            raise RemoteError(Refusal.BAD_REQUEST, f"device {source} answers with nothing")
        payload, offset = memoryview(reply.payload), 0
        begun: list[_Begun] = []
        alone: list[Listed] = []
        for listed, (status, packed) in zip(asked, reply.metadata, strict=False):
            if status >= 0:
                self._begin(listed, packed, payload[offset : offset + status], begun, fetched)
                offset += status
            elif status == COPY_ALONE:
                alone.append(listed)
            else:
                fetched.failures.append((listed[0], RemoteError(-status, "as a copy")))
        await self._end(begun, fetched)
        for listed in alone:
            await self._fetch_alone(listed, source, fetched)
        return len(reply.metadata)

    def _begin(self, listed: Listed, packed: Any, data: Buffer, begun: "list[_Begun]", fetched: Fetched) -> None:
        """Begin to store a copy that has come."""
        key, timestamp, _deleted = listed
        version = None if packed is None else parse(Version, packed)
        if version is None or version.timestamp < timestamp:
            fetched.overtaken_count += 1
            return
        try:
            begun.append((key, len(data), self._blobs.begin_install(key, version, data, self._is_listed(version))))
        except RemoteError as error:
            fetched.failures.append((key, error))

    async def _end(self, begun: "list[_Begun]", fetched: Fetched) -> None:
        """Wait until what was begun is durable, and count it."""
        waited = [future for _key, _size, future in begun if future is not None]
        if waited:
            await asyncio.wait(waited)
        for key, size, future in begun:
            error = None if future is None or future.cancelled() else future.exception()
            if future is not None and future.cancelled():
                error = RemoteError(Refusal.BUSY, "the write was given up")
            if error is None:
                fetched.count += 1
                fetched.byte_count += size
                self._count(size)
            elif isinstance(error, RemoteError):
                fetched.failures.append((key, error))
            else:
                raise error

    async def _fetch_alone(self, listed: Listed, source: int, fetched: Fetched) -> None:
        await self._counted(listed, self.fetch(listed[0], listed[1], source), fetched)

    async def _counted(self, listed: Listed, work: Awaitable[None], fetched: Fetched) -> None:
        """Do it, and count what came of it. PeerUnavailable passes."""
        try:
            await work
        except RemoteError as error:
            if error.code == Refusal.NOT_FOUND or error.code in NEWER:
                fetched.overtaken_count += 1
            else:
                fetched.failures.append((listed[0], error))
            return
        held = self._blobs.stat(listed[0])
        fetched.count += 1
        fetched.byte_count += 0 if held is None else held.size

    async def _install(
        self, key: bytes, wanted: Timestamp, version: Version | None, data: Buffer | Read, replace: bool = False
    ) -> None:
        if version is None:
            raise RemoteError(Refusal.NOT_FOUND, "the source does not have it either")
        if version.timestamp < wanted:
            raise RemoteError(Refusal.NOT_FOUND, "the source has an older version")
        await self._blobs.install(key, version, data, self._is_listed(version), replace)
        self._count(version.size)

    def _is_listed(self, version: Version) -> bool:
        """Tell whether the row of a version is somebody else's care."""
        return (self._wall_us() - microseconds_of(version.timestamp)) / 1e6 > LISTED_AFTER_S

    def _count(self, size: int) -> None:
        self.copied_objects += 1
        self.copied_bytes += size

    def _ask(self, source: int, operation: Operation, metadata: Any) -> "asyncio.Future[Reply]":
        placement = self._placement
        return peer_of(placement, source).call(operation, metadata, b"", FETCH_TIMEOUT_S, placement.rings.version)


def peer_of(placement: Placement, device_id: int) -> Peer:
    """Return the connection to a device. Who names one that is in no ring any more goes by rings older than ours."""
    peer = placement.peers.get(device_id)
    if peer is None:
        raise RemoteError(Refusal.STALE_RINGS, placement.rings.version)
    return peer


# the giving side


async def answer_many(blobs: Blobs, message: BlobCopyMany, budget: Budget = UNLIMITED) -> Reply:
    """Return the first of the wanted versions that together have no more than the limit of data."""
    found: list[_Given] = []
    for key in message.keys[: _fitting(blobs, message)]:
        answer = _status_and_data(blobs, key)
        found.append(answer if isinstance(answer, tuple) else await answer)
    with suppress(TimeoutError):  # what is large, and was copied here, may keep the budget waiting for minutes
        async with asyncio.timeout(GIVE_S):
            await budget.took(sum([VERSION_COST + len(data) for _status, _version, data in found]))
    return Reply(
        tuple([(status, version) for status, version, _data in found]),
        b"".join([data for _status, _version, data in found]),
    )


def _fitting(blobs: Blobs, message: BlobCopyMany) -> int:
    """Return how many keys fit."""
    size = 0
    for count, key in enumerate(message.keys[:KEYS]):
        held = blobs.stat(key)
        if held is not None and held.size < ALONE_FROM:
            size += held.size
        if size > message.limit and count:
            return count
    return min(len(message.keys), KEYS)


def _status_and_data(blobs: Blobs, key: bytes) -> _Given | Awaitable[_Given]:
    held = blobs.stat(key)
    if held is not None and held.size >= ALONE_FROM:
        return COPY_ALONE, None, b""
    try:
        answer = blobs.get(BlobGet(key))
    except RemoteError as refusal:
        return -refusal.code, None, b""
    return _given(*answer) if isinstance(answer, tuple) else _given_later(answer)


async def _given_later(answer: Awaitable[GetAnswer]) -> _Given:
    try:
        return _given(*await answer)
    except RemoteError as refusal:
        return -refusal.code, None, b""


def _given(version: Version | None, data: Buffer | FileReader) -> _Given:
    if isinstance(data, FileReader):  # it was replaced by something larger meanwhile
        data.close()
        return COPY_ALONE, None, b""
    return len(data), version, data
