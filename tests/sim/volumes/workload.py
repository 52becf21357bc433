"""Guests and operators: what they ask of volumes, by seed, and what they note of the answers.

The clients of a volume read, write and flush it through whichever gateway they are connected to. One that meets an
error, or a gateway that has died, goes elsewhere, and sometimes a guest is started anew. An operator takes snapshots,
rolls back, cuts off and clones meanwhile; others read the snapshots through any gateway.
"""

import asyncio
import contextlib
import inspect
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from blockgw.catalog.errors import CatalogError
from blockgw.catalog.volume import Volume
from blockgw.errors import ShuttingDown, VolumeError
from blockgw.export import VolumeExport
from blockgw.extents import CHUNK
from blockgw.interfaces import Client as NbdClient
from blockgw.volumes.flush import WritesLost
from tests.sim.process import Process
from tests.sim.volumes.history import (
    BLOCK,
    UNKNOWN,
    ZEROS,
    Content,
    Disk,
    Flush,
    Read,
    Snapshot,
    Write,
    block_of,
    tag_of,
    value_of,
)
from tests.sim.volumes.shape import VolumeShape
from tests.sim.volumes.world import GatewayHost, VolumeWorld, WatchedGateway

CHUNKS = 3  # of a volume
BLOCKS = 5  # of a chunk that are used, from the first on
RUN = 3  # blocks of a request, at most
SNAPSHOTS = 4  # of a volume
VOLUMES = 3  # with clones, from which on none is made
PATIENCE_S = 90.0  # at the end, until a volume can be used
CLIENT = NbdClient("")
_GIVE_UP_S = (1.0, 5.0, 30.0)


class Unanswered(VolumeError):
    """The gateway has died, or the client has not waited for it."""


@dataclass(eq=False)
class Guest:
    """A volume in use."""

    disk: Disk
    where: GatewayHost  # its clients are mostly there
    paused: bool = False  # nobody may use it
    booting_until: float = 0.0
    clients: list["Client"] = field(default_factory=list)
    writing: set[tuple[int, int]] = field(default_factory=set)  # (epoch, offset): of one writer at a time


