"""storage.chunks.store: what a full or a failing device does to chunks, and what flushes cost."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cluster.wire import RemoteError
from storage.chunks.journal import Rhythm
from storage.chunks.store import ChunkStore, Tuning
from storage.log.interface import DeviceFailed, DeviceFull, LogBusy
from storage.messages import ChunkFlag, ChunkRead, ChunkWrite, Refusal
from tests.unit.storage.faulty_disk import FaultyDisk

FAMILY = bytes(16)
BLOCK = os.urandom(4096)
LAZY = Rhythm(sync_delay_s=60.0)


class Writer:
    """Writes one chunk of a store."""

    def __init__(self, store: ChunkStore) -> None:
        self.store = store
        self.sequence = 0

    def write(self, flags: int = 0, data: bytes = BLOCK, offset: int = 0) -> asyncio.Future[None]:
        previous = (1, self.sequence) if self.sequence else (0, 0)
        message = ChunkWrite(
            FAMILY, 0, 1, None, 1, self.sequence + 1, previous, ((offset, len(data)),), flags
        )
        future = self.store.write(message, data)
        self.sequence += 1
        assert future is not None
        return future

    async def read(self, length: int = 4096) -> bytes:
        answer = self.store.read(ChunkRead(FAMILY, 0, ((1, (1, self.sequence)),), 0, length))
        reply = await answer if asyncio.iscoroutine(answer) else answer
        return bytes(reply.payload)


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))  # type: ignore[arg-type]


def test_writes_are_answered_without_a_sync_and_many_flushes_share_one(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        store = ChunkStore(str(tmp_path), disk=disk, tuning=Tuning(rhythm=LAZY))
        store.start()
        writer = Writer(store)
        await asyncio.gather(*[writer.write(offset=n * 4096) for n in range(100)])
        assert disk.syncs == 0
        flushes = [store.flush() for _ in range(50)]
        await asyncio.gather(*[flush for flush in flushes if flush is not None])
        assert disk.syncs <= 2
        assert store.flush() is None
        await writer.write(ChunkFlag.FUA)
        assert disk.syncs <= 3
        await store.close()

    run(body)


def test_reads_find_what_is_on_its_way_through_a_thread_too(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        disk.cached = False
        store = ChunkStore(str(tmp_path), disk=disk, tuning=Tuning(rhythm=LAZY))
        store.start()
        writer = Writer(store)
        await writer.write(data=BLOCK * 2)
        await store.settled()
        await writer.write(data=b"new", offset=100)
        assert await writer.read(8192) == BLOCK[:100] + b"new" + BLOCK[103:] + BLOCK
        await store.close()

    run(body)


def test_a_full_journal_refuses_writes_and_takes_them_when_there_is_room(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        store = ChunkStore(str(tmp_path), disk=disk, tuning=Tuning(rhythm=LAZY))
        store.start()
        writer = Writer(store)
        await writer.write()
        await store.settled()
        disk.failures["pwritev"] = errno.ENOSPC
        futures = [writer.write(data=b"lost", offset=n * 10) for n in range(3)]
        for outcome in await asyncio.gather(*futures, return_exceptions=True):
            assert isinstance(outcome, DeviceFull)
        del disk.failures["pwritev"]
        with pytest.raises(RemoteError) as refused:
            writer.write()
        assert (refused.value.code, refused.value.detail) == (Refusal.STALE_CHUNK, ((1, 1), (1, 1)))
        writer.sequence = 1
        assert await writer.read() == BLOCK
        await writer.write(data=b"kept")
        await store.close()
        store = ChunkStore(str(tmp_path))
        store.start()
        writer.store = store
        assert await writer.read() == b"kept" + BLOCK[4:]
        await store.close()

    run(body)


def test_files_that_are_full_hold_writes_in_the_journal_until_there_is_room(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        store = ChunkStore(str(tmp_path), disk=disk, tuning=Tuning(rhythm=LAZY))
        store.start()
        writer = Writer(store)
        await writer.write(data=bytes(200 << 10))
        await store.settled()
        await writer.write()
        disk.failures["pwritev"] = errno.ENOSPC
        await store.journal.settle()
        while not store.destager.is_full:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with pytest.raises(DeviceFull):
            writer.write()
        assert await writer.read() == BLOCK
        del disk.failures["pwritev"]
        await store.settled()
        assert await writer.read() == BLOCK
        await writer.write()
        await store.close()

    run(body)


@pytest.mark.parametrize("what", ["fdatasync", "fsync"])
def test_after_a_failed_sync_nothing_is_taken_and_nothing_is_lost(tmp_path: Path, what: str) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        store = ChunkStore(str(tmp_path), disk=disk, tuning=Tuning(rhythm=LAZY))
        store.start()
        writer = Writer(store)
        await writer.write(ChunkFlag.FUA)
        await store.settled()
        disk.failures[what] = errno.EIO
        if what == "fdatasync":
            with pytest.raises(DeviceFailed):
                await writer.write(ChunkFlag.FUA)
        else:
            store._begin_checkpoint()
            while store.journal.failed is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with pytest.raises(DeviceFailed):
            writer.write()
        with pytest.raises(DeviceFailed):
            store.flush()
        await store.crash()
        store = ChunkStore(str(tmp_path))
        store.start()
        writer.store = store
        writer.sequence = store.table.find(FAMILY, 0, 1).version[1]  # type: ignore[union-attr]
        assert await writer.read() == BLOCK
        await writer.write(ChunkFlag.FUA)
        await store.close()

    run(body)


def test_more_than_the_bound_is_refused_until_the_disk_has_caught_up(tmp_path: Path) -> None:
    async def body() -> None:
        rhythm = Rhythm(queue_bytes=64 << 10, sync_delay_s=60.0)
        store = ChunkStore(str(tmp_path), tuning=Tuning(rhythm=rhythm))
        store.start()
        writer = Writer(store)
        for _ in range(64 * 1024 // (4096 + 512)):
            writer.write()
        with pytest.raises(LogBusy):
            writer.write()
        await store.settled()
        await writer.write()
        await store.close()

    run(body)


def test_a_damaged_checkpoint_or_journal_is_told_and_not_hidden(tmp_path: Path) -> None:
    async def body() -> None:
        store = ChunkStore(str(tmp_path), tuning=Tuning(checkpoint_delay_s=600.0))
        store.start()
        writer = Writer(store)
        for _ in range(4):
            await writer.write(ChunkFlag.FUA)
        await store.crash()
        segment = min((tmp_path / "journal").glob("*.segment"))
        content = bytearray(segment.read_bytes())
        content[9000] ^= 1  # the third record's payload
        segment.write_bytes(content)
        store = ChunkStore(str(tmp_path))
        assert "payload checksum" in store.lost_data
        assert store.table.find(FAMILY, 0, 1).version == (1, 2)  # type: ignore[union-attr]
        store.loss_is_known()
        store.start()
        await store.close()
        checkpoint = tmp_path / "chunks" / "checkpoint"
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
        assert "checkpoint" in ChunkStore(str(tmp_path)).lost_data

    run(body)


def test_the_journal_is_let_go_of_once_the_files_have_it(tmp_path: Path) -> None:
    async def body() -> None:
        tuning = Tuning(segment_bytes=64 << 10, checkpoint_bytes=256 << 10)
        store = ChunkStore(str(tmp_path), tuning=tuning)
        store.start()
        writer = Writer(store)
        for n in range(500):
            await writer.write(offset=n * 4096)
        await store.settled()
        await store.checkpoint()
        assert len(list((tmp_path / "journal").glob("*.segment"))) <= 3
        assert store.checkpointer.count >= 3
        await store.close()
        store = ChunkStore(str(tmp_path), tuning=tuning)
        assert store.replayed_count == 0
        store.start()
        writer.store = store
        assert await writer.read(500 * 4096) == BLOCK * 500
        await store.close()

    run(body)
