"""One name: a linearizable register over the primaries of its key.

Small data is written in one round, optimistically: a replica that holds something newer says so, and
the write is repeated with a timestamp above that. Streamed data is prepared, then a quorum is asked
for the newest timestamp, then committed above it; from there on a replica that has gone further
counts as having taken the write, for the newer one can only be concurrent (Attiya, Bar-Noy, Dolev,
"Sharing Memory Robustly in Message-Passing Systems", JACM 1995).

At every await: what was not committed is invisible, and what was committed on fewer than a quorum is
either written back by the reader that meets it or overwritten.
"""

import asyncio
import os
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from cluster.clock import HybridClock, Timestamp
from cluster.wire import BodyReader, Peer, PeerUnavailable, RemoteError, Reply
from proxy.http.message import Buffer
from proxy.objects.errors import NameContended, QuorumNotReached, Unavailable
from proxy.objects.rounds import (
    CALL_TIMEOUT_S,
    READ_TRIES,
    ReadRound,
    Refused,
    Replicas,
    Superseded,
    WriteRound,
    close_body,
    require_quorum,
    write,
)
from proxy.objects.upload import Upload
from storage.client import Placement
from storage.messages import (
    BlobCommit,
    BlobDelete,
    BlobFetch,
    BlobGet,
    BlobPut,
    BlobReserve,
    BlobUpdate,
    Operation,
    Refusal,
    Version,
    parse,
)
from storage.quorum import Settled, Unsettled, quorum_of, timestamp_of

TRIES = 12  # of a write that others keep overtaking
CONTENTION_S = 5.0  # how long a write waits for conditional writes of others
RESERVATION_S = 10.0  # how long a conditional write may hold a name
READ_TIMEOUT_S = 5.0

