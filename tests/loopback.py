"""A whole cluster in one process and one event loop, for tests of what only several devices can show.

Every device is real (log, blobs, indexes, service) in a directory of its own. Between them and their
clients lies `LoopbackPeer`, which has the interface of `cluster.wire.Peer` and calls the other side's
handler: never in the caller's turn of the loop, with metadata that has been through msgpack, with bodies under
the wire's own flow control. What can go wrong is switched on by the test, per client and device (`Faults`).
A crash of a device loses what it had in memory and leaves its files as they are.

Everybody goes by the rings that `publish` has made known to them; who is left out of that sleeps, and reads
them when a device refuses him.
"""

import asyncio
import contextlib
import functools
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import msgpack

from cluster.clock import HybridClock, wall_us
from cluster.environment import Environment
from cluster.threads import WaiterThreads
from cluster.wire import Buffer, Later, Peer, PeerUnavailable, RemoteError, Reply, Request
from cluster.wire.connection import fail, failed
from cluster.wire.flow import WINDOW, BodyReader, Inflow, Outflow
from proxy.objects.model import CommonPrefix, ListingQuery, NewObject, ObjectInfo, ObjectName
from proxy.objects.ranges import Range
from proxy.objects.service import ObjectService
from ring.builder import RingBuilder
from ring.device import Device
from ring.hashing import NameHash
from ring.lookup import Ring
from storage.blobs.store import BlobStore
from storage.chunks.store import ChunkStore
from storage.client import Placement, Rings
from storage.copying import UNLIMITED
from storage.disk import RealDisk
from storage.housekeeping.bookmark import FileBookmark
from storage.housekeeping.deletion import Deletion
from storage.housekeeping.expire import Expire
from storage.housekeeping.orphans import Orphans
from storage.housekeeping.promise import Promises
from storage.housekeeping.reclaim import Reclaim
from storage.housekeeping.reclaim_databases import ReclaimDatabases, elsewhere
from storage.housekeeping.replicate import Replicate
from storage.housekeeping.retire import Retire
from storage.housekeeping.rows import AddRows, Report, RowSender
from storage.housekeeping.settle import Settle
from storage.housekeeping.synchronize import Synchronize
from storage.housekeeping.throttle import Throttle
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.log.device import DeviceLog
from storage.membership.votes import Votes
from storage.messages import DatabaseKind
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT, Stage
from storage.service import DeviceService, pull_through

PART_POWER = 4
FIRST_PROXY = 1000  # node number of a proxy's clock
_INTERVAL_S = 3600.0  # tests take the steps of housekeeping themselves
_TUNING = Tuning(merge_delay_s=0.05)
_TIMEOUT_S = 60.0  # then it hangs, also where the machine has other things to do
TEXT = NewObject("text/plain")
MiB = 1 << 20
Made = TypeVar("Made")


class Loss(Enum):
    """What becomes of a call that is lost."""

    REQUEST = 1  # the device never hears of it
    REPLY = 2  # the device does it, and nobody hears of that


@dataclass(slots=True)
class Faults:
    """Of one connection. A test changes them at any time."""

    delay_s: float = 0.0  # each way
    # asked for each call: its operation number
    loss: Callable[[int], Loss | None] = lambda _operation: None


class _NoSync(RealDisk):
    """A disk that does not wait: a process that crashes leaves the page cache behind."""

    def fdatasync(self, fd: int) -> None: ...

    def fsync(self, fd: int) -> None: ...

    def fsync_directory(self, path: str) -> None: ...


