"""Storage devices as the replicas of a volume's chunks: the operations CHUNK_* of storage.messages.

While rings change, a chunk has the devices of both placements for members, and needs a quorum of each. Those that come
new to it have nothing of it, and copy it when it is touched. A device that finds our rings too old makes us read them;
what it refused is tried again by the new ones.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.extents import CHUNK
from blockgw.interfaces import Pieces
from blockgw.volumes.replica import (
    Answered,
    Kind,
    Members,
    NearRead,
    ReplicaStale,
    ReplicaUnavailable,
    Source,
    Stat,
    Status,
    Write,
)
from cluster.wire import Peer, RemoteError, Reply
from storage.chunks.key import chunk_key
from storage.chunks.near import NearFile, NearFiles
from storage.client import Placement
from storage.messages import ChunkFlag, ChunkPull, ChunkRead, ChunkWrite, Operation, Refusal
from storage.rings.document import OBJECT

CALL_S = 5.0
PULL_S = 30.0  # of 4 MiB, by a device that may be busy
_KINDS = {Kind.WRITE: 0, Kind.ZERO: ChunkFlag.ZERO, Kind.TRIM: ChunkFlag.TRIM}
_STATUSES = {
    int(Refusal.STALE_CHUNK): Status.STALE,
    int(Refusal.FENCED): Status.FENCED,
    int(Refusal.DEVICE_FULL): Status.FULL,
}


class DevicePlacing:
    """Where the chunks of one family lie. `Placing`."""

    def __init__(self, placement: Placement, family: bytes, epoch: int, near: NearFiles | None = None) -> None:
        """`epoch` is the writer's; `near` are the files of devices on this host."""
        self._placement = placement
        self._family = family
        self._epoch = epoch
        self._near = near
        self._version = 0  # of the rings, for
        self._devices: dict[int, DeviceReplica] = {}

    def members(self, chunk: int) -> Members:
        """Return the replicas of a chunk, by the rings of now."""
        replicas = self._placement.replicas(OBJECT, chunk_key(self._placement.names, self._family, chunk))
        devices = self.devices()
        members = {device: devices[device] for device, _peer in replicas.members}
        return Members(members, replicas.writers, self._nearest(members))

    def _nearest(self, members: Mapping[int, "DeviceReplica"]) -> "NearReplica | None":
        if self._near is None:
            return None
        here = next((replica for device, replica in members.items() if self._near.has(device)), None)
        return None if here is None else NearReplica(here, self._family, self._near)

    def devices(self) -> dict[int, "DeviceReplica"]:
        """Return all devices of the rings of now; the same objects as long as these are the same."""
        version = self._placement.rings.version
        if version != self._version:
            self._version = version
            self._devices = {
                device: DeviceReplica(device, peer, self._family, self._epoch, version, self._placement)
                for device, peer in self._placement.peers.items()
            }
        return self._devices