class Workload:
    """All of them."""

    def __init__(self, world: VolumeWorld, shape: VolumeShape) -> None:
        self.world = world
        self.shape = shape
        self.chance = world.chance.stream("workload")
        self.guests: list[Guest] = []
        self.done = False
        self.unexpected: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = 0
        for host in world.gateways:
            host.send_away = self._send_away

    # beginning and ending

    async def begin(self) -> None:
        """Make volumes; have clients use them from now on."""
        for number in range(self.shape.volume_count):
            name = f"v{number}"
            host = self.chance.choice(self.world.gateways)
            await self._create(host, name)
            self.add(Disk(name, self._offsets()), host, self.shape.client_count)

    async def _create(self, host: GatewayHost, name: str) -> None:
        assert host.gateway is not None
        await self.call(host, lambda gateway: gateway.create(name, CHUNKS * CHUNK))

    def add(self, disk: Disk, host: GatewayHost, client_count: int) -> None:
        """Have clients use a volume."""
        guest = Guest(disk, host)
        self.guests.append(guest)
        chance = self.world.chance
        for number in range(client_count):
            client = Client(self, guest, chance.stream(f"client {number} of {disk.name}"), number == 0)
            guest.clients.append(client)
            self._begin(client.run())
        self._begin(Operator(self, guest, chance.stream(f"operator of {disk.name}")).run())
        self._begin(self._read_snapshots(guest, chance.stream(f"snapshots of {disk.name}")))

    def _begin(self, work: Any) -> None:
        self._tasks.append(self.world.background(work))

    async def end(self) -> None:
        """Let clients finish what they do, and go."""
        self.done = True
        while waiting := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(waiting)
        for task in self._tasks:
            task.result()

    def _offsets(self) -> tuple[int, ...]:
        found = {chunk * CHUNK + block * BLOCK for chunk in range(CHUNKS) for block in range(BLOCKS)}
        if self.shape.spans_chunks:
            found |= {CHUNK - block * BLOCK for block in range(1, RUN + 1)}
        return tuple(sorted(found))

    def number(self) -> int:
        """Return a number that no write had before."""
        self._numbers += 1
        return self._numbers

    def _send_away(self, host: GatewayHost, name: str) -> None:
        for guest in self.guests:
            if guest.disk.name == name:
                for client in guest.clients:
                    if client.host is host:
                        client.hung_up = True

    # calling a gateway

    async def call(
        self, host: GatewayHost, work: Callable[[WatchedGateway], Awaitable[Any]], give_up_s: float = UNKNOWN
    ) -> Any:
        """Return what a gateway answers. Raise VolumeError and CatalogError as it does; Unanswered."""
        gateway, process = host.gateway, host.process
        if gateway is None or process is None:
            raise Unanswered(f"{host.name} is down")
        error, result = await self._finished(process, _outcome(lambda: work(gateway)), give_up_s)
        if isinstance(error, VolumeError | CatalogError):
            raise error
        if error is not None:
            self.unexpected.append(f"{host.name}: {error!r}")
            raise Unanswered(str(error))
        return result

    async def _finished(self, process: Process, work: Any, give_up_s: float) -> tuple[Exception | None, Any]:
        over = asyncio.Event()
        process.on_death(lambda _power_lost: over.set())
        task = process.spawn(work)
        task.add_done_callback(lambda _task: over.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if give_up_s == UNKNOWN else give_up_s):
                await over.wait()
        if task.done() and process.alive and not task.cancelled():
            outcome: tuple[Exception | None, Any] = task.result()
            return outcome
        if process.alive:
            task.cancel()
        return Unanswered("no answer"), None

    # snapshots

    async def _read_snapshots(self, guest: Guest, chance: random.Random) -> None:
        while not self.done:
            await asyncio.sleep(chance.uniform(0.1, 2.0))
            if guest.disk.snapshots:
                snapshot = chance.choice(guest.disk.snapshots)
                offsets = chance.sample(guest.disk.offsets, 3)
                with contextlib.suppress(VolumeError, CatalogError):
                    await self.read_snapshot(chance.choice(self.world.gateways), snapshot, offsets)

    async def read_snapshot(self, host: GatewayHost, snapshot: Snapshot, offsets: Any) -> None:
        """Read some blocks of a snapshot."""
        name = f"{snapshot.volume}@{snapshot.name}"

        async def work(gateway: WatchedGateway) -> None:
            export = await gateway.open(name, CLIENT)
            for offset in offsets:
                if offset + BLOCK <= export.size:
                    data = joined(await _answer(export.read(offset, BLOCK)))
                    snapshot.reads.setdefault(offset, []).append(value_of(data))
            gateway.release(export)

        await self.call(host, work, 20.0)

    # the end

    async def look(self, host: GatewayHost, writes: bool = False) -> list[str]:
        """Read all that there is through a gateway, and keep it open; return what could not be read."""
        wrong = []
        for guest in self.guests:
            client = Client(self, guest, self.chance)
            deadline = self.world.loop.time() + PATIENCE_S
            while not await self._looked(client, guest, host, writes):
                if self.world.loop.time() > deadline:
                    wrong.append(f"{guest.disk.name} cannot be used: {client.error!r}")
                    break
                await asyncio.sleep(0.5)
        return wrong

    async def _looked(self, client: "Client", guest: Guest, host: GatewayHost, writes: bool) -> bool:
        client.error = None
        if client.export is None or client.error is not None:
            client.disconnect()
            await client.connect(host)
        if client.export is None:
            return False
        for offset in guest.disk.offsets:
            if offset + BLOCK <= client.export.size:
                await client.read(offset, BLOCK)
                if writes and client.error is None:
                    await client.write(offset, BLOCK)
        await client.flush()
        if client.error is not None:
            client.disconnect()
            return False
        for snapshot in guest.disk.snapshots:
            try:
                await self.read_snapshot(host, snapshot, guest.disk.offsets)
            except (VolumeError, CatalogError) as error:
                client.error = error
                return False
        return True


