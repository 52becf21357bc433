"""tests.sim.disk: what a power cut leaves, and what a killed process does."""

import errno
import random

import pytest

from tests.sim.disk import SECTOR, SimulatedDisk, Storage
from tests.sim.process import Process, ProcessKilled

ROOT = "/tmp/sim-disk-test"


def opened(storage: Storage) -> SimulatedDisk:
    disk = SimulatedDisk(storage, Process("h", "h.1"))
    storage.directories.add(ROOT)
    return disk


def written(disk: SimulatedDisk, name: str, data: bytes, sync: bool, sync_name: bool = True) -> int:
    fd = disk.create(f"{ROOT}/{name}")
    disk.pwritev(fd, [data], 0)
    if sync:
        disk.fdatasync(fd)
    if sync_name:
        disk.fsync_directory(ROOT)
    return fd


def content(disk: SimulatedDisk, name: str) -> bytes | None:
    try:
        fd = disk.open(f"{ROOT}/{name}")
    except FileNotFoundError:
        return None
    buffer = bytearray(disk.size(fd))
    assert disk.preadv(fd, [buffer], 0) == len(buffer)
    return bytes(buffer)


@pytest.mark.parametrize("seed", range(30))
def test_what_was_synced_survives_a_power_cut(seed: int) -> None:
    storage = Storage(random.Random(seed))
    fd = written(opened(storage), "a", b"x" * 3000, sync=True)
    assert fd > 2
    storage.lose_power()
    assert content(opened(storage), "a") == b"x" * 3000


def test_what_was_not_synced_is_lost_torn_or_there_by_whole_sectors() -> None:
    found = set()
    for seed in range(200):
        storage = Storage(random.Random(seed))
        disk = opened(storage)
        fd = written(disk, "a", b"a" * (4 * SECTOR), sync=True)
        disk.pwritev(fd, [b"b" * (4 * SECTOR)], 0)
        storage.lose_power()
        data = content(opened(storage), "a")
        assert data is not None
        sectors = [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
        assert all(sector in (b"a" * SECTOR, b"b" * SECTOR) for sector in sectors)
        found.add("".join(chr(sector[0]) for sector in sectors))
    assert {"aaaa", "bbbb", "baaa"} < found
    assert any(mixed not in ("aaaa", "baaa", "bbaa", "bbba", "bbbb") for mixed in found), "out of order, too"


def test_a_name_that_was_not_synced_may_be_lost_and_one_that_was_may_not() -> None:
    lost = []
    for seed in range(50):
        storage = Storage(random.Random(seed))
        disk = opened(storage)
        written(disk, "kept", b"k", sync=True)
        written(disk, "new", b"n", sync=True, sync_name=False)
        storage.lose_power()
        assert content(opened(storage), "kept") == b"k"
        lost.append(content(opened(storage), "new") is None)
    assert 0 < sum(lost) < 50


def test_a_rename_is_there_or_not_never_half() -> None:
    seen = set()
    for seed in range(50):
        storage = Storage(random.Random(seed))
        disk = opened(storage)
        written(disk, "a", b"old", sync=True)
        written(disk, "a.new", b"new", sync=True)
        disk.rename(f"{ROOT}/a.new", f"{ROOT}/a")
        storage.lose_power()
        seen.add((content(opened(storage), "a"), content(opened(storage), "a.new")))
    assert seen == {(b"old", b"new"), (b"new", None)}


def test_a_file_without_a_name_is_gone_with_its_process() -> None:
    storage = Storage(random.Random(1))
    disk = opened(storage)
    file = disk.create_temporary(ROOT)
    disk.pwritev(file.fd, [b"x"], 0)
    assert file.path is None
    assert disk.list(ROOT) == []
    disk.name(file, f"{ROOT}/a")
    assert opened(storage).list(ROOT) == ["a"]


def test_a_killed_process_leaves_the_page_cache_and_can_do_nothing_more() -> None:
    storage = Storage(random.Random(1))
    process = Process("h", "h.1")
    disk = SimulatedDisk(storage, process)
    storage.directories.add(ROOT)
    fd = written(disk, "a", b"not synced", sync=False)
    process.alive = False
    with pytest.raises(ProcessKilled):
        disk.pwritev(fd, [b"late"], 0)
    assert content(opened(storage), "a") == b"not synced"


def test_attributes_need_fsync() -> None:
    seen = set()
    for seed in range(50):
        storage = Storage(random.Random(seed))
        disk = opened(storage)
        fd = written(disk, "a", b"x", sync=True)
        disk.set_attribute(fd, "user.a", b"1")
        disk.fsync(fd)
        disk.set_attribute(fd, "user.a", b"2")
        disk.fdatasync(fd)
        storage.lose_power()
        again = opened(storage)
        seen.add(again.get_attribute(again.open(f"{ROOT}/a"), "user.a"))
    assert seen == {b"1", b"2"}


def test_a_failed_sync_may_have_written_anything_and_the_next_one_does_not_tell() -> None:
    """Linux marks pages clean whose writing has failed."""
    seen = set()
    for seed in range(60):
        storage = Storage(random.Random(seed))
        disk = opened(storage)
        fd = written(disk, "a", b"old", sync=True)
        disk.pwritev(fd, [b"new"], 0)
        storage.faults.sync_error = 1.0
        with pytest.raises(OSError, match="input/output") as raised:
            disk.fdatasync(fd)
        assert raised.value.errno == errno.EIO
        storage.faults.sync_error = 0.0
        disk.fdatasync(fd)
        storage.lose_power()
        seen.add(content(opened(storage), "a"))
    assert seen == {b"old", b"new"}


def test_a_full_disk_refuses() -> None:
    storage = Storage(random.Random(1), capacity=100)
    disk = opened(storage)
    fd = written(disk, "a", b"x" * 90, sync=True)
    with pytest.raises(OSError, match="no space") as raised:
        disk.pwritev(fd, [b"y" * 20], 90)
    assert raised.value.errno == errno.ENOSPC
