"""storage.chunks.journal: when it syncs, and who has to wait for that."""

import asyncio
import threading
from pathlib import Path

from storage.chunks.journal import Rhythm
from storage.chunks.store import ChunkStore, Tuning
from storage.disk import RealDisk
from storage.messages import ChunkFlag, ChunkWrite

FAMILY = bytes(16)
LAZY = Rhythm(sync_delay_s=60.0)


class CountedDisk(RealDisk):
    """Notes in which thread each file is synced."""

    def __init__(self) -> None:
        self.synced_in: list[threading.Thread] = []

    def fdatasync(self, fd: int) -> None:
        self.synced_in.append(threading.current_thread())


def write(store: ChunkStore, sequence: int, flags: int = 0) -> "asyncio.Future[None]":
    before = (1, sequence - 1) if sequence > 1 else (0, 0)
    future = store.write(ChunkWrite(FAMILY, 0, 1, None, 1, sequence, before, ((0, 512),), flags), bytes(512))
    assert future is not None
    return future


async def flushed(store: ChunkStore) -> None:
    flushing = store.flush()
    if flushing is not None:
        await flushing


def stored(path: Path, disk: CountedDisk, rhythm: Rhythm = LAZY) -> ChunkStore:
    store = ChunkStore(str(path), disk=disk, tuning=Tuning(rhythm=rhythm))
    store.start()
    return store


async def learned(store: ChunkStore, disk: CountedDisk) -> int:
    """Have the store find out that syncs are fast; return how many writes that took."""
    for sequence in range(1, 200):
        await write(store, sequence)
        await flushed(store)
        if store.journal._pace.is_brief:
            disk.synced_in.clear()
            return sequence
    raise AssertionError("it never finds out")


def test_syncs_go_to_a_thread_until_they_are_known_to_be_fast_and_then_stay_on_the_loop(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = CountedDisk()
        store = stored(tmp_path, disk)
        await write(store, 1)
        await flushed(store)
        assert threading.main_thread() not in disk.synced_in
        last = await learned(store, disk)
        await write(store, last + 1)
        assert store.flush() is None, "it is durable when flush returns"
        assert disk.synced_in == [threading.main_thread()]
        await store.close()

    asyncio.run(scenario())


def test_without_leave_no_sync_is_made_on_the_loop(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = CountedDisk()
        store = stored(tmp_path, disk, Rhythm(sync_delay_s=60.0, inline_sync_bytes=0))
        last = await learned(store, disk)
        for sequence in range(last + 1, last + 5):
            await write(store, sequence, ChunkFlag.FUA)
        assert threading.main_thread() not in disk.synced_in
        await store.close()

    asyncio.run(scenario())


def test_what_is_written_now_is_answered_in_the_same_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = stored(tmp_path, CountedDisk())
        await write(store, 1)  # begins the segment, in a thread
        future = write(store, 2)
        assert not future.done()
        store.journal.write_now()
        assert future.done()
        await store.close()

    asyncio.run(scenario())
