"""One name: a linearizable register over the primaries of its key.

Small data is written in one round, optimistically: a replica that holds something newer says so, and
the write is repeated with a timestamp above that. Streamed data is prepared, then a quorum is asked
for the newest timestamp, then committed above it; from there on a replica that has gone further
counts as having taken the write, for the newer one can only be concurrent (Attiya, Bar-Noy, Dolev,
"Sharing Memory Robustly in Message-Passing Systems", JACM 1995).

At every await: what was not committed is invisible, and what was committed on fewer than a quorum is
either written back by the reader that meets it or overwritten.

While rings change, too (storage.client): each round takes its replicas once and sends under their
version, so its quorums are those of one version, whatever is published meanwhile. Devices that refuse it
as too old leave it in doubt, as lost answers do; it is begun again, whole, under newer rings:

- a write of small data under a new timestamp, which outdoes what the first may have left;
- a commit of streamed data under the same timestamp, which its replicas take once. Those that hold the data prepared
  commit it, by whatever version they were chosen; where these are no quorum by now, the others fetch it from one that
  has committed. It is acknowledged when quorums by the newest version have it, however long ago it began;
- a read as if it had not been. What it had written back, others may see: that is allowed at any time;
- a conditional write from its reservation on, by the caller: a reservation is of those that it was made on (`Hold`).
"""

import asyncio
import os
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.clock import HybridClock, Timestamp
from cluster.wire import BodyReader, Peer, PeerUnavailable, RemoteError, Reply
from proxy.http.message import Buffer
from proxy.objects.errors import NameContended, QuorumNotReached, Unavailable
from proxy.objects.rounds import (
    CALL_TIMEOUT_S,
    READ_TRIES,
    STALE_TRIES,
    Peers,
    ReadRound,
    Refused,
    StaleRings,
    Superseded,
    WriteRound,
    catch_up,
    close_body,
    in_turn,
    require_quorum,
    write,
    write_rest,
)
from proxy.objects.upload import Upload
from storage.client import Placement, Replicas
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
from storage.quorum import Settled, Unsettled, timestamp_of
from storage.rings.document import OBJECT