class _Pipe:
    """One body on its way: both ends of the wire's flow control, and the wire between them."""

    writing_paused = False

    def __init__(self, peer: "LoopbackPeer") -> None:
        self._peer = peer
        self._loop = peer.loop
        self.inflow = Inflow(self, 0, WINDOW, 0.0)
        self.outflow = Outflow(self, 0, WINDOW)
        self.abandoned: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self._loop.time()

    def new_waiter(self) -> "asyncio.Future[None]":
        return self._loop.create_future()

    def defer(self, callback: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)

    def write_data(self, stream: int, piece: Buffer, length: int) -> None:
        del stream, length
        self._peer.later(self._feed, bytes(piece))

    def _feed(self, piece: bytes) -> None:
        if not self.inflow.finished:
            self.inflow.feed(piece)

    def give_credit(self, stream: int, length: int) -> None:
        del stream
        self._peer.later(self.outflow.add_credit, length)

    def abandon(self, stream: int) -> None:
        del stream
        self.abandoned()

    def end(self) -> None:
        """Send the end of the body."""
        self.outflow.end()
        self._peer.later(self.inflow.finish)

    def cut(self, error: Exception) -> None:
        """Let both ends know that nothing more comes."""
        self.outflow.end(error)
        self.inflow.finish(error)


class _Exchange:
    """One request and its answer."""

    def __init__(self, peer: "LoopbackPeer", request: Request, timeout_s: float) -> None:
        self._peer = peer
        self._request = request
        self._timeout_s = timeout_s
        self._running: asyncio.Future[Any] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loss: Loss | None = None
        self.upload: _Pipe | None = None  # of the request's body
        self._download: _Pipe | None = None  # of the reply's
        self.reply: asyncio.Future[Reply] = peer.loop.create_future()
        self.reply.add_done_callback(self._answered)

    def begin(self) -> None:
        """Send the request."""
        self._peer.exchanges.add(self)
        self._loss = self._peer.faults.loss(self._request.operation)
        if self._loss is Loss.REQUEST:
            self._peer.later(self.cut, PeerUnavailable("lost on the way"))
        else:
            self._peer.later(self._deliver)

    def expect_reply(self) -> None:
        """Begin to count the time that the reply may take."""
        error = PeerUnavailable(f"{self._peer.name}: no answer in {self._timeout_s} s")
        self._timer = self._peer.loop.call_later(self._timeout_s, self.cut, error)

    def cut(self, error: Exception) -> None:
        """End it here and there: the connection is lost, or nobody waits any more."""
        fail(self.reply, error)
        if isinstance(self._running, asyncio.Task):
            self._running.cancel()
        if self._sending is not None:
            self._sending.cancel()
        for pipe in (self.upload, self._download):
            if pipe is not None:
                pipe.cut(error)
        self._end()

    def _end(self) -> None:
        self._peer.exchanges.discard(self)

    def _answered(self, reply: "asyncio.Future[Reply]") -> None:
        if self._timer is not None:
            self._timer.cancel()
        if reply.cancelled():
            self.cut(PeerUnavailable("cancelled"))

    def _deliver(self) -> None:
        if self.reply.done():
            return
        try:
            outcome = self._peer.device.service.handle(self._request)
        except Exception as error:
            self._refuse(error)
            return
        if type(outcome) is Reply:
            self._answer(outcome)
        elif type(outcome) is Later:
            self._wait_for(outcome.future, outcome.reply)
        elif asyncio.isfuture(outcome):
            self._wait_for(outcome, None)
        else:
            assert asyncio.iscoroutine(outcome)
            self._wait_for(self._peer.loop.create_task(outcome), None)

    def _wait_for(self, future: "asyncio.Future[Any]", reply: Reply | None) -> None:
        self._running = future

        def finished(_future: "asyncio.Future[Any]") -> None:
            error = PeerUnavailable("the handler was cancelled") if future.cancelled() else future.exception()
            if error is not None:
                self._refuse(error)
            else:
                self._answer(future.result() if reply is None else reply)

        future.add_done_callback(finished)

    def _refuse(self, error: BaseException) -> None:
        if self.reply.done():
            return  # nobody waits any more, and the handler may have been told so
        if isinstance(error, RemoteError):
            copy = RemoteError(error.code, _copied(error.detail))
        else:
            self._peer.device.cluster.errors.append(error)
            copy = RemoteError(0, "internal")
        self._peer.later(self._fail, copy)

    def _fail(self, error: Exception) -> None:
        if self._loss is Loss.REPLY:
            error = PeerUnavailable("the refusal was lost")
        fail(self.reply, error)
        if self.upload is not None:
            self.upload.cut(error)
        self._end()

    def _answer(self, answer: Reply) -> None:
        body = answer.body
        if self.reply.done() or self._loss is Loss.REPLY:
            if body is not None:
                body.close()
            self._peer.later(self._fail, PeerUnavailable("the reply was lost"))
            return
        reply = Reply(_copied(answer.metadata), bytes(answer.payload))
        if body is not None:
            self._download = _Pipe(self._peer)
            self._download.abandoned = lambda: self._abandon(body)
            reply.body = BodyReader(self._download.inflow)
            self._sending = self._peer.loop.create_task(self._send(body, self._download))
        self._peer.later(self._hand_over, reply)

    def _hand_over(self, reply: Reply) -> None:
        if self.upload is not None:
            self.upload.outflow.end()
            self.upload.inflow.finish(PeerUnavailable("the request has been answered"))
        if not self.reply.done():
            self.reply.set_result(reply)
        self.reply = failed(self._peer.loop, PeerUnavailable("answered"))  # the body is its reader's alone
        if self._sending is None:
            self._end()

    def _abandon(self, body: Any) -> None:
        if self._sending is not None:
            self._sending.cancel()
        body.close()
        self._end()

    async def _send(self, body: AsyncIterator[Buffer], pipe: _Pipe) -> None:
        try:
            async for piece in body:
                await pipe.outflow.send(piece)
        except (RemoteError, PeerUnavailable) as error:
            pipe.inflow.finish(error)
        else:
            pipe.end()
        finally:
            body.close()  # type: ignore[attr-defined]
            self._end()


