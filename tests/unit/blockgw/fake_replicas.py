"""Devices that hold chunks, in memory, with everything that may go wrong: late, lost, killed, without power.

Content is kept by block of BLOCK bytes, so that a chunk of 4 MiB costs what was written of it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.interfaces import Pieces
from blockgw.volumes.replica import (
    Answered,
    Kind,
    Members,
    ReplicaStale,
    ReplicaUnavailable,
    Source,
    Stat,
    Status,
    Write,
)
from storage.quorum import Majority

BLOCK = 16  # bytes: of every write, aligned
CALL_S = 2.0
Place = tuple[int, int]  # layer, chunk


@dataclass
class Held:
    """What a device has of a chunk in a layer."""

    version: ChunkVersion = NOTHING
    blocks: dict[int, bytes] = field(default_factory=dict)  # start -> content

    def copy(self) -> "Held":
        return Held(self.version, dict(self.blocks))


class Device:
    """What is behind the network."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.run = 1
        self.up = True
        self.cached: dict[Place, Held] = {}  # what is there
        self.durable: dict[Place, Held] = {}  # what would be there after the power was lost
        self.fences: dict[int, int] = {}
        self.flush_count = 0
        self.full = False
        self.refused_count = 0  # writes, for want of room

    def lose_power(self) -> None:
        """Start again with what was durable."""
        self.cached = {place: held.copy() for place, held in self.durable.items()}
        self.run += 1

    def kill(self) -> None:
        """Start again; the page cache is still there."""
        self.run += 1

    def at(self, layer: int, chunk: int) -> Held:
        return self.cached.get((layer, chunk)) or Held()

    def write(self, layer: int, write: Write) -> Status:
        if write.version.epoch < self.fences.get(layer, 0):
            return Status.FENCED
        held = self.at(layer, write.chunk)
        if held.version.epoch == write.version.epoch and write.version <= held.version:  # it is here already
            if write.fua:
                self.flush()
            return Status.DONE
        if held.version != write.previous:
            return Status.STALE
        if self.full:
            self.refused_count += 1
            return Status.FULL
        if held.version == NOTHING and write.base is not None:
            base = self.at(write.base.layer, write.chunk)
            if base.version != write.base.version:
                return Status.STALE
            held = base.copy()
        else:
            held = held.copy()
        held.version = write.version
        if write.kind is Kind.WRITE and write.length:
            assert write.length == len(write.data) == BLOCK
            held.blocks[write.start] = bytes(write.data)
        elif write.length:
            for start in [start for start in held.blocks if write.start <= start < write.start + write.length]:
                del held.blocks[start]
        self.cached[layer, write.chunk] = held
        if write.fua:
            self.flush()
        return Status.DONE

    def flush(self) -> None:
        self.flush_count += 1
        self.durable = {place: held.copy() for place, held in self.cached.items()}


class Cluster:
    """Some devices, and who holds what."""

    def __init__(self, chance: random.Random, count: int = 4, replicas: int = 3) -> None:
        self.chance = chance
        self.devices = [Device(number) for number in range(count)]
        self.replicas = replicas
        self.links: list[Link] = []

    def network(self) -> "Network":
        """Return the way of one gateway to the devices."""
        return Network(self)