TRIES = 12  # of a write that others keep overtaking
CONTENTION_S = 5.0  # how long a write waits for conditional writes of others
RESERVATION_S = 10.0  # how long a conditional write may hold a name
READ_TIMEOUT_S = 5.0
COPY_TIMEOUT_S = 600.0  # of a large object, from one device to another

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


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to write a name, which its replicas have granted."""

    key: bytes
    token: bytes
    replicas: Replicas
    # timestamps of writes under it that were refused because the rings had changed: some replica may have taken them
    tried: set[Timestamp] = field(default_factory=set)


class Register:
    """Reads and writes names by key."""

    def __init__(self, placement: Placement, clock: HybridClock) -> None:
        self._placement = placement
        self._clock = clock
        self._turn = 0

    # writing

    async def put(
        self, key: bytes, flags: int, metadata: bytes, payload: Buffer, hold: Hold | None = None
    ) -> tuple[Timestamp, Version | None]:
        """Write small data; return its timestamp and what it replaced. Under a hold it may raise StaleRings."""
        token = None if hold is None else hold.token
        return await self._write(
            key, Operation.BLOB_PUT, lambda at: BlobPut(key, at, flags, metadata, token), payload, hold
        )

    async def delete(
        self, key: bytes, flags: int, metadata: bytes, hold: Hold | None = None
    ) -> tuple[Timestamp, Version | None]:
        """Write a tombstone; return its timestamp and what it replaced. Under a hold it may raise StaleRings."""
        token = None if hold is None else hold.token
        return await self._write(
            key, Operation.BLOB_DELETE, lambda at: BlobDelete(key, at, flags, metadata, token), b"", hold
        )

    async def _write(
        self, key: bytes, operation: Operation, message: Message, payload: Buffer, hold: Hold | None
    ) -> tuple[Timestamp, Version | None]:
        loop = asyncio.get_running_loop()
        waits = self._patience(loop)
        tried: set[Timestamp] = set()
        for _ in range(TRIES):
            replicas = self.replicas(key) if hold is None else hold.replicas
            require_quorum(replicas.members, replicas.writers)
            timestamp = self._clock.now()
            try:
                replies = await write(loop, replicas, operation, message(timestamp), payload)
            except Superseded as overtaken:
                self._clock.observe(overtaken.timestamp)
                if hold is not None:  # the condition was not decided on what is there now
                    raise NameContended("another writer came between") from overtaken
                tried.add(timestamp)
            except Refused as refused:
                if hold is not None and isinstance(refused, StaleRings):
                    hold.tried.update(tried, (timestamp,))
                    raise
                await waits.again(refused)
                tried.add(timestamp)
            else:
                return timestamp, _newest(replies.values(), but=tried)
        raise NameContended("other writers were always ahead")

    async def catch_up(self, stale: StaleRings) -> None:
        """Take newer rings, before what was refused is begun again. Raise Unavailable when they can't be read."""
        await catch_up(self._placement, stale)

    def _patience(self, loop: asyncio.AbstractEventLoop) -> "_Patience":
        return _Patience(loop, self._placement)

    async def upload(self, key: bytes, size: int | None) -> Upload:
        """Begin to stream data to the replicas of `key`. It stays nameless until `commit`."""
        replicas = self.replicas(key)
        require_quorum(replicas.members, replicas.writers)
        loop = asyncio.get_running_loop()
        return Upload(loop, replicas.members, replicas.writers, size, replicas.version)

    async def commit(
        self, key: bytes, upload: Upload, flags: int, metadata: bytes, hold: Hold | None = None
    ) -> tuple[Timestamp, Version | None]:
        """Name what `upload` has prepared; return its timestamp and what it replaced. As `put` under a hold."""
        loop = asyncio.get_running_loop()
        previous = await self.stat(key)
        waits = self._patience(loop)
        timestamp = upload.timestamp  # of a try before, which some replicas may have taken
        if timestamp is None or timestamp <= timestamp_of(previous):
            timestamp = upload.timestamp = self._clock.now()
        token = None if hold is None else hold.token
        message = BlobCommit(upload.upload_id, key, timestamp, flags, metadata, token)
        while True:
            replicas = self.replicas(key) if hold is None else hold.replicas
            try:
                replies = await self._commit_round(loop, replicas, upload, message).done
            except Refused as refused:
                if refused.code is Refusal.NOT_FOUND:  # replicas have lost the upload: they were restarted
                    raise QuorumNotReached(replicas.writers.tally().needed, 0, {-1: refused}) from refused
                if hold is not None and isinstance(refused, StaleRings):
                    hold.tried.add(timestamp)
                    raise
                await waits.again(refused)
            else:
                upload.forget(committed=replies)
                return timestamp, _newest(replies.values()) or previous

    def _commit_round(
        self, loop: asyncio.AbstractEventLoop, replicas: Replicas, upload: Upload, message: BlobCommit
    ) -> WriteRound:
        """Commit where the data is prepared; where it is not, have it fetched if it takes that to make a quorum.

        The rings may have changed since the upload began, so that others are replicas now.
        """
        prepared = [device_id for device_id, _peer in upload.prepared]
        version = replicas.version
        if replicas.writers.reached(prepared):
            round_ = WriteRound(loop, replicas.writers.among(prepared).tally())
            for device_id, peer in upload.prepared:
                if device_id in replicas.writers.members:
                    round_.add(device_id, _ahead_is_done(loop, peer, message, version))
            return round_
        round_ = WriteRound(loop, replicas.writers.tally())
        commits = {device_id: _ahead_is_done(loop, peer, message, version) for device_id, peer in upload.prepared}
        for device_id, peer in replicas.members:
            call = commits.get(device_id)
            round_.add(device_id, call or loop.create_task(_fetched_after(commits, peer, message, version)))
        return round_

    async def update(
        self, key: bytes, base: Version, flags: int, metadata: bytes, token: bytes | None = None
    ) -> Timestamp:
        """Put new metadata over the data of `base`. Raise Refused NOT_FOUND when it is not the newest any more."""
        loop = asyncio.get_running_loop()
        self._clock.observe(base.timestamp)
        waits = self._patience(loop)
        while True:
            replicas = self.replicas(key)
            require_quorum(replicas.members, replicas.writers)
            if not replicas.writers.reached([device_id for device_id, _peer in replicas.readers]):
                await self._spread(key, base, replicas)  # devices that join may lack it
            timestamp = self._clock.now()
            message = BlobUpdate(key, base.timestamp, timestamp, flags, metadata, token)
            try:
                await write(loop, replicas, Operation.BLOB_UPDATE, message)
            except Superseded:
                raise Refused(Refusal.NOT_FOUND) from None
            except Refused as refused:
                if refused.code is Refusal.NOT_FOUND and not await self._spread(key, base, replicas):
                    raise
                await waits.again(refused)
            else:
                return timestamp

    async def reserve(self, key: bytes) -> Hold:
        """Hold `key` on a quorum, so that others' commits wait. Ends by itself after a while."""
        loop = asyncio.get_running_loop()
        waits = self._patience(loop)
        while True:
            replicas = self.replicas(key)
            require_quorum(replicas.members, replicas.writers)
            hold = Hold(key, os.urandom(16), replicas)
            message = BlobReserve(key, hold.token, RESERVATION_S)
            try:
                await write(loop, replicas, Operation.BLOB_RESERVE, message)
            except Refused as refused:
                self.release(hold)
                await waits.again(refused)
            except (Unavailable, asyncio.CancelledError):
                self.release(hold)
                raise
            else:
                return hold

    def release(self, hold: Hold) -> None:
        """Let go of a name; nothing is awaited, for reservations end by themselves."""
        for _device_id, peer in hold.replicas.members:
            if peer.up:
                peer.send(Operation.BLOB_RELEASE, (hold.key, hold.token), hold.replicas.version)

    # reading

    async def stat(self, key: bytes) -> Version | None:
        """Return the current version without its metadata; None when there never was one."""
        return await self._version(key, Operation.BLOB_STAT)

    async def head(self, key: bytes) -> Version | None:
        """Return the current version (a tombstone, maybe); None when there never was one."""
        return await self._version(key, Operation.BLOB_HEAD)

    async def _version(self, key: bytes, operation: Operation) -> Version | None:
        def ask(peer: Peer, rings_version: int) -> "asyncio.Future[Reply]":
            return peer.call(operation, (key,), b"", READ_TIMEOUT_S, rings_version)

        for _ in range(TRIES):
            found = await self._read(key, ask)
            version = found.verdict.version
            if version is None or version.deleted or operation is Operation.BLOB_STAT:
                return version
            reply = found.current[0] if found.current else await self._ask_holder(found, operation, (key,))
            if reply is not None:
                return parse(Version, reply.metadata)
        raise NameContended("other writers were always ahead")

    async def get(self, key: bytes, start: int = 0, end: int | None = None) -> Held | None:
        """Return the current version with bytes [start, end) of its data; None when nothing is there."""
        wanted = BlobGet(key, start, end)

        def ask(peer: Peer, rings_version: int) -> "asyncio.Future[Reply]":
            return peer.call(Operation.BLOB_GET, wanted, b"", READ_TIMEOUT_S, rings_version)

        for _ in range(TRIES):
            found = await self._read(key, ask)
            for reply in found.current[1:]:
                close_body(reply)
            chosen = found.current[0] if found.current else None
            version = found.verdict.version
            if version is None or version.deleted:
                if chosen is not None:
                    close_body(chosen)
                return None
            if chosen is None:
                exact = BlobGet(key, start, end, version.timestamp)
                chosen = await self._ask_holder(found, Operation.BLOB_GET, exact)
            if chosen is not None:
                return Held(parse(Version, chosen.metadata), chosen.payload, chosen.body)
        raise NameContended("other writers were always ahead")

    async def get_version(self, key: bytes, version: Version, start: int, end: int | None) -> Held:
        """Return bytes of one version, which a quorum was found to hold. Raise Unavailable when nobody has it."""
        message = BlobGet(key, start, end, version.timestamp)
        for tries_left in reversed(range(STALE_TRIES)):
            replicas = self.replicas(key)
            holders = tuple(device_id for device_id, _peer in self._in_turn(replicas))
            found = _Found(replicas, Settled(version, holders), [])
            reply = await self._ask_holder(found, Operation.BLOB_GET, message)
            if reply is not None:
                return Held(parse(Version, reply.metadata), reply.payload, reply.body)
            if self._placement.rings.version == replicas.version or not tries_left:
                break
        raise Unavailable("the version has been replaced meanwhile")

    async def _read(self, key: bytes, ask: "Ask") -> "_Found":
        """Return the current version, and the answers to `ask` that give it."""
        for _ in range(STALE_TRIES):
            try:
                return await self._read_by(self.replicas(key), key, ask)
            except StaleRings as stale:
                await catch_up(self._placement, stale)
        raise Unavailable("the rings changed again and again")

    async def _read_by(self, replicas: Replicas, key: bytes, ask: "Ask") -> "_Found":
        for tries_left in reversed(range(READ_TRIES)):
            verdict, current = await self._ask_quorum(replicas, key, ask)
            if isinstance(verdict, Settled):
                return _Found(replicas, verdict, current)
            try:
                return _Found(replicas, await self._write_back(replicas, key, verdict), current)
            except BaseException as error:
                for reply in current:
                    close_body(reply)
                if not isinstance(error, Unavailable):
                    raise
                if verdict.without is not None:
                    return _Found(replicas, verdict.without, [])
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _ask_quorum(
        self, replicas: Replicas, key: bytes, ask: "Ask"
    ) -> tuple[Settled | Unsettled, list[Reply]]:
        readers = self._in_turn(replicas)
        require_quorum(readers, replicas.read_quorum)
        rings_version = replicas.version

        def ask_full(peer: Peer) -> "asyncio.Future[Reply]":
            return ask(peer, rings_version)

        def ask_version(peer: Peer) -> "asyncio.Future[Reply]":
            return peer.call(Operation.BLOB_STAT, (key,), b"", READ_TIMEOUT_S, rings_version)

        loop = asyncio.get_running_loop()
        round_ = ReadRound(loop, readers, replicas.read_quorum, ask_full, ask_version)
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

    async def _write_back(self, replicas: Replicas, key: bytes, found: Unsettled) -> Settled:
        """Bring the newest version that was seen to a quorum, so that no later read goes back behind it.

        That is to a quorum of those whom reads ask: what devices that join a partition lack, they copy.
        """
        loop = asyncio.get_running_loop()
        message = BlobFetch(key, found.version.timestamp, found.holders[0])
        try:
            replies = await write_rest(
                loop,
                replicas.readers,
                replicas.read_quorum,
                found.holders,
                Operation.BLOB_FETCH,
                message,
                READ_TIMEOUT_S,
                replicas.version,
            )
        except StaleRings:
            raise
        except (Refused, Superseded) as error:
            raise Unavailable(f"the newest version could not be brought to a quorum: {error}") from error
        return Settled(found.version, (*found.holders, *replies))

    async def _spread(self, key: bytes, base: Version, replicas: Replicas) -> bool:
        """Copy `base` to the replicas that miss it. Tell whether it is still the newest."""
        current = await self.stat(key)
        if current is None or current.timestamp != base.timestamp:
            return False
        rings_version = replicas.version
        versions = await asyncio.gather(
            *(
                peer.call(Operation.BLOB_STAT, (key,), b"", READ_TIMEOUT_S, rings_version)
                for _device, peer in replicas.members
            ),
            return_exceptions=True,
        )
        holders: list[tuple[int, Peer]] = []
        others: list[tuple[int, Peer]] = []
        for (device_id, peer), reply in zip(replicas.members, versions, strict=True):
            if isinstance(reply, BaseException):
                continue
            held = reply.metadata is not None and parse(Version, reply.metadata).timestamp == base.timestamp
            (holders if held else others).append((device_id, peer))
        fetches = [
            peer.call(
                Operation.BLOB_FETCH,
                BlobFetch(key, base.timestamp, holders[0][0]),
                b"",
                COPY_TIMEOUT_S,
                rings_version,
            )
            for _device, peer in others
            if holders
        ]
        await asyncio.gather(*fetches, return_exceptions=True)
        return bool(holders)

    async def _ask_holder(self, found: "_Found", operation: Operation, message: tuple[Any, ...]) -> Reply | None:
        """Ask one holder after the other for the version found; None when they have gone further meanwhile.

        Or the rings have: we have newer ones then.
        """
        reason = ""
        overtaken = False
        wanted = timestamp_of(found.verdict.version)
        for device_id in found.verdict.holders:
            peer = found.replicas.peer(device_id)
            try:
                reply = await peer.call(operation, message, b"", READ_TIMEOUT_S, found.replicas.version)
            except (PeerUnavailable, RemoteError) as error:
                if isinstance(error, RemoteError) and error.code == Refusal.STALE_RINGS:
                    await catch_up(self._placement, StaleRings(error.detail))
                    return None
                overtaken |= isinstance(error, RemoteError) and error.code == Refusal.NOT_FOUND
                reason = str(error)
                continue
            current, others = _divided([reply], wanted)
            if current:
                return reply
            for other in others:
                close_body(other)
            overtaken = True
        if overtaken:
            return None
        raise Unavailable(f"no replica gave the version that a quorum holds: {reason}")

    # whom to ask

    def replicas(self, key: bytes) -> Replicas:
        """Return the replicas of `key` by the rings of now."""
        return self._placement.replicas(OBJECT, key)

    def _in_turn(self, replicas: Replicas) -> Peers:
        """Return whom a read may ask, beginning with another one each time."""
        self._turn += 1
        return in_turn(replicas, self._turn)


