"""storage.chunks on a disk that loses what was not synced: whatever is found is a prefix of what was written.

A writer with several writes under way, snapshots, flushes and checkpoints is killed in the midst of a call to the disk,
with or without the machine's power, again and again; also in the midst of recovery.
"""

import asyncio
import inspect
import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cluster.environment import REAL
from storage.chunks.journal import Rhythm
from storage.chunks.store import ChunkStore, Tuning
from storage.chunks.version import NOTHING, Version
from storage.messages import ChunkFlag, ChunkRead, ChunkWrite
from tests.sim.chance import delay
from tests.sim.disk import SimulatedDisk, Storage
from tests.sim.loop import SimulatedLoop
from tests.sim.process import Process, ProcessKilled
from tests.sim.threads import SimulatedWaiters

ROOT = "/tmp/sim-chunks-test"
FAMILY = bytes(range(16))
REGION = 32 << 10  # of each chunk: all that is written
CHUNKS = 3
LIVES = 6
TUNING = Tuning(
    rhythm=Rhythm(inline_bytes=20 << 10, sync_bytes=64 << 10, sync_delay_s=0.01),
    segment_bytes=96 << 10,
    checkpoint_bytes=128 << 10,
    checkpoint_delay_s=0.5,
    behind_bytes=32 << 10,
    open_files=2,
)

Place = tuple[int, int]  # layer, chunk number


@dataclass
class History:
    """What was written to one chunk of one layer."""

    states: list[tuple[Version, bytes]]  # version and content, the first is what it begins with
    answered: int = 0  # index of the newest state that was answered
    flushed: int = 0  # that must survive anything
    base: tuple[int, Version] | None = None

    @property
    def version(self) -> Version:
        return self.states[-1][0]


@dataclass
class Writer:
    """The one writer of a volume, across the lives of its replica."""

    chance: random.Random
    histories: dict[Place, History] = field(default_factory=dict)
    top: int = 1
    epoch: int = 0
    sequence: int = 0
    processes: list[Process] = field(default_factory=list)  # dead ones, too: they keep their tasks from being freed

    def history(self, number: int) -> History:
        """Return the history of a chunk in the top layer."""
        place = self.top, number
        found = self.histories.get(place)
        if found is None:
            below = [layer for layer in range(self.top - 1, 0, -1) if self._has(layer, number)]
            if below:
                base = self.histories[below[0], number]
                found = History([(NOTHING, base.states[-1][1])], base=(below[0], base.version))
            else:
                found = History([(NOTHING, bytes(REGION))])
            self.histories[place] = found
        return found

    def _has(self, layer: int, number: int) -> bool:
        history = self.histories.get((layer, number))
        return history is not None and history.version != NOTHING

    async def live(self, store: ChunkStore) -> None:
        """Do things until the process dies, or enough is done."""
        self.epoch += 1
        store.start()
        await store.fence(FAMILY, self.top, self.epoch)
        waiting: list[asyncio.Task[None]] = []
        for _ in range(150):
            action = self.chance.random()
            if action < 0.70:
                waiting.append(asyncio.ensure_future(self._write(store)))
                await asyncio.sleep(delay(self.chance, 2e-4) if self.chance.random() < 0.5 else 0)
            elif action < 0.85:
                waiting.append(asyncio.ensure_future(self._flush(store)))
            elif action < 0.93:
                await self._check_read(store, self.chance.randrange(CHUNKS))
            elif action < 0.96:
                await asyncio.gather(*waiting)  # a snapshot is taken between writes
                self.top += 1
                await store.fence(FAMILY, self.top, self.epoch)
            else:
                waiting.append(asyncio.ensure_future(store.checkpoint()))
            if len(waiting) > 12:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        if self.chance.random() < 0.3:
            await store.close()

    async def _write(self, store: ChunkStore) -> None:
        number = self.chance.randrange(CHUNKS)
        history = self.history(number)
        previous, content = history.states[-1]
        self.sequence += 1
        flags = self.chance.choice((0, 0, 0, ChunkFlag.FUA, ChunkFlag.TRIM, ChunkFlag.ZERO))
        size = self.chance.choice((512, 4096, 4096, 700, 24 << 10))
        extents, payload, changed = [], b"", bytearray(content)
        for _ in range(self.chance.choice((1, 1, 2, 0))):
            offset = self.chance.randrange(REGION - size)
            piece = bytes(size) if flags & (ChunkFlag.TRIM | ChunkFlag.ZERO) else self.chance.randbytes(size)
            changed[offset : offset + size] = piece
            extents.append((offset, size))
            payload += piece
        message = ChunkWrite(
            FAMILY, number, self.top, history.base, self.epoch, self.sequence, previous, tuple(extents), flags
        )
        future = store.write(message, b"" if flags & (ChunkFlag.TRIM | ChunkFlag.ZERO) else payload)
        history.states.append(((self.epoch, self.sequence), bytes(changed)))
        index = len(history.states) - 1
        assert future is not None
        await future
        history.answered = max(history.answered, index)
        if flags & ChunkFlag.FUA:
            history.flushed = max(history.flushed, index)

    async def _flush(self, store: ChunkStore) -> None:
        answered = [(history, history.answered) for history in self.histories.values()]
        flushing = store.flush()
        if flushing is not None:
            await flushing
        for history, index in answered:
            history.flushed = max(history.flushed, index)

    async def _check_read(self, store: ChunkStore, number: int) -> None:
        layers = [
            (layer, history.version)
            for layer in range(self.top, 0, -1)
            if (history := self.histories.get((layer, number))) is not None and history.version != NOTHING
        ]
        expected = self.histories[layers[0][0], number].states[-1][1] if layers else b""
        assert await content_of(store, number, tuple(layers)) == expected

    async def check(self, store: ChunkStore, power_lost: bool) -> None:
        """Compare what a crash has left with what was written, and go on from there."""
        assert not store.lost_data
        for (layer, number), history in sorted(self.histories.items()):
            chunk = store.table.find(FAMILY, number, layer)
            version = NOTHING if chunk is None else chunk.version
            versions = [state[0] for state in history.states]
            assert version in versions, f"{layer, number}: {version} was never written"
            index = versions.index(version)
            least = history.flushed if power_lost else history.answered
            assert index >= least, f"{layer, number}: {version} is older than {versions[least]}, {power_lost=}"
            if version != NOTHING:
                content = await content_of(store, number, ((layer, version),))
                assert content == history.states[index][1], f"{layer, number} at {version}"
            del history.states[index + 1 :]
            history.answered = history.flushed = index
        assert all(store.table.epoch_seen(FAMILY, layer) <= self.epoch for layer in range(self.top + 1))