class _UploadStream:
    """What `cluster.wire.UploadStream` is."""

    def __init__(self, exchange: _Exchange, pipe: _Pipe) -> None:
        self._exchange = exchange
        self._reply = exchange.reply
        self._pipe = pipe
        self._finished = False
        self.try_send = pipe.outflow.try_send
        self.send = pipe.outflow.send

    def finish(self) -> "asyncio.Future[Reply]":
        """Send the end of the body; return the future of the reply."""
        if not self._finished and not self._pipe.outflow.ended:
            self._finished = True
            self._pipe.end()
            self._exchange.expect_reply()
        return self._reply

    def cancel(self) -> None:
        """Take the request back, unless it has been answered."""
        if not self._reply.done():
            self._exchange.cut(PeerUnavailable("cancelled"))


class LoopbackPeer:
    """A client's connection to a device."""

    latency_s = 0.001

    def __init__(self, cluster: "LoopbackCluster", device_id: int, client: str) -> None:
        self._cluster = cluster
        self.device_id = device_id
        self.name = f"{client} to device {device_id}"
        self.faults = Faults()
        self.exchanges: set[_Exchange] = set()
        self.sent: list[int] = []  # operations, in the order of the calls
        self._connected = True
        self._reconnections = 0

    def __repr__(self) -> str:
        return f"LoopbackPeer({self.name}, {'up' if self.up else 'down'})"

    @property
    def device(self) -> "LoopbackDevice":
        """The device at the other end."""
        return self._cluster.devices[self.device_id]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        return asyncio.get_running_loop()

    @property
    def up(self) -> bool:
        """Tell whether calls can be made."""
        return self._connected and self.device.running

    @property
    def busy(self) -> bool:
        """Tell whether something is under way."""
        return bool(self.exchanges)

    def start(self) -> None:
        """Do nothing: it is connected."""

    async def close(self) -> None:
        """Hang up."""
        self.disconnect()

    async def ready(self, timeout_s: float) -> bool:
        """Tell whether calls can be made."""
        del timeout_s
        return self.up

    def disconnect(self) -> None:
        """Lose the connection, and what is under way."""
        self._connected = False
        self.cut("the connection was lost")

    def reconnect(self) -> None:
        """Have the connection back."""
        self._connected = True
        self._reconnections += 1

    @property
    def connection_count(self) -> int:
        """How many connections there have been."""
        return self._reconnections + self.device.starts

    def cut(self, reason: str) -> None:
        """End what is under way."""
        for exchange in list(self.exchanges):
            exchange.cut(PeerUnavailable(f"{self.name}: {reason}"))

    def later(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call back when what is sent now arrives."""
        if self.faults.delay_s:
            self.loop.call_later(self.faults.delay_s, callback, *arguments)
        else:
            self.loop.call_soon(callback, *arguments)

    def call(
        self, operation: int, metadata: Any, payload: Buffer = b"", timeout_s: float = 5.0, tag: int = 0
    ) -> "asyncio.Future[Reply]":
        """Send a request; return the future of its reply."""
        self.sent.append(int(operation))
        if not self.up:
            return failed(self.loop, PeerUnavailable(f"{self.name}: down"))
        deadline = self.loop.time() + timeout_s
        request = Request(int(operation), _copied(metadata), bytes(payload), None, deadline, self, tag)
        exchange = _Exchange(self, request, timeout_s)
        reply = exchange.reply
        exchange.expect_reply()
        exchange.begin()
        return reply

    def send(self, operation: int, metadata: Any, tag: int = 0) -> None:
        """Send a request that nobody answers."""
        self.call(operation, metadata, tag=tag)

    def open(self, operation: int, metadata: Any, timeout_s: float, tag: int = 0) -> _UploadStream:
        """Begin a request with a streamed body."""
        self.sent.append(int(operation))
        pipe = _Pipe(self)
        body, deadline = BodyReader(pipe.inflow), self.loop.time() + timeout_s
        request = Request(int(operation), _copied(metadata), b"", body, deadline, self, tag)
        exchange = _Exchange(self, request, timeout_s)
        exchange.upload = pipe
        if self.up:
            exchange.begin()
        else:
            exchange.cut(PeerUnavailable(f"{self.name}: down"))
        return _UploadStream(exchange, pipe)


def _as_loopback(placement: Placement) -> Mapping[int, LoopbackPeer]:
    return cast(Mapping[int, LoopbackPeer], placement.peers)


def _copied(metadata: Any) -> Any:
    """Return `metadata` as the wire brings it: arrays are tuples, and nothing is shared."""
    return msgpack.unpackb(msgpack.packb(metadata), use_list=False)


class LoopbackDevice:
    """One device: what `storage.daemon` puts together, without sockets."""

    def __init__(self, cluster: "LoopbackCluster", device_id: int, directory: Path) -> None:
        self.cluster = cluster
        self.id = device_id
        self.directory = directory
        self.running = False
        self.starts = 0
        self.placement = cluster.placement(f"device {device_id}")
        self.log: DeviceLog
        self.blobs: BlobStore
        self.chunks: ChunkStore
        self.indexes: IndexStore
        self.service: DeviceService

    def __repr__(self) -> str:
        return f"LoopbackDevice({self.id}, {'running' if self.running else 'stopped'})"

    @property
    def peers(self) -> Mapping[int, LoopbackPeer]:
        """Connections to all devices."""
        return _as_loopback(self.placement)

    def start(self) -> None:
        """Open the directory, with recovery, and serve."""
        disk = _NoSync()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = DeviceLog(str(self.directory / "log"), disk=disk)
        tuning = replace(_TUNING, split_rows=self.cluster.split_rows)
        wall = self.cluster.time_us
        environment = Environment(wall_us=wall)
        pull = pull_through(self.placement)
        self.indexes = IndexStore(self.directory / "indexes", self.log, pull, tuning, environment)
        self.indexes.is_elsewhere = elsewhere(self.placement, self.id)
        self.indexes.recover()
        self.blobs = BlobStore(
            self.log, str(self.directory / "blobs"), self.cluster.ring.part_power, disk=disk, wall=wall
        )
        self.chunks = ChunkStore(str(self.directory), disk=disk)
        votes = self.cluster.votes(self)
        self.service = DeviceService(
            self.blobs, self.indexes, self.placement, self.id, dict, wall, votes, chunks=self.chunks
        )
        self.log.start()
        self.indexes.start()
        self.blobs.start()
        self.chunks.start()
        self.running = True
        self.starts += 1

    async def stop(self) -> None:
        """Stop as the daemon does at SIGTERM."""
        self._disconnect()
        await self.indexes.close()
        await self.chunks.close()
        await self.blobs.stop()
        await self.log.close()
        self.blobs.close()

    async def crash(self) -> None:
        """Lose all that is in memory: uploads, freezes, pending rows; nothing is checkpointed.

        What was handed to the log before is on disk.
        """
        self._disconnect()
        await self.chunks.crash()
        await self.blobs.stop()
        await self.log.close()
        self.blobs.index.close()
        await _drop(self.indexes)

    def _disconnect(self) -> None:
        self.running = False
        for peer in self.cluster.peers_of(self.id):
            peer.cut("the device is down")
        for peer in self.peers.values():
            peer.cut("we are going down")

    # housekeeping, step by step

    def replicate(self) -> Replicate:
        """Return the task that pulls objects from the other devices."""
        peers = self.placement.peers
        return Replicate(self.blobs, self.service.copies, self._rings, self.id, peers, _INTERVAL_S)

    def synchronize(self, kind: DatabaseKind) -> Synchronize:
        """Return the task that pulls databases."""
        return Synchronize(kind, self.indexes, self._rings, self.id, self.placement.peers, _INTERVAL_S)

    def _rings(self) -> Rings:
        return self.placement.rings

    def add_rows(self) -> AddRows:
        """Return the task that adds missing rows."""
        placement = self.cluster.placement(f"device {self.id}")
        renew = Settle(Promises(placement, HybridClock(FIRST_PROXY // 2 + self.id, self.cluster.time_us))).renew
        sender = RowSender(placement, lambda: self.indexes.floor)
        return AddRows(self.blobs, sender, placement, self.id, renew=renew)

    def reclaim(self, age_s: float) -> Reclaim:
        """Return the task that gives up tombstones older than `age_s`."""
        wall = self.cluster.time_us
        return Reclaim(self.blobs.reclaims, self.placement, self.id, age_s, Throttle(0), wall)

    def reclaim_databases(self, age_s: float) -> ReclaimDatabases:
        """Return the task that gives up rows and databases that were deleted longer ago than `age_s`."""
        placement, wall = self.placement, self.cluster.time_us
        return ReclaimDatabases(self.indexes, placement, self.id, age_s, RowSender(placement), Throttle(0), wall)

    def expire(self) -> Expire:
        """Return the task that deletes expired objects."""
        return Expire(self.blobs, self._deletion(), self.placement, self.id)

    def orphans(self, grace_s: float) -> Orphans:
        """Return the task that deletes parts that nothing names."""
        bookmark = FileBookmark(_NoSync(), str(self.directory), "orphans", WaiterThreads(1))
        sender, wall = RowSender(self.placement), self.cluster.time_us
        return Orphans(self.indexes, self._deletion(), sender, self.placement, self.id, bookmark, grace_s, wall)

    def retire(self, votes: Callable[[int], bool] = lambda _device_id: True) -> Retire:
        """Return the task that drops what should not be here; `votes` tells whether a device has its data."""
        chunks = self.service.chunks
        assert chunks is not None
        peers = self.placement.peers
        return Retire(
            self.id, self._rings, peers, self.blobs, self.indexes, UNLIMITED, chunks=chunks.upkeep, votes=votes
        )

    def _deletion(self) -> Deletion:
        clock = HybridClock(FIRST_PROXY // 2 + self.id)
        promises = Promises(self.placement, clock)
        return Deletion(promises, RowSender(self.placement), self.id, self.blobs.confirm_rows)

    def report(self) -> Report:
        """Return the task that tells accounts what their containers hold."""
        return Report(self.indexes, RowSender(self.placement))


async def _drop(indexes: IndexStore) -> None:
    """Close the files of an index store without writing what is pending into them."""
    for timer in (indexes._merge_timer, indexes._checkpoint_timer):
        if timer is not None:
            timer.cancel()
    await indexes._thread.run(indexes._shelf.close)
    indexes._thread.close()
    indexes._syncing.close()


@dataclass(slots=True)
class LoopbackProxy:
    """An object service with connections of its own."""

    service: ObjectService
    placement: Placement
    clock: HybridClock

    @property
    def peers(self) -> Mapping[int, LoopbackPeer]:
        """Connections to all devices."""
        return _as_loopback(self.placement)


class LoopbackCluster:
    """Devices, a ring over all of them or the first so many, and as many proxies as a test makes.

    async with LoopbackCluster(tmp_path) as cluster:
        service = cluster.proxy().service
    """

    def __init__(
        self,
        directory: Path,
        device_count: int = 4,
        replicas: int = 3,
        ring: Ring | None = None,
        split_rows: int = 0,
    ) -> None:
        self.names = NameHash(b"loop", b"back")
        self.ring = ring or ring_of(device_count, replicas)
        self.rings = rings_of(1, Stage.STABLE, 0, self.ring)  # what is published
        self.split_rows = split_rows  # of a container beyond which devices find that it is to be split; 0: never
        self.wall_offset_s = 0.0  # how far the devices' clocks are ahead of the proxies'
        self.errors: list[BaseException] = []  # that handlers raised and should not have
        self._peers: list[LoopbackPeer] = []
        self._proxies: list[LoopbackProxy] = []
        self.devices: list[LoopbackDevice] = []
        for number in range(device_count):
            self.devices.append(LoopbackDevice(self, number, directory / str(number)))

    def votes(self, device: LoopbackDevice) -> Votes:
        """Return what a device that has just recovered votes on: on everything, as long as none loses its data."""
        del device
        return Votes()

    def time_us(self) -> int:
        """Return what the devices take for the time."""
        return wall_us() + int(self.wall_offset_s * 1e6)

    async def __aenter__(self) -> Self:
        for device in self.devices:
            device.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for proxy in self._proxies:
            await proxy.service.close()
        for device in self.devices:
            if device.running:
                await device.crash()  # faster than a clean stop
        assert not self.errors, self.errors

    def placement(self, client: str) -> Placement:
        """Return a placement with connections of its own."""

        def connect(device: Device) -> Peer:
            peer = LoopbackPeer(self, device.id, client)
            self._peers.append(peer)
            return cast(Peer, peer)

        return Placement(self.names, self.rings, connect, lambda: self.rings)

    def publish(self, rings: Rings, asleep: Collection[Placement] = ()) -> None:
        """Let all know of newer rings but those who are `asleep`."""
        self.rings = rings
        for placement in (*(device.placement for device in self.devices), *self.proxy_placements()):
            if placement not in asleep:
                placement.update(rings)

    def proxy_placements(self) -> list[Placement]:
        """Return the placements of all proxies."""
        return [proxy.placement for proxy in self._proxies]

    def proxy(self, wall: Callable[[], int] = wall_us) -> LoopbackProxy:
        """Return another proxy."""
        number = len(self._proxies)
        placement = self.placement(f"proxy {number}")
        clock = HybridClock(FIRST_PROXY + number, wall)
        proxy = LoopbackProxy(ObjectService(placement, clock), placement, clock)
        self._proxies.append(proxy)
        return proxy

    # who holds what

    def key(self, account: str, container: str = "", name: str = "") -> bytes:
        """Return the key of an account, container or object."""
        return self.names.key(account, container, name)

    def holders(self, key: bytes) -> list[LoopbackDevice]:
        """Return the primaries of `key`, in ring order."""
        return [self.devices[device.id] for device in self.ring.primaries(self.ring.partition(key))]

    def peers_of(self, device_id: int) -> Iterator[LoopbackPeer]:
        """Yield all connections to a device."""
        return (peer for peer in self._peers if peer.device_id == device_id)

    async def quiet(self) -> None:
        """Wait until every replica has answered, and not only a quorum."""
        await until(lambda: not any(peer.busy for peer in self._peers))

    # faults

    def take_down(self, *devices: LoopbackDevice) -> None:
        """Cut devices off from everybody; they keep what they have and stay as they are."""
        for device in devices:
            for peer in (*self.peers_of(device.id), *device.peers.values()):
                peer.disconnect()

    def bring_back(self, *devices: LoopbackDevice) -> None:
        """Connect them again."""
        for device in devices:
            for peer in (*self.peers_of(device.id), *device.peers.values()):
                peer.reconnect()

    @contextlib.contextmanager
    def without(self, *devices: LoopbackDevice) -> Iterator[None]:
        """Do something while devices are down, so that they are stale afterwards."""
        self.take_down(*devices)
        try:
            yield
        finally:
            self.bring_back(*devices)

    def digests(self) -> list[dict[int, bytes]]:
        """Return, by device, the digest of each partition that it is a primary of."""
        found = []
        for device in self.devices:
            held = [
                partition
                for partition in range(self.ring.partition_count)
                if device.id in [primary.id for primary in self.ring.primaries(partition)]
            ]
            digests = device.blobs.digests(self.ring.part_power, held)
            found.append(dict(zip(held, digests, strict=True)))
        return found


def rings_of(version: int, stage: Stage, floor: int, current: Ring, target: Ring | None = None) -> Rings:
    """Return rings that place everything by the same ring."""
    names = (ACCOUNT, CONTAINER, OBJECT)
    goal = {} if target is None else dict.fromkeys(names, target)
    return Rings(version, floor, stage, dict.fromkeys(names, current), goal)


def ring_of(device_count: int, replicas: int) -> Ring:
    """Return a ring of small devices, each a zone of its own."""
    builder = RingBuilder.create(PART_POWER, replicas)
    for number in range(device_count):
        builder = builder.add(Device(number, 1, number, "127.0.0.1", 6000 + number, f"d{number}"))
    return builder.rebalance(seed=1, now_s=0)[0].to_ring()


class Pieces:
    """A request's body, given as pieces; `error` is raised where the end would be."""

    def __init__(
        self, pieces: Sequence[bytes], length: int | None = None, error: Exception | None = None
    ) -> None:
        self.length = length
        self._pieces = iter(pieces)
        self._error = error

    async def read(self) -> Buffer:
        """Return the next piece."""
        await asyncio.sleep(0)
        piece = next(self._pieces, b"")
        if not piece and self._error is not None:
            raise self._error
        return piece


def body_of(data: bytes, piece_size: int = 256 << 10) -> Pieces:
    """Return a body that is `data`."""
    return Pieces([data[at : at + piece_size] for at in range(0, len(data), piece_size)], len(data))


# what nearly every test says


def in_cluster(
    scenario: "Callable[[LoopbackCluster], Awaitable[None]]",
    device_count: int = 4,
    ring: Ring | None = None,
    split_rows: int = 0,
) -> Callable[[], None]:
    """Run the decorated test in a cluster of its own, in memory where the system has a place for that."""

    return played_in(
        lambda directory: LoopbackCluster(directory, device_count, ring=ring, split_rows=split_rows), scenario
    )


def played_in(
    make: Callable[[Path], AbstractAsyncContextManager[Made]], scenario: Callable[[Made], Awaitable[None]]
) -> Callable[[], None]:
    """Return a test that plays a scenario in what `make` makes, in memory where the system has a place for that."""

    async def play(directory: Path) -> None:
        async with make(directory) as made:
            async with asyncio.timeout(_TIMEOUT_S):
                await scenario(made)

    @functools.wraps(scenario)
    def test() -> None:
        memory = "/dev/shm"
        with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
            asyncio.run(play(Path(directory)))

    del test.__wrapped__  # pytest would take the scenario's arguments for fixtures
    return test


async def put(service: ObjectService, name: ObjectName, data: bytes, new: NewObject = TEXT) -> ObjectInfo:
    """Store `data`."""
    return await service.put_object(name, body_of(data), new)


async def get(service: ObjectService, name: ObjectName, wanted: Range | None = None) -> bytes:
    """Return the bytes of an object."""
    reader = await service.get_object(name, wanted)
    return b"".join([bytes(piece) async for piece in reader.pieces])


async def names_in(service: ObjectService, account: str, container: str, **query: Any) -> list[str]:
    """Return what a container lists."""
    listing = await service.list_container(account, container, ListingQuery(**query))
    return [item if isinstance(item, CommonPrefix) else item.name for item in listing.items]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that goes on behind an answer has happened."""
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110  what it waits for tells nobody
            await asyncio.sleep(0.002)
