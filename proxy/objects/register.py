"""One name: a linearizable register over the primaries of its key.

Small data is written in one round, optimistically, when all replicas are up: usually the writer's clock is ahead of all
versions that are there. Else, and for streamed data, a quorum is asked for the newest timestamp first, and the
version is committed above it (Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in Message-Passing Systems", JACM
1995). Success is a quorum that has taken it, whatever the others say. When too many hold something newer, it is tried
again: under another timestamp if nobody can have seen the first try; else as a write that is decided upon what is
there, which finds out what became of it (proxy.objects.decision). That is how writes with conditions begin.

At every await: what was not committed is invisible. What was committed on fewer than a quorum is overwritten; or a
reader that meets it brings it to one; or it is brought to a newer timestamp, when replicas have promised to take
nothing below that. A writer that cannot tell what became of its tries says so (NameContended): nobody was promised
anything. A writer or reader that dies leaves nothing that others would wait for.

While rings change, too (storage.client): each round takes its replicas once and sends under their
version, so its quorums are those of one version, whatever is published meanwhile. Devices that refuse it
as too old leave it in doubt, as lost answers do; it is begun again, whole, under newer rings:

- a write under the same timestamp, which replicas take once. Of streamed data, those that hold it prepared
  commit it, by whatever version they were chosen; where these are no quorum by now, the others fetch it from one that
  has committed. It is acknowledged when quorums by the newest version have it, however long ago it began;
- a read as if it had not been. What it had written back, others may see: that is allowed at any time;
- a write that is decided upon what is there from its promise on.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from cluster.clock import ZERO, HybridClock, Timestamp
from cluster.wire import BodyReader, Peer, PeerUnavailable, RemoteError, Reply
from proxy.http.message import Buffer
from proxy.objects.changes import Base, Change, Prepared, Put, Restamp, Rewrite, Tombstone
from proxy.objects.decision import Fate, Tries, fate
from proxy.objects.errors import NameContended, OutOfSpace, Unavailable
from proxy.objects.patience import CONTENTION_S, Patience
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
    write_rest,
)
from proxy.objects.upload import Upload
from storage.client import Placement, Replicas
from storage.messages import BlobFetch, BlobGet, BlobPromise, Operation, Refusal, Version, parse
from storage.metadata import ObjectMetadata
from storage.quorum import Settled, Unsettled, timestamp_of
from storage.rings.document import OBJECT, Stage

TRIES = 12  # of a read whose version others keep replacing
READ_TIMEOUT_S = 5.0
PROMISE_WAIT_S = 0.01  # for a write that a reader has met between its two phases
NEWER_READS = 3  # tries without a wait of a read whose version others replace just then
CONTENDED_READS = 16  # after so many, it has most likely lost its writer

Condition = Callable[[Version | None], None]  # raises what the client is told when the current version is not as wanted
Outcome = tuple[Timestamp, Version | None]  # of a write: its version, and the one that it replaced


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
        self, key: bytes, flags: int, metadata: ObjectMetadata, payload: Buffer, condition: Condition | None = None
    ) -> Outcome:
        """Write small data; return its timestamp and what it replaced. Raise what `condition` raises."""
        return await self._write(key, Put(key, flags, metadata, payload), condition)

    async def delete(
        self, key: bytes, flags: int, metadata: ObjectMetadata, condition: Condition | None = None
    ) -> Outcome:
        """Write a tombstone; return its timestamp and what it replaced. Raise what `condition` raises."""
        return await self._write(key, Tombstone(key, flags, metadata), condition)

    async def upload(self, key: bytes, size: int | None) -> Upload:
        """Begin to stream data to the replicas of `key`. It stays nameless until `commit`."""
        replicas = self.replicas(key)
        require_quorum(replicas.members, replicas.writers)
        loop = asyncio.get_running_loop()
        return Upload(loop, replicas.members, replicas.writers, size, replicas.version)

    async def commit(
        self, key: bytes, upload: Upload, flags: int, metadata: ObjectMetadata, condition: Condition | None = None
    ) -> Outcome:
        """Name what `upload` has prepared; return its timestamp and what it replaced. Raise what `condition` raises."""
        outcome = await self._write(key, Prepared(key, upload, flags, metadata), condition, ask_first=True)
        upload.forget()
        return outcome

    async def update(
        self, key: bytes, change: Callable[[ObjectMetadata], ObjectMetadata], condition: Condition
    ) -> Outcome:
        """Put other metadata over the data that is there; `condition` raises when there is none."""
        return await self._decide(key, Rewrite(key, change), condition, Tries())

    async def _write(
        self, key: bytes, change: Change, condition: Condition | None, ask_first: bool = False
    ) -> Outcome:
        if condition is not None:
            return await self._decide(key, change, condition, Tries())
        previous: Version | None = None
        asked = ask_first or self._placement.rings.stage is not Stage.STABLE
        asked = asked or not all(peer.up for _device, peer in self.replicas(key).members)
        if asked:
            previous = await self.stat(key)
        patience = self._patience()
        timestamp = self._clock.after(timestamp_of(previous))
        unseen: set[Timestamp] = set()
        doubt = False  # whether somebody may have taken `timestamp` when it was sent before
        while True:
            replicas = self.replicas(key)
            require_quorum(replicas.members, replicas.writers)
            try:
                replies = await change.send(replicas, timestamp, None)
            except Superseded as overtaken:
                self._clock.observe(overtaken.timestamp)
                if not overtaken.hidden and (doubt or not overtaken.clean):
                    tries = Tries()
                    tries.add(timestamp, asked or overtaken.asked)
                    return await self._decide(key, change, None, tries, previous)
                if unseen:
                    await patience.wait("other writers are ahead")
                unseen.add(timestamp)
                timestamp, doubt = self._clock.after(overtaken.timestamp), False
            except Refused as refused:
                doubt = doubt or not refused.clean
                await patience.again(refused)
            else:
                return timestamp, _newest(replies.values(), but=unseen) or previous

    async def _decide(
        self,
        key: bytes,
        change: Change,
        condition: Condition | None,
        tries: Tries,
        previous: Version | None = None,
    ) -> Outcome:
        """Write upon what is there, if `condition` agrees with that, in one step. Raise what it raises.

        `previous`: what the try has replaced that was sent before, if that is known and the try has happened.
        """
        patience = self._patience()
        floor = ZERO  # of what is there, or was promised: it may be far ahead
        while True:
            replicas = self.replicas(key)
            require_quorum(replicas.members, replicas.writers)
            timestamp = self._clock.after(floor)
            sent = False
            try:
                base = await self._promised(replicas, key, timestamp)
                became = fate(base.version, tries, condition is not None)
                if became is Fate.UNKNOWN:
                    raise NameContended("another writer came between, and this one may have happened before")
                if became is not Fate.NOTHING:  # it has happened, once what tells that is on a quorum
                    if not replicas.read_quorum.reached(base.holders) or became is Fate.NEWEST:
                        await Restamp(key).send(replicas, timestamp, base)
                    return (timestamp if became is Fate.NEWEST else max(tries.timestamps)), previous
                if condition is None or await self._agrees(key, condition, base, replicas, timestamp, tries):
                    sent = True
                    await change.send(replicas, timestamp, base)
                    return timestamp, base.version
                await patience.wait("other writers are at it")
            except Superseded as overtaken:
                floor = max(floor, overtaken.timestamp)
                self._clock.observe(floor)
                if sent and not overtaken.clean:
                    tries.add(timestamp, asked=True)
                    previous = base.version
                await patience.wait("other writers are ahead")
            except Refused as refused:
                if sent and not refused.clean:
                    tries.add(timestamp, asked=True)
                    previous = base.version
                await patience.again(refused)

    async def _promised(self, replicas: Replicas, key: bytes, timestamp: Timestamp) -> Base:
        """Have a read quorum take nothing below `timestamp` any more; return the newest that it has."""
        round_ = WriteRound(asyncio.get_running_loop(), replicas.read_quorum.tally(), replicas.read_quorum)
        message = BlobPromise(key, timestamp)
        for device_id, peer in replicas.readers:
            call = peer.call(Operation.BLOB_PROMISE, message, b"", CALL_TIMEOUT_S, replicas.version)
            round_.add(device_id, call)
        replies = dict(await round_.done)
        answers = {
            device_id: None if values is None else parse(Version, values) for device_id, values in replies.items()
        }
        newest = max(answers.values(), key=timestamp_of)
        if newest is not None:
            self._clock.observe(newest.timestamp)
            if newest.timestamp > timestamp:
                raise Superseded(newest.timestamp, clean=True)
        holders = [device for device, version in answers.items() if timestamp_of(version) == timestamp_of(newest)]
        return Base(newest, tuple(holders))

    async def _agrees(
        self, key: bytes, condition: Condition, base: Base, replicas: Replicas, timestamp: Timestamp, tries: Tries
    ) -> bool:
        """Tell whether `condition` agrees with `base`. Raise what it raises when that is what a quorum has.

        Who has not tried yet reads what that is. After a try a read may find that very try, or somebody bring it to a
        quorum later: so `base` is brought to one, past the promises that keep all tries out. Also from a quorum, if a
        try is newer: the condition has agreed with `base` then, and may change its mind as time passes.
        """
        try:
            condition(base.version)
        except Exception:
            hides_tries = timestamp_of(base.version) >= max(tries.timestamps, default=ZERO)
            if base.version is None or (hides_tries and replicas.read_quorum.reached(base.holders)):
                raise
            if tries.timestamps:
                await Restamp(key).send(replicas, timestamp, base)
                raise
            condition(await self.head(key))
            return False
        return True

    def _patience(self) -> Patience:
        return Patience(asyncio.get_running_loop(), self._placement)

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
        tries_left, contended_count = READ_TRIES, 0
        give_up_at = asyncio.get_running_loop().time() + CONTENTION_S
        while True:
            tries_left -= 1
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
                overtaken = error.__cause__
                if isinstance(overtaken, Superseded) and asyncio.get_running_loop().time() < give_up_at:
                    contended_count += 1
                    await self._let_pass(replicas, key, contended_count, overtaken)
                elif tries_left <= 0:
                    raise

    async def _let_pass(self, replicas: Replicas, key: bytes, count: int, overtaken: Superseded) -> None:
        """Wait for writers that keep what we have found from a quorum; if they seem to be gone, bring it past them."""
        if count % CONTENDED_READS == 0:
            await self._bring_up(replicas, key, overtaken.timestamp)
        elif overtaken.promised or count > NEWER_READS:  # at first, what is newer may be complete by now
            await asyncio.sleep(PROMISE_WAIT_S * random.uniform(0.5, 1.5))

    async def _bring_up(self, replicas: Replicas, key: bytes, floor: Timestamp) -> None:
        """Bring the newest version past promises that keep it from a quorum, whoever they were given to."""
        timestamp = self._clock.after(floor)
        try:
            base = await self._promised(replicas, key, timestamp)
            if base.version is not None and not replicas.read_quorum.reached(base.holders):
                await Restamp(key).send(replicas, timestamp, base)
        except StaleRings:
            raise
        except (Superseded, Refused, Unavailable) as error:
            if isinstance(error, Superseded):
                self._clock.observe(error.timestamp)

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
        except (OutOfSpace, Refused, Superseded) as error:
            raise Unavailable(f"the newest version could not be brought to a quorum: {error}") from error
        return Settled(found.version, (*found.holders, *replies))

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