class DeviceReplica:
    """One device. `Replica`."""

    __slots__ = ("_epoch", "_family", "_loop", "_peer", "_placement", "_rings", "device")

    def __init__(
        self, device: int, peer: Peer, family: bytes, epoch: int, rings: int, placement: Placement
    ) -> None:
        self.device = device
        self._peer = peer
        self._family = family
        self._epoch = epoch
        self._rings = rings
        self._placement = placement
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"DeviceReplica({self.device}, by rings {self._rings})"

    @property
    def up(self) -> bool:
        """Whether it can be asked."""
        return self._peer.up

    def stat(self, chunk: int, layers: Sequence[int]) -> "asyncio.Future[Stat]":
        """Ask which versions of a chunk it has."""
        wanted = tuple(layers)

        def answered(reply: Reply) -> Stat:
            epoch, found = reply.metadata
            held = {layer: ChunkVersion(*version) for layer, version in found}
            return Stat(tuple(held.get(layer, NOTHING) for layer in wanted), self._peer.connection_count, epoch)

        return self._then(self._call(Operation.CHUNK_STAT, (self._family, wanted, chunk)), answered)

    def write(self, layer: int, writes: Sequence[Write]) -> "asyncio.Future[Answered]":
        """Make changes, in order, each for itself."""
        messages = tuple([self._message(layer, write) for write in writes])
        if len(messages) == 1:
            return self._write_one(messages[0], writes[0])
        payload = b"".join([write.data for write in writes])

        def answered(reply: Reply) -> Answered:
            statuses = [Status.DONE if each is None else _status(each[0]) for each in reply.metadata]
            return Answered(statuses, self._peer.connection_count)

        return self._then(self._call(Operation.CHUNK_WRITE_MANY, messages, payload), answered)

    def _write_one(self, message: ChunkWrite, write: Write) -> "asyncio.Future[Answered]":
        outcome: asyncio.Future[Answered] = self._loop.create_future()

        def answered(call: "asyncio.Future[Reply]") -> None:
            error = None if call.cancelled() else call.exception()
            if outcome.done():
                return
            if isinstance(error, RemoteError) and error.code in _STATUSES:
                outcome.set_result(Answered((_STATUSES[error.code],), 0))
            elif call.cancelled() or error is not None:
                outcome.set_exception(self._failure(error))
            else:
                outcome.set_result(Answered((Status.DONE,), self._peer.connection_count))

        self._call(Operation.CHUNK_WRITE, message, write.data).add_done_callback(answered)
        return outcome

    def _message(self, layer: int, write: Write) -> ChunkWrite:
        base = None if write.base is None else (write.base.layer, write.base.version)
        extents = ((write.start, write.length),) if write.length else ()
        flags = _KINDS[write.kind] | (ChunkFlag.FUA if write.fua else 0)
        return ChunkWrite(
            self._family,
            write.chunk,
            layer,
            base,
            write.version.epoch,
            write.version.sequence,
            write.previous,
            extents,
            flags,
        )

    def read(self, chunk: int, source: Source, start: int, length: int) -> "asyncio.Future[Pieces]":
        """Read from a layer that is at that version, or at a newer one of the same writer's."""
        assert start + length <= CHUNK
        message = ChunkRead(self._family, chunk, ((source.layer, source.version),), start, length, self._epoch)
        return self._then(
            self._call(Operation.CHUNK_READ, message), lambda reply: (reply.payload if reply.metadata[0] else length,)
        )

    def read_near(self, chunk: int, source: Source, start: int, length: int) -> "asyncio.Future[NearRead]":
        """The same, and whether the chunk is at rest at just that version."""
        message = ChunkRead(self._family, chunk, ((source.layer, source.version),), start, length, self._epoch)

        def answered(reply: Reply) -> NearRead:
            layer, at_rest = reply.metadata
            return NearRead((reply.payload if layer else length,), bool(layer and at_rest))

        return self._then(self._call(Operation.CHUNK_READ, message), answered)

    def extents(self, chunk: int, source: Source) -> "asyncio.Future[Sequence[tuple[int, int]]]":
        """Ask where a chunk of a layer has data."""
        call = self._call(Operation.CHUNK_EXTENTS, (self._family, chunk, source.layer))
        return self._then(call, lambda reply: [tuple(extent) for extent in reply.metadata])

    def map(self, layer: int, first: int, limit: int) -> "asyncio.Future[list[tuple[int, ChunkVersion, int]]]":
        """Ask which chunks of a layer it has, `limit` at most, from `first` on: number, version, bytes allocated."""
        call = self._call(Operation.CHUNK_MAP, (self._family, layer, first, limit), timeout_s=PULL_S)
        return self._then(
            call, lambda reply: [(number, ChunkVersion(*version), size) for number, version, size in reply.metadata]
        )

    def drop(self, layer: int) -> "asyncio.Future[object]":
        """Have it give up a layer, for ever."""
        call = self._call(Operation.CHUNK_DROP, (self._family, layer, None), timeout_s=PULL_S)
        return self._then(call, lambda reply: reply.metadata)

    def flush(self, layer: int) -> "asyncio.Future[int]":
        """Make durable all that it has answered; gives the connection in which that was."""
        call = self._call(Operation.CHUNK_FLUSH, (self._family, layer))
        return self._then(call, lambda _reply: self._peer.connection_count)

    def pull(self, chunk: int, source: Source, device: int) -> "asyncio.Future[object]":
        """Have it copy a layer's chunk, at that version or a newer one, from another device."""
        message = ChunkPull(self._family, chunk, source.layer, source.version, device)
        return self._then(self._call(Operation.CHUNK_PULL, message, timeout_s=PULL_S), lambda reply: reply.metadata)

    @property
    def run(self) -> int:
        """Which connection to it this is; what it said in another one it may have forgotten."""
        return self._peer.connection_count if self._peer.up else -1

    def fence(self, layer: int, epoch: int) -> "asyncio.Future[int]":
        """Have it take no change of that layer under an older epoch any more, durably; gives the connection."""
        call = self._call(Operation.CHUNK_FENCE, (self._family, layer, epoch))
        return self._then(call, lambda _reply: self._peer.connection_count)

    def _call(
        self, operation: Operation, message: Any, payload: Any = b"", timeout_s: float = CALL_S
    ) -> "asyncio.Future[Reply]":
        return self._peer.call(operation, message, payload, timeout_s, self._rings)

    def _then(self, call: "asyncio.Future[Reply]", make: Callable[[Reply], Any]) -> "asyncio.Future[Any]":
        """Return the future of what `make` makes of the reply; of our own errors when there is none."""
        outcome: asyncio.Future[Any] = self._loop.create_future()

        def answered(call: "asyncio.Future[Reply]") -> None:
            if outcome.done():
                return
            error = None if call.cancelled() else call.exception()
            if not call.cancelled() and error is None:
                try:
                    outcome.set_result(make(call.result()))
                    return
                except (ValueError, TypeError) as nonsense:  # nobody waits for ever for what cannot be understood
                    error = nonsense
            outcome.set_exception(self._failure(error))
            outcome.exception()  # who asks several may ignore some

        call.add_done_callback(answered)
        return outcome

    def _failure(self, error: BaseException | None) -> Exception:
        if isinstance(error, RemoteError):
            if error.code == Refusal.STALE_CHUNK:
                return ReplicaStale(str(error))
            if error.code == Refusal.STALE_RINGS:
                self._placement.refresh(error.detail)
        return ReplicaUnavailable(f"device {self.device}: {error}")


class NearReplica:
    """One device that is on this host. `Near`."""

    __slots__ = ("_family", "_files", "_replica")

    def __init__(self, replica: DeviceReplica, family: bytes, files: NearFiles) -> None:
        self._replica = replica
        self._family = family
        self._files = files

    @property
    def device(self) -> int:
        """Which one."""
        return self._replica.device

    def read(self, chunk: int, source: Source, start: int, length: int) -> "asyncio.Future[NearRead]":
        """Ask the device."""
        return self._replica.read_near(chunk, source, start, length)

    def open(self, chunk: int, source: Source) -> NearFile | None:
        """Open the file of a layer's chunk that is at rest."""
        return self._files.open(self.device, self._family, chunk, source.layer)


def _status(code: int) -> Status:
    return _STATUSES.get(code, Status.FAILED)
