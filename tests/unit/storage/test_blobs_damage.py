"""storage.blobs.store: damage, full disks, and disks that fail."""

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from cluster.wire import RemoteError, Reply, Request
from storage.blobs.reader import FileReader
from storage.messages import (
    BlobCommit,
    BlobGet,
    BlobPrepare,
    Refusal,
)
from tests.unit.cluster.wire_cluster import cluster, until
from tests.unit.storage.blob_stores import (
    LARGE,
    Device,
    clock,
    delete,
    files_in,
    got,
    key_of,
    pieces,
    put,
    put_large,
    run,
)
from tests.unit.storage.faulty_disk import FaultyDisk


def test_damage_is_refused_reported_and_forgotten_when_repaired(tmp_path: Path) -> None:
    async def body() -> None:
        reported = []
        device = Device(tmp_path / "d", on_corrupt=reported.append)
        async with device as store:
            await store.put(put("small", clock.now()), b"data" * 100)
            await put_large(store, "large", clock.now(), LARGE)
            await put_large(store, "late", clock.now(), LARGE)
            segment = next((tmp_path / "d" / "log").glob("*.segment"))
            flip(segment, segment.read_bytes().index(b"datadata"))
            large, late = (find_file(tmp_path / "d", name) for name in ("large", "late"))
            flip(large, 100)
            flip(late, len(LARGE) - 1)
            for name in ("small", "large"):
                with pytest.raises(RemoteError) as caught:
                    await got(store, name)
                assert caught.value.code == Refusal.CORRUPT
            _, reader = await store.get(BlobGet(key_of("late")))  # type: ignore[misc]
            with pytest.raises(RemoteError) as caught:
                await read_all(reader)
            assert caught.value.code == Refusal.CORRUPT
            late.unlink()
            with pytest.raises(RemoteError) as caught:
                await got(store, "late")
            assert caught.value.code == Refusal.CORRUPT
            assert {found.key for found in reported} == {key_of(name) for name in ("small", "large", "late")}
            assert store.status()["quarantined"] == 3
            await store.put(put("small", clock.now()), b"again")
            store._tick()
            assert store.status()["quarantined"] == 2

    run(body)


def test_who_reports_damage_is_on_the_loops_thread(tmp_path: Path) -> None:
    """What is reported changes the list of what is damaged, and asks the index: neither is for two threads."""

    async def body() -> None:
        threads = []
        device = Device(tmp_path / "d", on_corrupt=lambda _found: threads.append(threading.current_thread()))
        async with device as store:
            await put_large(store, "large", clock.now(), LARGE)
            flip(find_file(tmp_path / "d", "large"), 100)
            with pytest.raises(RemoteError):
                await got(store, "large")
        assert threads == [threading.current_thread()]

    run(body)


def test_a_download_that_nobody_wants_to_its_end_leaves_no_file_open(tmp_path: Path) -> None:
    class Counting(FaultyDisk):
        opened: ClassVar[set[int]] = set()

        def open(self, path: str) -> int:
            fd = super().open(path)
            self.opened.add(fd)
            return fd

        def close(self, fd: int) -> None:
            self.opened.discard(fd)
            super().close(fd)

    async def body() -> None:
        disk = Counting()
        async with Device(tmp_path / "d", disk=disk) as store:
            await put_large(store, "a", clock.now(), LARGE)

            async def answer(_request: Request) -> Reply:
                _version, data = await store.get(BlobGet(key_of("a")))  # type: ignore[misc]
                return Reply((), body=data)

            async with cluster(answer) as wire:
                disk.opened.clear()
                reply = await wire.peer.call(1, ())
                await reply.body.read()
                assert len(disk.opened) == 1
                reply.body.close()
                async with asyncio.timeout(5):
                    await until(lambda: not disk.opened)

    run(body)


async def read_all(reader: FileReader) -> bytes:
    return b"".join([bytes(piece) async for piece in reader])


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def find_file(path: Path, name: str) -> Path:
    for found in (path / "blobs" / "files").glob("*/*"):
        if key_of(name) in os.getxattr(found, "user.holdfast.identity"):
            return found
    raise AssertionError(name)


