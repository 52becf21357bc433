"""storage.disk."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from cluster.threads import WaiterThreads
from storage.disk import (
    IOV_MAX,
    RealDisk,
    TemporaryFile,
    drop_unfinished,
    read_fully,
    read_small_file,
    replace_small_file,
    write_fully,
)
from tests.unit.storage.faulty_disk import FaultyDisk


def test_many_buffers_and_short_writes_still_write_everything(tmp_path: Path) -> None:
    disk = FaultyDisk()
    buffers = [bytes([number % 251]) * 3 for number in range(IOV_MAX + 500)]
    for limit in (None, 1000):
        disk.write_limit = limit
        fd = disk.create(str(tmp_path / f"file-{limit}"))
        assert write_fully(disk, fd, buffers, 10) == 10 + 3 * len(buffers)
        assert bytes(read_fully(disk, fd, 10, 1 << 20)) == b"".join(buffers)
        disk.close(fd)


def test_reading_past_the_end_gives_what_there_is(tmp_path: Path) -> None:
    disk = RealDisk()
    fd = disk.create(str(tmp_path / "file"))
    write_fully(disk, fd, [b"abc"], 0)
    assert read_fully(disk, fd, 1, 100) == b"bc"
    assert read_fully(disk, fd, 100, 100) == b""


def test_a_nameless_file_gets_a_name(tmp_path: Path) -> None:
    disk = RealDisk()
    file = disk.create_temporary(str(tmp_path))
    write_fully(disk, file.fd, [b"abc"], 0)
    disk.name(file, str(tmp_path / "named"))
    assert (tmp_path / "named").read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["named"]


def test_without_nameless_files_a_named_one_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE here")
        return real_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    disk = RealDisk()
    file: TemporaryFile = disk.create_temporary(str(tmp_path))
    assert file.path is not None
    disk.name(file, str(tmp_path / "named"))
    assert os.listdir(tmp_path) == ["named"]


def test_a_small_file_is_replaced_even_when_a_crash_left_half_of_it(tmp_path: Path) -> None:
    disk = RealDisk()
    path = str(tmp_path / "state")
    assert read_small_file(disk, path) is None
    replace_small_file(disk, path, b"old")
    (tmp_path / "state.new").write_bytes(b"half")
    replace_small_file(disk, path, b"new")
    assert read_small_file(disk, path) == b"new"
    assert os.listdir(tmp_path) == ["state"]
    (tmp_path / "state.new").write_bytes(b"half")
    drop_unfinished(disk, str(tmp_path))
    drop_unfinished(disk, str(tmp_path))
    assert os.listdir(tmp_path) == ["state"]


@pytest.mark.parametrize("call", ["pwritev", "fsync"])
def test_a_small_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, call: str) -> None:
    disk = FaultyDisk()
    path = str(tmp_path / "state")
    replace_small_file(disk, path, b"old")
    disk.failures[call] = errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        replace_small_file(disk, path, b"new")
    assert read_small_file(disk, path) == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_attributes_and_listings_of_what_is_not_there(tmp_path: Path) -> None:
    disk = RealDisk()
    fd = disk.create(str(tmp_path / "file"))
    assert disk.get_attribute(fd, "user.holdfast.nothing") is None
    assert disk.list(str(tmp_path / "nothing")) == []


@pytest.mark.parametrize("value", [b"", b"x", bytes(range(256))])
def test_an_attribute_reads_back_as_it_was_set_last(tmp_path: Path, value: bytes) -> None:
    disk = RealDisk()
    fd = disk.create(str(tmp_path / "file"))
    for written in (b"before", value):
        disk.set_attribute(fd, "user.holdfast.test", written)
    assert disk.get_attribute(fd, "user.holdfast.test") == value
    assert os.getxattr(fd, "user.holdfast.test") == value


def test_an_attribute_that_cannot_be_set_says_why(tmp_path: Path) -> None:
    """xattr(7): 64 KiB at most. /proc has no attributes of users."""
    disk = RealDisk()
    fd = disk.create(str(tmp_path / "file"))
    with pytest.raises(OSError, match="too long") as too_large:
        disk.set_attribute(fd, "user.holdfast.test", bytes((64 << 10) + 1))
    assert too_large.value.errno == errno.E2BIG
    without = os.open("/proc/self/stat", os.O_RDONLY)
    assert disk.get_attribute(without, "user.holdfast.test") is None
    with pytest.raises(OSError, match="not supported") as unsupported:
        disk.set_attribute(without, "user.holdfast.test", b"x")
    assert unsupported.value.errno == errno.EOPNOTSUPP
    os.close(without)


def test_calls_beyond_the_bound_are_refused() -> None:
    async def run() -> None:
        waiters = WaiterThreads(count=1, calls_limit=2)
        calls = [waiters.run(pow, 2, 3), waiters.run(pow, 2, 4)]
        with pytest.raises(OverflowError):
            waiters.run(pow, 2, 5)
        assert await asyncio.gather(*calls) == [8, 16]
        assert await waiters.run(pow, 2, 5) == 32
        waiters.close()

    asyncio.run(run())
