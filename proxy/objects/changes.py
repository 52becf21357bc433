"""What is written under a name: small data, a tombstone, an upload, other metadata over the same data.

Each is sent to the replicas at a timestamp of the writer's choice, as often as it takes: a replica that has it at that
timestamp takes it once. `base` is the version that the write was decided upon, with who holds it
(proxy.objects.decision); None when it was decided upon nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.clock import Timestamp
from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply
from proxy.http.message import Buffer
from proxy.objects.errors import QuorumNotReached
from proxy.objects.rounds import CALL_TIMEOUT_S, Refused, WriteRound, heard, write
from proxy.objects.upload import Upload
from storage import metadata as stored
from storage.client import Replicas
from storage.lineage import successor_of
from storage.messages import NEWER, BlobCommit, BlobDelete, BlobFetch, BlobPut, BlobUpdate, Operation, Refusal, Version
from storage.metadata import ObjectMetadata

COPY_TIMEOUT_S = 600.0  # of a large object, from one device to another

Calls = Mapping[int, "asyncio.Future[Reply]"]  # by device id


@dataclass(frozen=True, slots=True)
class Base:
    """What a write is decided upon."""

    version: Version | None  # with its metadata; None: there never was one
    holders: tuple[int, ...]  # devices that are known to have it


class Change(Protocol):
    """One write."""

    async def send(self, replicas: Replicas, timestamp: Timestamp, base: Base | None) -> dict[int, Any]:
        """Bring it to a quorum; return what those replicas answered. Superseded, Refused, QuorumNotReached."""


def _packed(metadata: ObjectMetadata, base: Base | None) -> bytes:
    """Encode metadata with what the version is decided upon."""
    if base is None:
        return stored.pack(metadata)
    return stored.pack(metadata, successor_of(base.version))


@dataclass(frozen=True, slots=True)
class Put:
    """Small data."""

    key: bytes
    flags: int
    metadata: ObjectMetadata
    payload: Buffer

    async def send(self, replicas: Replicas, timestamp: Timestamp, base: Base | None) -> dict[int, Any]:
        message = BlobPut(self.key, timestamp, self.flags, _packed(self.metadata, base))
        return await write(asyncio.get_running_loop(), replicas, Operation.BLOB_PUT, message, self.payload)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deletion."""

    key: bytes
    flags: int
    metadata: ObjectMetadata

    async def send(self, replicas: Replicas, timestamp: Timestamp, base: Base | None) -> dict[int, Any]:
        message = BlobDelete(self.key, timestamp, self.flags, _packed(self.metadata, base))
        return await write(asyncio.get_running_loop(), replicas, Operation.BLOB_DELETE, message)