def test_a_full_device_takes_deletions_only(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d", full_ratio=0.0) as store:
            with pytest.raises(RemoteError) as caught:
                await store.put(put("a", clock.now()), b"")
            assert caught.value.code == Refusal.DEVICE_FULL
            with pytest.raises(RemoteError) as caught:
                await store.prepare(BlobPrepare(b"u" * 16, 5), pieces(b"12345"))
            assert caught.value.code == Refusal.DEVICE_FULL
            await store.delete(delete("a", clock.now()))

    run(body)


@pytest.mark.parametrize(
    ("call", "code", "refusal"),
    [
        ("pwritev", errno.ENOSPC, Refusal.DEVICE_FULL),
        ("pwritev", errno.EIO, Refusal.DEVICE_FAILED),
        ("create_temporary", errno.EROFS, Refusal.DEVICE_FAILED),
    ],
)
def test_an_upload_that_the_device_refuses_says_why(
    tmp_path: Path, call: str, code: int, refusal: Refusal
) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        async with Device(tmp_path / "d", disk=disk) as store:
            disk.failures[call] = code
            with pytest.raises(RemoteError) as caught:
                await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            assert caught.value.code == refusal
            disk.failures.clear()
            assert store.status()["uploads"] == 0

    run(body)


def test_a_failed_sync_of_a_file_fails_its_commit_for_good(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        async with Device(tmp_path / "d", disk=disk) as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            disk.failures["fsync"] = errno.EIO
            message = BlobCommit(b"u" * 16, key_of("a"), clock.now(), 0, b"m")
            for _ in range(2):
                with pytest.raises(RemoteError) as caught:
                    await store.commit(message)
                assert caught.value.code == Refusal.DEVICE_FAILED
                disk.failures.clear()
            assert store.stat(key_of("a")) is None

    run(body)


def test_what_a_failed_log_may_have_kept_keeps_its_file(tmp_path: Path) -> None:
    """A sync that fails tells nothing of what is on the disk: the next start may find the record."""

    async def body() -> None:
        disk = FaultyDisk()
        device = Device(tmp_path / "d", {"disk": disk})
        async with device as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            disk.failures["fdatasync"] = errno.EIO
            with pytest.raises(RemoteError) as caught:
                await store.commit(BlobCommit(b"u" * 16, key_of("a"), clock.now(), 0, b"m"))
            assert caught.value.code == Refusal.DEVICE_FAILED
            await asyncio.gather(*store._tasks, return_exceptions=True)
            disk.failures.clear()
            crashed = device.crash()
        async with Device(crashed) as store:
            assert store.stat(key_of("a")) is not None, "the record was in the page cache"
            assert (await got(store, "a"))[1] == LARGE
            assert store.lost_data == ""

    run(body)


def test_a_version_for_which_there_was_no_room_leaves_no_file(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        async with Device(tmp_path / "d", {"disk": disk}) as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            disk.failures["pwritev"] = errno.ENOSPC
            with pytest.raises(RemoteError) as caught:
                await store.commit(BlobCommit(b"u" * 16, key_of("a"), clock.now(), 0, b"m"))
            assert caught.value.code == Refusal.DEVICE_FULL
            async with asyncio.timeout(5):
                await until(lambda: not files_in(tmp_path / "d"))
            disk.failures.clear()

    run(body)


def test_an_upload_whose_file_got_its_name_and_no_more_leaves_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        async with Device(tmp_path / "d", disk=disk) as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            disk.failures["fsync"] = errno.ENOSPC
            with pytest.raises(RemoteError) as caught:
                await store.commit(BlobCommit(b"u" * 16, key_of("a"), clock.now(), 0, b"m"))
            assert caught.value.code == Refusal.DEVICE_FULL
            disk.failures.clear()
            store.abort(b"u" * 16)
            async with asyncio.timeout(5):
                await until(lambda: not files_in(tmp_path / "d"))

    run(body)


def test_identities_too_large_for_an_attribute_are_put_behind_the_data(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await put_large(store, "a", clock.now(), LARGE, b"x" * 10_000)
            assert await got(store, "a") == (store.stat(key_of("a"))._replace(metadata=b"x" * 10_000), LARGE)  # type: ignore[union-attr]
            file = next((tmp_path / "d" / "blobs" / "files").glob("*/*"))
            assert file.stat().st_size > len(LARGE) + 10_000
            identity = store._files.identity(bytes.fromhex(file.name))
            assert identity is not None
            assert identity.metadata.endswith(b"x" * 10_000)
            assert len(identity.checksums) == 4 * -(-len(LARGE) // 65536)

    run(body)