class Network:
    """Of one gateway. Placing."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.links = {device.number: Link(cluster, device) for device in cluster.devices}
        cluster.links += self.links.values()

    def members(self, chunk: int) -> Members:
        count = len(self._cluster.devices)
        numbers = [(chunk + index) % count for index in range(self._cluster.replicas)]
        return Members({number: self.links[number] for number in numbers}, Majority.of(numbers))


class Link:
    """One gateway's connection to one device: in order, late, cut at any time."""

    def __init__(self, cluster: Cluster, device: Device) -> None:
        self._cluster = cluster
        self.device = device
        self.connected = True
        self.slow_s = 0.0
        self._pending: set[asyncio.Future[object]] = set()
        self._epoch = 0  # of the connection: what was sent in another one does not arrive
        self._clear_at = 0.0
        self.frozen: list[Callable[[], None]] | None = None  # what arrives when it is thawed

    @property
    def up(self) -> bool:
        return self.connected and self.device.up

    def cut(self) -> None:
        """Lose the connection, and the answers that are under way; what was sent may arrive or not."""
        self._epoch += self._cluster.chance.random() < 0.7
        for future in list(self._pending):
            if not future.done():
                future.set_exception(ReplicaUnavailable("cut"))
        self._pending.clear()

    def _call(self, work: "Callable[[], object]") -> "asyncio.Future[object]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not self.up:
            future.set_exception(ReplicaUnavailable("down"))
            return future
        self._pending.add(future)
        loop.call_later(CALL_S, self._answer, future, ReplicaUnavailable("no answer"))
        sent_in = self._epoch

        def arrive() -> None:
            if self._epoch != sent_in or not self.device.up:
                return
            try:
                answer = work()
            except Exception as error:
                loop.call_later(self._delay(), self._answer, future, error)
            else:
                loop.call_later(self._delay(), self._answer, future, answer)

        if self.frozen is not None:
            self.frozen.append(arrive)
        else:
            at = max(self._clear_at, loop.time() + self._delay())  # in order
            self._clear_at = at
            loop.call_at(at, arrive)
        return future

    def thaw(self) -> None:
        """Let arrive what was held up."""
        held, self.frozen = self.frozen or [], None
        for arrive in held:
            arrive()

    def _answer(self, future: "asyncio.Future[object]", answer: object) -> None:
        self._pending.discard(future)
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _delay(self) -> float:
        return self._cluster.chance.uniform(0.0001, 0.002) + self.slow_s

    # Replica

    def stat(self, chunk: int, layers: Sequence[int]) -> "asyncio.Future[Stat]":
        device = self.device
        return self._call(  # type: ignore[return-value]
            lambda: Stat(
                tuple(device.at(layer, chunk).version for layer in layers), device.run, device.fences.get(layers[0], 0)
            )
        )

    def write(self, layer: int, writes: Sequence[Write]) -> "asyncio.Future[Answered]":
        device = self.device
        return self._call(  # type: ignore[return-value]
            lambda: Answered([device.write(layer, write) for write in writes], device.run)
        )

    def read(self, chunk: int, source: Source, start: int, length: int) -> "asyncio.Future[Pieces]":
        def work() -> Pieces:
            held = self.device.at(source.layer, chunk)
            if held.version < source.version:
                raise ReplicaStale
            assert length == BLOCK
            return (held.blocks.get(start, BLOCK),)

        return self._call(work)  # type: ignore[return-value]

    def extents(self, chunk: int, source: Source) -> "asyncio.Future[Sequence[tuple[int, int]]]":
        blocks = self.device.at(source.layer, chunk).blocks
        return self._call(lambda: [(start, BLOCK) for start in sorted(blocks)])  # type: ignore[return-value]

    def flush(self, layer: int) -> "asyncio.Future[int]":
        def work() -> int:
            self.device.flush()
            return self.device.run

        return self._call(work)  # type: ignore[return-value]

    def pull(self, chunk: int, source: Source, device: int) -> "asyncio.Future[object]":
        def work() -> None:
            giver = self._cluster.devices[device]
            held = giver.at(source.layer, chunk)
            if not giver.up or held.version < source.version:
                raise ReplicaStale
            if self.device.at(source.layer, chunk).version < held.version:
                self.device.cached[source.layer, chunk] = held.copy()

        return self._call(work)

    def fence(self, layer: int, epoch: int) -> "asyncio.Future[object]":
        def work() -> None:
            self.device.fences[layer] = max(epoch, self.device.fences.get(layer, 0))

        return self._call(work)