class Client:
    """Of one volume, with one connection at a time."""

    def __init__(self, load: Workload, guest: Guest, chance: random.Random, roves: bool = False) -> None:
        """`roves`: it looks for the volume at any gateway, again and again, whatever the others do."""
        self._load = load
        self._world = load.world
        self._guest = guest
        self._roves = roves
        self._disk = guest.disk
        self._chance = chance
        self.host: GatewayHost | None = None
        self.export: VolumeExport | None = None
        self.hung_up = False
        self.error: Exception | None = None  # the last one
        self._reads_until = 0.0  # it begins as a guest does: for a while it only reads

    async def run(self) -> None:
        """Use the volume until the end."""
        chance = self._chance
        while not self._load.done:
            if self.hung_up or self._guest.paused or self._now() < self._guest.booting_until:
                self.disconnect()
                await asyncio.sleep(0.1)
            elif self.export is None:
                if chance.random() < self._load.shape.moves:
                    self._guest.where = chance.choice(self._world.gateways)
                await self.connect(chance.choice(self._world.gateways) if self._roves else self._guest.where)
                if self.export is None:
                    await asyncio.sleep(chance.uniform(0.05, 1.0))
            else:
                await self._act()
                if chance.random() < (0.07 if self._roves else 0.01):
                    self.disconnect()
                await asyncio.sleep(chance.choice([0.0, 0.0, 0.005, 0.05, 0.2]))
        self.disconnect()

    def _now(self) -> float:
        return self._world.loop.time()

    @property
    def connected(self) -> bool:
        """Whether it has the volume open."""
        return self.export is not None

    async def connect(self, host: GatewayHost) -> None:
        """Open the volume, if it can be had there."""
        try:
            export = await self._load.call(
                host, lambda gateway: gateway.open(self._disk.name, CLIENT), self._chance.choice(_GIVE_UP_S)
            )
        except (VolumeError, CatalogError) as error:
            self.error = error
            return
        self.host, self.export, self.hung_up = host, export, False
        self._reads_until = self._now() + self._chance.choice([0.0, 0.0, 0.3, 1.0])

    def disconnect(self) -> None:
        """Hang up."""
        export, host, self.export, self.hung_up = self.export, self.host, None, False
        if export is not None and host is not None and host.process is not None and host.gateway is not None:
            host.process.run(host.gateway.release, export)

    async def _act(self) -> None:
        chance, export = self._chance, self.export
        assert export is not None
        offset, length = self._run(export.size)
        kind = chance.random()
        if self._now() < self._reads_until:
            await self.read(offset, length)
        elif kind < self._load.shape.flush_share:
            await self.flush()
        elif kind < 0.55 and self._is_free(offset, length):
            await self.write(offset, length)
            if self._load.shape.flushes_each and self.error is None:
                await self.flush()
        elif kind < 0.65 and self._is_free(offset, length):
            await self.clear(offset, length)
        else:
            await self.read(offset, length)
        if isinstance(self.error, ShuttingDown | Unanswered) or (self.error is not None and chance.random() < 0.5):
            self.disconnect()
            if chance.random() < 0.2:
                self._guest.booting_until = self._now() + chance.uniform(0.5, 2.0)
        self.error = None

    def _run(self, size: int) -> tuple[int, int]:
        """Return where blocks lie beside each other, some of those that are used."""
        offsets = [offset for offset in self._disk.offsets if offset < size]
        first = self._chance.randrange(len(offsets))
        count = 1
        while count < self._chance.choice([1, 1, RUN]) and first + count < len(offsets):
            if offsets[first + count] != offsets[first] + count * BLOCK:
                break
            count += 1
        return offsets[first], count * BLOCK

    def _is_free(self, offset: int, length: int) -> bool:
        assert self.export is not None
        epoch = self.export.volume.epoch
        return not any((epoch, at) in self._guest.writing for at in range(offset, offset + length, BLOCK))

    async def read(self, offset: int, length: int) -> None:
        """Read some blocks."""
        export = self.export
        assert export is not None
        called = self._now()
        data = await self._ask(lambda: export.read(offset, length))
        if data is None:
            return
        found = joined(data)
        assert len(found) == length
        for at in range(offset, offset + length, BLOCK):
            value = value_of(found[at - offset : at - offset + BLOCK])
            entry = Read(export.volume.epoch, called, self._now(), value)
            self._disk.reads.setdefault(at, []).append(entry)

    async def write(self, offset: int, length: int) -> None:
        """Write some blocks."""
        export, number = self.export, self._load.number()
        assert export is not None
        name, fua = self._disk.name, self._chance.random() < 0.1
        offsets = range(offset, offset + length, BLOCK)
        data = b"".join(block_of(name, number, at) for at in offsets)
        contents = {at: tag_of(name, number, at) for at in offsets}
        await self._change(contents, fua, lambda: export.write(offset, memoryview(data), fua))

    async def clear(self, offset: int, length: int) -> None:
        """Have some blocks read as zeros."""
        export = self.export
        assert export is not None
        fua, trims = self._chance.random() < 0.1, self._chance.random() < 0.5
        work: Callable[[], Awaitable[object]]
        if trims:
            work = lambda: export.trim(offset, length, fua)  # noqa: E731
        else:
            work = lambda: export.write_zeroes(offset, length, fua, self._chance.random() < 0.5, False)  # noqa: E731
        await self._change(dict.fromkeys(range(offset, offset + length, BLOCK), ZEROS), fua, work)

    async def _change(self, contents: dict[int, bytes], fua: bool, work: Callable[[], Awaitable[object]]) -> None:
        export, guest = self.export, self._guest
        assert export is not None
        epoch = export.volume.epoch
        entries = note_writes(self._disk, epoch, self._now(), contents, fua)
        claims = {(epoch, at) for at in contents}
        guest.writing |= claims
        done = await self._ask(work, answers=False)
        guest.writing -= claims
        if done:
            for entry in entries:
                entry.ended = self._now()

    async def flush(self) -> None:
        """Make durable what was answered."""
        export = self.export
        assert export is not None
        called = self._now()
        done = await self._ask(export.flush, answers=False)
        if done or isinstance(self.error, WritesLost):
            found = self._disk.flushes if done else self._disk.losses_told
            found.append(Flush(export.volume.epoch, called, self._now()))

    async def _ask(self, work: Callable[[], Any], answers: bool = True) -> Any:
        """Return what the gateway answers; True if it answers without anything; None when there is an error."""
        assert self.host is not None
        self._disk.operation_count += 1
        try:
            found = await self._load.call(self.host, lambda _gateway: _answer(work()), self._chance.choice(_GIVE_UP_S))
        except (VolumeError, CatalogError) as error:
            self.error = error
            return None
        self._disk.done_count += 1
        return found if answers else True