Message = Callable[[Timestamp], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Held:
    """A version that a quorum vouches for, with the bytes that were asked for."""

    version: Version
    payload: Buffer
    body: BodyReader | None  # the bytes, when they are streamed

    def close(self) -> None:
        """Cut off the stream, if the bytes come as one."""
        if self.body is not None:
            self.body.close()


class Register:
    """Reads and writes names by key."""

    def __init__(self, placement: Placement, clock: HybridClock) -> None:
        self._placement = placement
        self._clock = clock
        self._turn = 0

    # writing

    async def put(
        self, key: bytes, flags: int, metadata: bytes, payload: Buffer, token: bytes | None = None
    ) -> tuple[Timestamp, Version | None]:
        """Write small data; return its timestamp and what it replaced."""
        return await self._write(
            key,
            Operation.BLOB_PUT,
            lambda at: BlobPut(key, at, flags, metadata, token),
            payload,
            conditional=token is not None,
        )

    async def delete(
        self, key: bytes, flags: int, metadata: bytes, token: bytes | None = None
    ) -> tuple[Timestamp, Version | None]:
        """Write a tombstone; return its timestamp and what it replaced."""
        return await self._write(
            key,
            Operation.BLOB_DELETE,
            lambda at: BlobDelete(key, at, flags, metadata, token),
            b"",
            conditional=token is not None,
        )

    async def _write(
        self, key: bytes, operation: Operation, message: Message, payload: Buffer, conditional: bool
    ) -> tuple[Timestamp, Version | None]:
        replicas = self.replicas(key)
        needed = quorum_of(len(replicas))
        loop = asyncio.get_running_loop()
        waits = _Patience(loop)
        tried: set[Timestamp] = set()
        for _ in range(TRIES):
            require_quorum(replicas, needed)
            timestamp = self._clock.now()
            try:
                replies = await write(loop, replicas, needed, operation, message(timestamp), payload)
            except Superseded as overtaken:
                self._clock.observe(overtaken.timestamp)
                if conditional:  # the condition was not decided on what is there now
                    raise NameContended("another writer came between") from overtaken
                tried.add(timestamp)
            except Refused as refused:
                await waits.again(refused)
                tried.add(timestamp)
            else:
                return timestamp, _newest(replies.values(), but=tried)
        raise NameContended("other writers were always ahead")

    async def upload(self, key: bytes, size: int | None) -> Upload:
        """Begin to stream data to the replicas of `key`. It stays nameless until `commit`."""
        replicas = self.replicas(key)
        needed = quorum_of(len(replicas))
        require_quorum(replicas, needed)
        return Upload(asyncio.get_running_loop(), replicas, needed, size)

    async def commit(
        self, key: bytes, upload: Upload, flags: int, metadata: bytes, token: bytes | None = None
    ) -> tuple[Timestamp, Version | None]:
        """Name what `upload` has prepared; return its timestamp and what it replaced."""
        loop = asyncio.get_running_loop()
        previous = await self.stat(key)
        waits = _Patience(loop)
        timestamp = self._clock.now()
        while True:
            round_ = WriteRound(loop, upload.needed, len(upload.prepared))
            message = BlobCommit(upload.upload_id, key, timestamp, flags, metadata, token)
            for device_id, peer in upload.prepared:
                round_.add(device_id, _ahead_is_done(loop, peer, message))
            try:
                replies = await round_.done
            except Refused as refused:
                if refused.code is Refusal.NOT_FOUND:  # replicas have lost the upload: they were restarted
                    raise QuorumNotReached(upload.needed, 0, {-1: refused}) from refused
                await waits.again(refused)
            else:
                upload.forget(committed=replies)
                return timestamp, _newest(replies.values()) or previous

    async def update(
        self, key: bytes, base: Version, flags: int, metadata: bytes, token: bytes | None = None
    ) -> Timestamp:
        """Put new metadata over the data of `base`. Raise Refused NOT_FOUND when it is not the newest any more."""
        replicas = self.replicas(key)
        needed = quorum_of(len(replicas))
        require_quorum(replicas, needed)
        loop = asyncio.get_running_loop()
        self._clock.observe(base.timestamp)
        waits = _Patience(loop)
        while True:
            timestamp = self._clock.now()
            message = BlobUpdate(key, base.timestamp, timestamp, flags, metadata, token)
            try:
                await write(loop, replicas, needed, Operation.BLOB_UPDATE, message)
            except Superseded:
                raise Refused(Refusal.NOT_FOUND) from None
            except Refused as refused:
                if refused.code is Refusal.NOT_FOUND and not await self._spread(key, base, replicas):
                    raise
                await waits.again(refused)
            else:
                return timestamp

    async def reserve(self, key: bytes) -> bytes:
        """Hold `key` on a quorum, so that others' commits wait; return the token. Ends by itself after a while."""
        replicas = self.replicas(key)
        needed = quorum_of(len(replicas))
        loop = asyncio.get_running_loop()
        waits = _Patience(loop)
        while True:
            require_quorum(replicas, needed)
            token = os.urandom(16)
            message = BlobReserve(key, token, RESERVATION_S)
            try:
                await write(loop, replicas, needed, Operation.BLOB_RESERVE, message)
            except Refused as refused:
                self.release(key, token)
                await waits.again(refused)
            except (Unavailable, asyncio.CancelledError):
                self.release(key, token)
                raise
            else:
                return token

    def release(self, key: bytes, token: bytes) -> None:
        """Let go of `key`; nothing is awaited, for reservations end by themselves."""
        for _device_id, peer in self.replicas(key):
            if peer.up:
                peer.send(Operation.BLOB_RELEASE, (key, token))

    # reading

    async def stat(self, key: bytes) -> Version | None:
        """Return the current version without its metadata; None when there never was one."""
        return await self._version(key, Operation.BLOB_STAT)

    async def head(self, key: bytes) -> Version | None:
        """Return the current version (a tombstone, maybe); None when there never was one."""
        return await self._version(key, Operation.BLOB_HEAD)

    async def _version(self, key: bytes, operation: Operation) -> Version | None:
        def ask(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(operation, (key,), b"", READ_TIMEOUT_S)

        for _ in range(TRIES):
            verdict, replies = await self._read(key, ask)
            version = verdict.version
            if version is None or version.deleted or operation is Operation.BLOB_STAT:
                return version
            reply = replies[0] if replies else await self._ask_holder(verdict, operation, (key,))
            if reply is not None:
                return parse(Version, reply.metadata)
        raise NameContended("other writers were always ahead")

    async def get(self, key: bytes, start: int = 0, end: int | None = None) -> Held | None:
        """Return the current version with bytes [start, end) of its data; None when nothing is there."""
        wanted = BlobGet(key, start, end)

        def ask(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(Operation.BLOB_GET, wanted, b"", READ_TIMEOUT_S)

        for _ in range(TRIES):
            verdict, replies = await self._read(key, ask)
            for reply in replies[1:]:
                close_body(reply)
            chosen = replies[0] if replies else None
            version = verdict.version
            if version is None or version.deleted:
                if chosen is not None:
                    close_body(chosen)
                return None
            if chosen is None:
                exact = BlobGet(key, start, end, version.timestamp)
                chosen = await self._ask_holder(verdict, Operation.BLOB_GET, exact)
            if chosen is not None:
                return Held(parse(Version, chosen.metadata), chosen.payload, chosen.body)
        raise NameContended("other writers were always ahead")

    async def get_version(self, key: bytes, version: Version, start: int, end: int | None) -> Held:
        """Return bytes of one version, which a quorum was found to hold. Raise Unavailable when nobody has it."""
        message = BlobGet(key, start, end, version.timestamp)
        holders = tuple(device_id for device_id, _peer in self._in_turn(self.replicas(key)))
        reply = await self._ask_holder(Settled(version, holders), Operation.BLOB_GET, message)
        if reply is None:
            raise Unavailable("the version has been replaced meanwhile")
        return Held(parse(Version, reply.metadata), reply.payload, reply.body)

    async def _read(
        self, key: bytes, ask: "Callable[[Peer], asyncio.Future[Reply]]"
    ) -> tuple[Settled, list[Reply]]:
        """Return the current version, and the answers to `ask` that give it."""
        for tries_left in reversed(range(READ_TRIES)):
            verdict, current = await self._ask_quorum(key, ask)
            if isinstance(verdict, Settled):
                return verdict, current
            try:
                return await self._write_back(key, verdict), current
            except BaseException as error:
                for reply in current:
                    close_body(reply)
                if not isinstance(error, Unavailable):
                    raise
                if verdict.without is not None:
                    return verdict.without, []
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _ask_quorum(
        self, key: bytes, ask: "Callable[[Peer], asyncio.Future[Reply]]"
    ) -> tuple[Settled | Unsettled, list[Reply]]:
        replicas = self._in_turn(self.replicas(key))
        needed = quorum_of(len(replicas))
        require_quorum(replicas, needed)

        def ask_version(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(Operation.BLOB_STAT, (key,), b"", READ_TIMEOUT_S)

        round_ = ReadRound(asyncio.get_running_loop(), replicas, needed, ask, ask_version)
        try:
            verdict = await round_.done
        except BaseException:
            round_.abandon()
            raise
        if verdict.version is not None:
            self._clock.observe(verdict.version.timestamp)
        current, others = _divided(round_.replies.values(), timestamp_of(verdict.version))
        for reply in others:
            close_body(reply)
        return verdict, current

    async def _write_back(self, key: bytes, found: Unsettled) -> Settled:
        """Bring the newest version that was seen to a quorum, so that no later read goes back behind it."""
        loop = asyncio.get_running_loop()
        replicas = self.replicas(key)
        needed = quorum_of(len(replicas))
        stale = [(device, peer) for device, peer in replicas if device not in found.holders]
        message = BlobFetch(key, found.version.timestamp, found.holders[0])
        missing = needed - len(found.holders)
        try:
            replies = await write(loop, stale, missing, Operation.BLOB_FETCH, message, timeout_s=READ_TIMEOUT_S)
        except (Refused, Superseded) as error:
            raise Unavailable(f"the newest version could not be brought to a quorum: {error}") from error
        return Settled(found.version, (*found.holders, *replies))

    async def _spread(self, key: bytes, base: Version, replicas: Replicas) -> bool:
        """Copy `base` to the replicas that miss it. Tell whether it is still the newest."""
        current = await self.stat(key)
        if current is None or current.timestamp != base.timestamp:
            return False
        versions = await asyncio.gather(
            *(peer.call(Operation.BLOB_STAT, (key,), b"", READ_TIMEOUT_S) for _device, peer in replicas),
            return_exceptions=True,
        )
        holders: list[tuple[int, Peer]] = []
        others: list[tuple[int, Peer]] = []
        for (device_id, peer), reply in zip(replicas, versions, strict=True):
            if isinstance(reply, BaseException):
                continue
            held = reply.metadata is not None and parse(Version, reply.metadata).timestamp == base.timestamp
            (holders if held else others).append((device_id, peer))
        fetches = [
            peer.call(Operation.BLOB_FETCH, BlobFetch(key, base.timestamp, holders[0][0]), b"", READ_TIMEOUT_S)
            for _device, peer in others
            if holders
        ]
        await asyncio.gather(*fetches, return_exceptions=True)
        return bool(holders)

    async def _ask_holder(self, found: Settled, operation: Operation, message: tuple[Any, ...]) -> Reply | None:
        """Ask one holder after the other for the version found; None when they have gone further meanwhile."""
        failure: Exception | None = None
        overtaken = False
        for device_id in found.holders:
            try:
                reply = await self._placement.peers[device_id].call(operation, message, b"", READ_TIMEOUT_S)
            except (PeerUnavailable, RemoteError) as error:
                overtaken |= isinstance(error, RemoteError) and error.code == Refusal.NOT_FOUND
                failure = error
                continue
            current, others = _divided([reply], timestamp_of(found.version))
            if current:
                return reply
            for other in others:
                close_body(other)
            overtaken = True
        if overtaken:
            return None
        raise Unavailable(f"no replica gave the version that a quorum holds: {failure}")

    # whom to ask

    def replicas(self, key: bytes) -> Replicas:
        """Return the primaries of `key` in ring order."""
        return self._placement.replicas(self._placement.rings.object, key)

    def _in_turn(self, replicas: Replicas) -> Replicas:
        """Return the replicas, those that are up first, beginning with another one each time."""
        self._turn += 1
        first = self._turn % len(replicas)
        turned = (*replicas[first:], *replicas[:first])
        if all(peer.up for _device, peer in turned):
            return turned
        return sorted(turned, key=lambda replica: not replica[1].up)


class _Patience:
    """Waits, a little longer each time, while a name or a container is held by somebody else."""

    __slots__ = ("_deadline", "_delay_s", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._deadline = loop.time() + CONTENTION_S
        self._delay_s = 0.002

    async def again(self, refused: Refused) -> None:
        """Sleep before the next try. Raise when trying again can't help or has taken too long."""
        if refused.code is Refusal.BAD_REQUEST or refused.code is Refusal.NOT_HELD:
            raise QuorumNotReached(0, 0, {-1: refused})
        if self._loop.time() > self._deadline:
            raise NameContended(f"still {refused.code.name} after {CONTENTION_S} s")
        await asyncio.sleep(self._delay_s * random.uniform(0.5, 1.5))
        self._delay_s = min(self._delay_s * 1.6, 0.1)


def _divided(replies: Iterable[Reply], timestamp: Timestamp) -> tuple[list[Reply], list[Reply]]:
    """Return the replies that give the version `timestamp`, and the others.

    What a replica answered counts here, not what it was brought to since.
    """
    current: list[Reply] = []
    others: list[Reply] = []
    for reply in replies:
        version = None if reply.metadata is None else parse(Version, reply.metadata)
        (current if timestamp_of(version) == timestamp else others).append(reply)
    return current, others


def _newest(replies: Iterable[Any], but: Collection[Timestamp] = ()) -> Version | None:
    """Return the newest of the previous versions that the replicas of a commit tell of.

    `but`: our own earlier tries, which some of them may have taken.
    """
    newest: Version | None = None
    for values in replies:
        if values:
            version = parse(Version, values)
            if version.timestamp not in but and (newest is None or version.timestamp > newest.timestamp):
                newest = version
    return newest


def _ahead_is_done(loop: asyncio.AbstractEventLoop, peer: Peer, message: BlobCommit) -> "asyncio.Future[Reply]":
    """Commit on one replica; one that already holds something newer counts as having taken it."""
    outcome: asyncio.Future[Reply] = loop.create_future()

    def answered(call: "asyncio.Future[Reply]") -> None:
        if outcome.done():
            return
        error = call.exception() if not call.cancelled() else PeerUnavailable("cancelled")
        if error is None:
            outcome.set_result(call.result())
        elif isinstance(error, RemoteError) and error.code == Refusal.SUPERSEDED:
            peer.send(Operation.BLOB_ABORT, (message.upload_id,))  # a refused upload stays, else
            outcome.set_result(Reply(None))
        else:
            outcome.set_exception(error)

    peer.call(Operation.BLOB_COMMIT, message, b"", CALL_TIMEOUT_S).add_done_callback(answered)
    return outcome