@dataclass(slots=True)
class Prepared:
    """Data that was streamed to replicas. They may be others by now: the rings may have changed since it began."""

    key: bytes
    upload: Upload
    flags: int
    metadata: ObjectMetadata

    async def send(self, replicas: Replicas, timestamp: Timestamp, base: Base | None) -> dict[int, Any]:
        packed = _packed(self.metadata, base)
        message = BlobCommit(self.upload.upload_id, self.key, timestamp, self.flags, packed)
        try:
            return await self._round(replicas, message)
        except Refused as refused:
            if refused.code is Refusal.NOT_FOUND:  # replicas have lost the upload: they were restarted
                raise QuorumNotReached(replicas.writers.tally().needed, 0, {-1: refused}) from refused
            raise

    def _round(self, replicas: Replicas, message: BlobCommit) -> "asyncio.Future[dict[int, Any]]":
        """Commit where the data is prepared; where it is not, have it fetched if it takes that to make a quorum."""
        loop = asyncio.get_running_loop()
        version = replicas.version
        prepared = dict(self.upload.prepared)
        commits = {
            device_id: peer.call(Operation.BLOB_COMMIT, message, b"", CALL_TIMEOUT_S, version)
            for device_id, peer in prepared.items()
        }
        enough = replicas.writers.reached(prepared)
        tally = replicas.writers.among(prepared).tally() if enough else replicas.writers.tally()
        round_ = WriteRound(loop, tally, replicas.read_quorum)
        for device_id, peer in replicas.members:
            call = commits.get(device_id)
            if call is not None:
                others = {other: commit for other, commit in commits.items() if other != device_id}
                round_.add(device_id, _or_fetched(loop, call, others, peer, message, version))
            elif not enough:
                round_.add(device_id, loop.create_task(_fetched(commits, peer, message, version)))
        for device_id, call in commits.items():
            if device_id not in replicas.writers.members:
                round_.add_outsider(call)  # others only fetch from it
        return round_.done


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Other metadata over the data of the version that it is decided upon."""

    key: bytes
    change: Callable[[ObjectMetadata], ObjectMetadata]

    async def send(self, replicas: Replicas, timestamp: Timestamp, base: Base | None) -> dict[int, Any]:
        assert base is not None
        assert base.version is not None, "there is nothing to rewrite"
        version = base.version
        packed = _packed(self.change(stored.unpack(version.metadata)), base)
        return await _over(self.key, replicas, timestamp, version, base.holders, packed)


@dataclass(frozen=True, slots=True)
class Restamp:
    """The version that is there, once more under a newer timestamp: past promises to writes that failed."""

    key: bytes

    async def send(self, replicas: Replicas, timestamp: Timestamp, base: Base | None) -> dict[int, Any]:
        assert base is not None
        assert base.version is not None, "there is nothing to bring up"
        version = base.version
        lineage = stored.lineage_in(version.metadata)
        lineage = lineage._replace(origin=lineage.origin or version.timestamp)
        packed = stored.pack(stored.unpack(version.metadata), lineage)
        if version.deleted:
            message = BlobDelete(self.key, timestamp, version.flags, packed)
            return await write(asyncio.get_running_loop(), replicas, Operation.BLOB_DELETE, message)
        return await _over(self.key, replicas, timestamp, version, base.holders, packed)


def _over(
    key: bytes, replicas: Replicas, timestamp: Timestamp, version: Version, holders: tuple[int, ...], packed: bytes
) -> "asyncio.Future[dict[int, Any]]":
    """Put metadata over the data of `version` where that is; elsewhere have the outcome fetched from there."""
    loop = asyncio.get_running_loop()
    message = BlobUpdate(key, version.timestamp, timestamp, version.flags, packed)
    updates = {
        device_id: peer.call(Operation.BLOB_UPDATE, message, b"", CALL_TIMEOUT_S, replicas.version)
        for device_id, peer in replicas.members
    }
    known = {device_id: call for device_id, call in updates.items() if device_id in holders}
    round_ = WriteRound(loop, replicas.writers.tally(), replicas.read_quorum)
    for device_id, peer in replicas.members:
        call = known.get(device_id)
        if call is None:
            call = _or_fetched(loop, updates[device_id], known, peer, message, replicas.version)
        round_.add(device_id, call)
    return round_.done


def _or_fetched(
    loop: asyncio.AbstractEventLoop,
    call: "asyncio.Future[Reply]",
    sources: Calls,
    peer: Peer,
    message: BlobCommit | BlobUpdate,
    rings_version: int,
) -> "asyncio.Future[Reply]":
    """Return the answer to `call`; who lacks what it takes (NOT_FOUND) fetches the outcome from one of `sources`."""
    outcome: asyncio.Future[Reply] = loop.create_future()

    def answered(answer: "asyncio.Future[Reply]") -> None:
        if outcome.done():
            return
        error = PeerUnavailable("cancelled") if answer.cancelled() else answer.exception()
        if error is None:
            outcome.set_result(answer.result())
        elif isinstance(error, RemoteError) and error.code == Refusal.NOT_FOUND and answer is call and sources:
            loop.create_task(_fetched(sources, peer, message, rings_version)).add_done_callback(answered)
        else:
            outcome.set_exception(error)

    call.add_done_callback(answered)
    outcome.add_done_callback(heard)
    return outcome


async def _fetched(sources: Calls, peer: Peer, message: BlobCommit | BlobUpdate, rings_version: int) -> Reply:
    """Have a replica copy a version from the first of `sources` that has taken it, or from another one."""
    failure: Exception = PeerUnavailable("nobody has taken it")
    waiting = {call: device_id for device_id, call in sources.items()}
    while waiting:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for call in [call for call in waiting if call in done]:
            source = waiting.pop(call)
            taken = False
            try:
                call.result()
                taken = True
                fetch = BlobFetch(message.key, message.timestamp, source)
                return await peer.call(Operation.BLOB_FETCH, fetch, b"", COPY_TIMEOUT_S, rings_version)
            except PeerUnavailable as error:
                failure = PeerUnavailable(f"device {source}: {error}")
            except RemoteError as refusal:
                if taken and refusal.code in NEWER:  # it cannot tell what was here when this began, long ago
                    failure = RemoteError(Refusal.OVERTAKEN, refusal.detail)
                elif refusal.code in NEWER or refusal.code == Refusal.PROMISED:  # there is nothing to be fetched, ever
                    failure = RemoteError(Refusal.PROMISED, refusal.detail)
                else:
                    failure = PeerUnavailable(f"device {source}: {refusal}")
    raise failure
