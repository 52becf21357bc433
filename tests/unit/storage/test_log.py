"""storage.log: appends, batches, failures, reads."""

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from storage.log.device import DeviceLog
from storage.log.interface import (
    START,
    Appended,
    DeviceFailed,
    DeviceFull,
    LogBusy,
    Position,
    Record,
    RecordDamaged,
    segment_of,
)
from storage.log.segments import SegmentFiles
from storage.log.writer import WriteRefused
from tests.unit.storage.faulty_disk import FaultyDisk

KIND = 1
Body = Callable[[DeviceLog], Awaitable[None]]


def with_log(path: Path, body: Body, **options: object) -> None:
    async def run() -> None:
        log = DeviceLog(str(path), **options)  # type: ignore[arg-type]
        log.start()
        try:
            await body(log)
        finally:
            await log.close()

    asyncio.run(run())


def contents(path: Path) -> list[tuple[bytes, bytes]]:
    async def run() -> list[tuple[bytes, bytes]]:
        log = DeviceLog(str(path))
        found = [(record.metadata, bytes(record.payload)) for record in log.scan(START, payloads=True)]
        await log.close()
        return found

    return asyncio.run(run())


def test_what_was_appended_is_there_after_reopening_in_order(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        await asyncio.gather(*[log.append(KIND, b"m%d" % n, b"p" * n) for n in range(100)])

    with_log(tmp_path, body)
    with_log(tmp_path, body)
    assert contents(tmp_path) == [(b"m%d" % n, b"p" * n) for n in range(100)] * 2


def test_records_are_applied_in_order_before_their_futures_resolve(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        applied: list[tuple[int, bytes]] = []

        def apply(kind: int) -> Callable[[Sequence[Appended]], None]:
            return lambda batch: applied.extend((kind, item.metadata) for item in batch)

        log.register(1, apply(1))
        log.register(2, apply(2))
        futures = [log.append(1 + n % 2, b"%d" % n) for n in range(20)]
        futures[0].add_done_callback(lambda _: applied.append((0, b"resolved")))
        await asyncio.gather(*futures)
        assert applied[-1] == (0, b"resolved")
        for kind in (1, 2):
            seen = [metadata for of, metadata in applied if of == kind]
            assert seen == [b"%d" % n for n in range(20) if 1 + n % 2 == kind]

    with_log(tmp_path, body)


def test_what_gathers_shares_a_sync(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def body(log: DeviceLog) -> None:
        await log.append(KIND, b"first")
        before = disk.syncs
        await asyncio.gather(*[log.append(KIND, b"x", b"y" * 100) for _ in range(50)])
        assert disk.syncs == before + 1

    with_log(tmp_path, body, disk=disk)


def test_segments_roll_and_positions_grow(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        positions = await asyncio.gather(*[log.append(KIND, b"m", bytes(1000)) for _ in range(50)])
        assert positions == sorted(set(positions))
        assert segment_of(positions[-1]) > 5
        sealed = [info for info in log.segments() if info.sealed]
        assert len(sealed) == len(log.segments()) - 1
        assert all(info.size < 8192 + 2000 for info in sealed)

    with_log(tmp_path, body, segment_bytes=8192)
    assert len(contents(tmp_path)) == 50


@pytest.mark.parametrize("cached", [True, False])
def test_a_record_is_read_from_its_position(tmp_path: Path, cached: bool) -> None:
    disk = FaultyDisk()
    disk.cached = cached

    async def body(log: DeviceLog) -> None:
        appended = log.append_record(KIND, b"meta", b"payload", flags=3)
        position = await appended.future
        length = appended.end - appended.position
        found = log.read(position, length)
        assert isinstance(found, Record) is cached
        record = found if isinstance(found, Record) else await found
        assert (record.metadata, bytes(record.payload), record.flags) == (b"meta", b"payload", 3)
        assert record.end == appended.end
        head = log.read_head(position, 44)
        assert (head if isinstance(head, Record) else await head).metadata == b"meta"

    with_log(tmp_path, body, disk=disk)


@pytest.mark.parametrize("offset", [70, 105, 109])
def test_a_flipped_bit_is_not_handed_out(tmp_path: Path, offset: int) -> None:
    async def body(log: DeviceLog) -> None:
        appended = log.append_record(KIND, b"meta", b"payload")
        await appended.future
        path = tmp_path / "00000001.segment"
        data = bytearray(path.read_bytes())
        data[offset] ^= 1
        with path.open("r+b") as file:
            file.write(data)
        with pytest.raises(RecordDamaged):
            log.read(appended.position, appended.end - appended.position)
        with pytest.raises(RecordDamaged):
            log.read(Position(appended.end), 48)
        with pytest.raises(RecordDamaged):
            log.read(Position(9 << 32), 48)

    with_log(tmp_path, body)


def test_after_a_failed_sync_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    """Retrying fdatasync would succeed, with the data lost: PostgreSQL's "fsyncgate", 2018."""
    disk = FaultyDisk()

    async def body(log: DeviceLog) -> None:
        discarded: list[bytes] = []
        log.register(KIND, lambda _: None, lambda batch: discarded.extend(item.metadata for item in batch))
        await log.append(KIND, b"good")
        disk.failures["fdatasync"] = errno.EIO
        bad = log.append(KIND, b"bad")
        with pytest.raises(DeviceFailed):
            await bad
        disk.failures.clear()
        with pytest.raises(DeviceFailed):
            log.append(KIND, b"later")
        assert discarded == [b"bad"]

    with_log(tmp_path, body, disk=disk)
    assert (b"good", b"") in contents(tmp_path)


def test_a_segment_that_cannot_be_inspected_is_not_left_open(tmp_path: Path) -> None:
    class Unreadable(FaultyDisk):
        is_sick = False

        def preadv(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
            if self.is_sick:
                raise OSError(errno.EIO, "Input/output error")
            return super().preadv(fd, buffers, offset)

    disk = Unreadable()

    async def body(log: DeviceLog) -> None:
        await log.append(KIND, b"m")
        before = os.listdir("/proc/self/fd")
        disk.is_sick = True
        with pytest.raises(OSError, match="Input"):
            log.inspect(log.segments()[0].id)
        assert len(os.listdir("/proc/self/fd")) <= len(before) + 1  # the log reads it itself
        disk.is_sick = False

    with_log(tmp_path, body, disk=disk)


def test_a_segment_of_which_a_sync_has_failed_is_not_sealed(tmp_path: Path) -> None:
    """The kernel tells of an error once: the next sync would succeed, and recovery count what is not on the disk."""

    class Sick(FaultyDisk):
        syncing, may_fail = threading.Event(), threading.Event()

        def fdatasync(self, fd: int) -> None:
            self.syncing.set()
            self.may_fail.wait(10)
            raise OSError(errno.EIO, "Input/output error")

    async def body() -> None:
        disk = Sick()
        log = DeviceLog(str(tmp_path), disk=disk, segment_bytes=4096)
        loop = asyncio.get_running_loop()
        first, second = (Appended(KIND, 0, b"m", bytes(5000), None, loop.create_future()) for _ in range(2))
        log.writer.write([first], durable=False)
        sync = loop.run_in_executor(None, log.writer.sync)
        assert await loop.run_in_executor(None, disk.syncing.wait, 10)
        loop.call_later(0.1, disk.may_fail.set)
        with pytest.raises(WriteRefused):
            await loop.run_in_executor(None, lambda: log.writer.write([second], durable=False))
        with pytest.raises(DeviceFailed):
            await sync
        assert len(list(tmp_path.glob("*.segment"))) == 1
        await log.close()

    asyncio.run(body())


def test_a_full_disk_refuses_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def body(log: DeviceLog) -> None:
        await log.append(KIND, b"before")
        disk.failures["pwritev"] = errno.ENOSPC
        with pytest.raises(DeviceFull):
            await log.append(KIND, b"lost")
        assert log.is_full
        disk.failures.clear()
        await log.append(KIND, b"after")
        assert not log.is_full

    with_log(tmp_path, body, disk=disk)
    assert contents(tmp_path) == [(b"before", b""), (b"after", b"")]


def test_it_shows_since_when_the_disk_owes_an_answer(tmp_path: Path) -> None:
    """What a monitor takes for a disk that hangs (storage.health)."""

    class Hanging(FaultyDisk):
        may_go_on = threading.Event()

        def fdatasync(self, fd: int) -> None:
            self.may_go_on.wait(10)
            super().fdatasync(fd)

    disk = Hanging()

    async def body(log: DeviceLog) -> None:
        assert log.batch_since_s is None
        first = log.append(KIND, b"one")
        await asyncio.sleep(0.02)
        since_s = log.batch_since_s
        assert since_s is not None
        second = log.append(KIND, b"two")
        await asyncio.sleep(0.02)
        assert log.batch_since_s == since_s  # however many wait behind it
        disk.may_go_on.set()
        await asyncio.gather(first, second)
        assert log.batch_since_s is None

    with_log(tmp_path, body, disk=disk)


def test_a_full_disk_when_a_segment_begins_leaves_no_segment(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def body(log: DeviceLog) -> None:
        disk.failures["fsync"] = errno.ENOSPC
        with pytest.raises(DeviceFull):
            await log.append(KIND, b"lost")
        assert not list(tmp_path.glob("*.segment"))
        disk.failures.clear()
        await log.append(KIND, b"after")

    (tmp_path / "id").write_bytes(b"i" * 16)
    with_log(tmp_path, body, disk=disk)
    assert contents(tmp_path) == [(b"after", b"")]


def test_more_bytes_than_the_bound_are_refused(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        first = log.append(KIND, b"", bytes(10_000))
        with pytest.raises(LogBusy):
            log.append(KIND, b"", bytes(10_000))
        await first
        await log.append(KIND, b"", bytes(10_000))
        assert log.queued_bytes == 0

    with_log(tmp_path, body, queue_bytes=15_000)


def test_to_list_segments_opens_none_that_was_listed_before(tmp_path: Path) -> None:
    """There may be more of them than files that are kept open, and housekeeping lists them all the time."""

    class Counting(FaultyDisk):
        opened = 0

        def open(self, path: str) -> int:
            self.opened += 1
            return super().open(path)

    disk = Counting()
    names = [f"{segment:08x}.segment" for segment in range(1, 11)]
    for size, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes(size))
    files = SegmentFiles(disk, str(tmp_path), open_limit=2)
    active = 10
    assert [(info.size, info.sealed) for info in files.infos(active)] == [(size, size < 9) for size in range(10)]
    disk.opened = 0
    (tmp_path / names[9]).write_bytes(bytes(100))
    assert [info.size for info in files.infos(active)] == [*range(9), 100]
    assert disk.opened <= 1
    files.remove(3)
    assert [info.id for info in files.infos(active)] == [1, 2, *range(4, 11)]
    files.close()


def test_a_segment_that_is_held_is_not_dropped(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        log.hold("indexes", START)
        positions = await asyncio.gather(*[log.append(KIND, b"m", bytes(1000)) for _ in range(30)])
        first = log.segments()[0].id
        assert not log.may_drop(first)
        log.hold("indexes", positions[-1])
        assert log.may_drop(first)
        log.drop(first)
        assert first not in [info.id for info in log.segments()]
        assert not log.may_drop(log.segments()[-1].id)
        with pytest.raises(RecordDamaged):
            log.read(positions[0], 1048)

    with_log(tmp_path, body, segment_bytes=4096)


def test_what_is_appended_while_it_is_closed_is_refused_and_waits_for_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        log = DeviceLog(str(tmp_path))
        log.start()
        before = log.append(KIND, b"before")
        closing = asyncio.ensure_future(log.close())
        await asyncio.sleep(0)
        with pytest.raises(DeviceFailed):
            log.append(KIND, b"late")
        await closing
        await before

    asyncio.run(body())
    assert contents(tmp_path) == [(b"before", b"")]


def test_an_abandoned_future_disturbs_nobody(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        futures = [log.append(KIND, b"%d" % n) for n in range(3)]
        futures[1].cancel()
        await futures[0]
        await futures[2]

    with_log(tmp_path, body)
    assert len(contents(tmp_path)) == 3


def test_settled_waits_for_all_that_was_appended_whoever_still_wants_it(tmp_path: Path) -> None:
    async def body(log: DeviceLog) -> None:
        applied: list[bytes] = []
        log.register(KIND, lambda batch: applied.extend(record.metadata for record in batch))
        await log.settled()
        log.append(KIND, b"first")
        log.append(KIND, b"second").cancel()
        await log.settled()
        assert applied == [b"first", b"second"]
        await log.settled()

    with_log(tmp_path, body)


def test_settled_returns_when_what_was_appended_has_failed(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def body(log: DeviceLog) -> None:
        disk.failures["fdatasync"] = errno.EIO
        appended = log.append(KIND, b"lost")
        await log.settled()
        assert isinstance(appended.exception(), DeviceFailed)

    with_log(tmp_path, body, disk=disk)