class Operator:
    """Of one volume."""

    def __init__(self, load: Workload, guest: Guest, chance: random.Random) -> None:
        self._load = load
        self._guest = guest
        self._disk = guest.disk
        self._chance = chance
        self._count = 0

    async def run(self) -> None:
        """Do one thing after the other until the end."""
        while not self._load.done:
            await asyncio.sleep(self._chance.uniform(0.5, 4.0))
            host = self._guest.where
            if self._chance.random() < 0.2:
                host = self._chance.choice(self._load.world.gateways)
            with contextlib.suppress(VolumeError, CatalogError):
                await self._act(host)

    async def _act(self, host: GatewayHost) -> None:
        taken, kind = self._disk.snapshots, self._chance.random()
        if kind < 0.6 and len(taken) < SNAPSHOTS:
            await self._snapshot(host)
        elif kind < 0.75 and taken:
            await self._alone(lambda: self._roll_back(host, self._chance.choice(taken)))
        elif kind < 0.85 and taken and len(self._load.guests) < VOLUMES:
            await self._clone(host, self._chance.choice(taken))
        else:
            await self._alone(lambda: self._resize(host))

    def _now(self) -> float:
        return self._load.world.loop.time()

    def _epoch(self, gateway: WatchedGateway | None) -> int:
        """Return under which epoch a gateway has had the volume last; 0: never."""
        return 0 if gateway is None else gateway.epochs.get(self._disk.name, 0)

    def _about(self) -> Volume:
        return next(each for each in self._load.world.volumes() if each.name == self._disk.name)

    def _is_there(self, snapshot: str) -> bool:
        return any(each.name == snapshot for each in self._about().snapshots)

    async def _snapshot(self, host: GatewayHost) -> None:
        self._count += 1
        name = f"s{self._count}"
        snapshot = Snapshot(self._disk.name, name, self._now())
        gateway = host.gateway
        try:
            await self._load.call(host, lambda gateway: gateway.snapshot(self._disk.name, name))
        finally:
            snapshot.ended = self._now()
            snapshot.epoch = self._epoch(gateway)
            if self._is_there(name):
                self._disk.snapshots.append(snapshot)
        self._disk.flushes.append(Flush(snapshot.epoch, snapshot.called, snapshot.ended))

    async def _alone(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something while nobody uses the volume."""
        self._guest.paused = True
        try:
            until = self._now() + 3.0
            while any(each.connected for each in self._guest.clients) and self._now() < until:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            await work()
        finally:
            self._guest.paused = False

    async def _roll_back(self, host: GatewayHost, snapshot: Snapshot) -> None:
        await self._change(
            host,
            dict.fromkeys(self._disk.offsets, snapshot),
            lambda gateway: gateway.rollback(self._disk.name, snapshot.name),
        )

    async def _resize(self, host: GatewayHost) -> None:
        """Cut the last chunk off, or have it again: it is zeros then."""
        size = (CHUNKS - self._chance.randrange(2)) * CHUNK
        lost = [offset for offset in self._disk.offsets if size <= offset < self._about().size]
        await self._change(
            host,
            dict.fromkeys(lost, ZEROS),
            lambda gateway: gateway.resize(self._disk.name, size, may_shrink=True),
        )

    async def _change(
        self,
        host: GatewayHost,
        contents: dict[int, Any],
        work: Callable[[WatchedGateway], Awaitable[object]],
    ) -> None:
        gateway = host.gateway
        entries = note_writes(self._disk, 0, self._now(), contents, True)
        try:
            await self._load.call(host, work)
            for entry in entries:
                entry.ended = self._now()
        finally:
            for entry in entries:
                entry.epoch = self._epoch(gateway)

    async def _clone(self, host: GatewayHost, snapshot: Snapshot) -> None:
        name = f"{self._disk.name}c{self._count}{len(self._load.guests)}"
        await self._load.call(host, lambda gateway: gateway.clone(self._disk.name, snapshot.name, name))
        self._load.add(Disk(name, self._disk.offsets, snapshot), host, 1)


def note_writes(disk: Disk, epoch: int, called: float, contents: dict[int, Any], durable: bool) -> list[Write]:
    """Enter a change into the history of each block."""
    entries = []
    content: Content
    for offset, content in contents.items():
        entry = Write(epoch, called, content, durable)
        disk.writes.setdefault(offset, []).append(entry)
        entries.append(entry)
    return entries


def joined(pieces: Any) -> bytes:
    """Return what was read as bytes: a number is as many zeros."""
    return b"".join([bytes(piece) for piece in pieces])


async def _answer(found: Any) -> Any:
    """Return what an export answers: at once, or when it is there."""
    return await found if inspect.isawaitable(found) else found


async def _outcome(work: Callable[[], Awaitable[Any]]) -> tuple[Exception | None, Any]:
    try:
        return None, await work()
    except Exception as error:
        return error, None