Ask = Callable[[Peer, int], "asyncio.Future[Reply]"]  # a peer, under a version of the rings


@dataclass(frozen=True, slots=True)
class _Found:
    """What a read has come to: a version, who has it, and the answers that give it."""

    replicas: Replicas
    verdict: Settled
    current: list[Reply]


class _Patience:
    """Waits, a little longer each time, while a name or a container is held by somebody else."""

    __slots__ = ("_deadline", "_delay_s", "_loop", "_placement", "_stale_count")

    def __init__(self, loop: asyncio.AbstractEventLoop, placement: Placement) -> None:
        self._loop = loop
        self._placement = placement
        self._stale_count = 0
        self._deadline = loop.time() + CONTENTION_S
        self._delay_s = 0.002

    async def again(self, refused: Refused) -> None:
        """Sleep before the next try, or take newer rings. Raise when trying again can't help or has taken too long."""
        if isinstance(refused, StaleRings) and self._stale_count < STALE_TRIES:
            self._stale_count += 1
            await catch_up(self._placement, refused)
            return
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


def _ahead_is_done(
    loop: asyncio.AbstractEventLoop, peer: Peer, message: BlobCommit, rings_version: int
) -> "asyncio.Future[Reply]":
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
            outcome.exception()  # heard: nobody may ask for that of one from which others only fetch

    peer.call(Operation.BLOB_COMMIT, message, b"", CALL_TIMEOUT_S, rings_version).add_done_callback(answered)
    return outcome


async def _fetched_after(
    commits: "Mapping[int, asyncio.Future[Reply]]", peer: Peer, message: BlobCommit, rings_version: int
) -> Reply:
    """Have a replica copy an upload from the first that has committed it, or from another one."""
    failure: Exception = PeerUnavailable("nobody has committed")
    sources = {call: device_id for device_id, call in commits.items()}
    while sources:
        done, _ = await asyncio.wait(sources, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            source = sources.pop(call)
            try:
                call.result()
                fetch = BlobFetch(message.key, message.timestamp, source)
                return await peer.call(Operation.BLOB_FETCH, fetch, b"", COPY_TIMEOUT_S, rings_version)
            except (PeerUnavailable, RemoteError) as error:
                failure = PeerUnavailable(f"device {source}: {error}")
    raise failure