async def content_of(store: ChunkStore, number: int, layers: Any) -> bytes:
    """Return what the region of a chunk holds."""
    answer = store.read(ChunkRead(FAMILY, number, layers, 0, REGION))
    reply = await answer if asyncio.iscoroutine(answer) else answer
    return bytes(reply.payload)


def opened(storage: Storage, process: Process, chance: random.Random) -> ChunkStore:
    """Open the store as a process does."""

    def threads(count: int, _name: str, calls_limit: int = 1000) -> SimulatedWaiters:
        return SimulatedWaiters(chance, calls_limit, count, lambda: delay(chance, 1e-4))

    environment = replace(REAL, entropy=chance.randbytes, threads=threads)
    return ChunkStore(ROOT, disk=SimulatedDisk(storage, process), tuning=TUNING, environment=environment)


async def one_life(storage: Storage, writer: Writer, chance: random.Random, life: int, power_lost: bool) -> bool:
    """Recover, check, and live until a crash; return whether power was lost, or still is unchecked."""
    process = Process("h", f"h.{life}")
    writer.processes.append(process)
    storage.kill = process.kill
    if chance.random() < 0.3:
        storage.faults.kill_after = chance.randrange(60)
    try:
        store = opened(storage, process, chance)
    except ProcessKilled:
        return power_lost
    storage.faults.kill_after = None
    await writer.check(store, power_lost)
    storage.faults.kill_after = chance.randrange(10, 500)
    living = process.spawn(writer.live(store))
    while process.alive and not living.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    storage.faults.kill_after = None
    if process.alive:
        living.result()
        process.kill()
    return False


async def scenario(writer: Writer) -> None:
    chance = writer.chance
    storage = Storage(chance)
    power_lost = False
    for life in range(LIVES):
        power_lost |= await one_life(storage, writer, chance, life, power_lost)
        if chance.random() < 0.6:
            storage.lose_power()
            power_lost = True
    process = Process("h", "h.last")
    writer.processes.append(process)
    await writer.check(opened(storage, process, chance), power_lost)


def play(seed: int) -> None:
    loop, writer = SimulatedLoop(), Writer(random.Random(seed))
    try:
        loop.run_until_complete(scenario(writer))
        assert not loop.errors, loop.errors
    finally:
        for task in asyncio.all_tasks(loop):
            if (coroutine := task.get_coro()) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()  # its process died before it began: Python would warn of it
        loop.close()


@pytest.mark.parametrize("seed", range(20))
def test_after_any_crash_a_chunk_is_a_prefix_with_all_that_was_flushed(seed: int) -> None:
    play(seed)
