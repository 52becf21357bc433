"""storage.blobs.store: the operations."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from cluster.clock import pack as timestamp_at
from cluster.clock import wall_us
from cluster.threads import WaiterThreads
from cluster.wire import RemoteError, Reply, Request
from storage.blobs import digest
from storage.blobs.reader import FileReader
from storage.messages import (
    INLINE_LIMIT,
    BlobCommit,
    BlobFlag,
    BlobGet,
    BlobPrepare,
    BlobPromise,
    BlobUpdate,
    Refusal,
    Version,
)
from tests.unit.cluster.wire_cluster import cluster, until
from tests.unit.storage.blob_stores import (
    PART_POWER,
    Device,
    clock,
    delete,
    got,
    headed,
    key_of,
    pieces,
    put,
    put_large,
    run,
)
from tests.unit.storage.faulty_disk import FaultyDisk

T = TypeVar("T")
LARGE = os.urandom(3 * INLINE_LIMIT + 12345)


def files_in(path: Path) -> list[Path]:
    return [*(path / "blobs" / "tmp").iterdir(), *(path / "blobs" / "files").glob("*/*")]


def test_a_small_object_is_stored_read_replaced_and_deleted(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            first, second, third = clock.now(), clock.now(), clock.now()
            assert store.stat(key_of("a")) is None
            assert await headed(store, "a") is None
            assert await got(store, "a") == (None, b"")
            await store.put(put("a", first, b"meta", flags=BlobFlag.UNLISTED), b"data")
            assert store.stat(key_of("a")) == Version(first, False, BlobFlag.UNLISTED, 4)
            assert await headed(store, "a") == Version(first, False, BlobFlag.UNLISTED, 4, b"meta")
            assert await got(store, "a") == (Version(first, False, BlobFlag.UNLISTED, 4, b"meta"), b"data")
            await store.put(put("a", second), b"")
            assert await got(store, "a") == (Version(second, False, 0, 0, b"m"), b"")
            await store.delete(delete("a", third))
            assert await got(store, "a") == (Version(third, True, 0, 0, b"gone"), b"")

    run(body)


def test_nothing_is_visible_before_it_is_durable(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            future = store.put(put("a", clock.now()), b"data")
            assert store.stat(key_of("a")) is None
            await future
            assert store.stat(key_of("a")) is not None

    run(body)


def test_the_newest_timestamp_wins_also_over_what_is_on_its_way(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            older, newer = clock.now(), clock.now()
            for wait in (False, True):
                name = f"a{wait}"
                future = store.put(put(name, newer), b"new")
                if wait:
                    await future
                with pytest.raises(RemoteError) as caught:
                    await store.put(put(name, older), b"old")
                assert (caught.value.code, caught.value.detail) == (Refusal.SUPERSEDED, newer)
                with pytest.raises(RemoteError):
                    await store.delete(delete(name, older))
                await store.put(put(name, newer), b"new")  # the same again: it is here
                await future
                assert (await got(store, name))[1] == b"new"

    run(body)


def test_many_writers_of_one_key_leave_the_newest(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            timestamps = [clock.now() for _ in range(200)]
            codes: set[int] = set()

            async def write(index: int) -> None:
                await asyncio.sleep((index * 37 % 200) / 20_000)
                try:
                    await store.put(put("a", timestamps[index]), b"%d" % index)
                except RemoteError as error:
                    codes.add(error.code)

            await asyncio.gather(*map(write, range(200)))
            assert await got(store, "a") == (Version(timestamps[199], False, 0, 3, b"m"), b"199")
            assert codes <= {Refusal.SUPERSEDED}

    run(body)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("size", [0, 1, 70_000, INLINE_LIMIT, INLINE_LIMIT + 1, len(LARGE)])
def test_any_range_of_any_size_is_read(tmp_path: Path, size: int, cached: bool) -> None:
    async def body() -> None:
        disk = FaultyDisk()
        disk.cached = cached
        async with Device(tmp_path / "d", {"disk": disk}, disk=disk) as store:
            data = LARGE[:size]
            await put_large(store, "a", clock.now(), data)
            middle = size // 2
            for start, end in [
                (0, None),
                (0, 1),
                (middle, None),
                (middle, middle + 5),
                (1, size),
                (size, None),
            ]:
                assert (await got(store, "a", start, end))[1] == data[start:end], (start, end)
            assert (await got(store, "a", -10))[1] == data[-10:]
            assert (await got(store, "a", -2 * size - 1))[1] == data
            assert (await got(store, "a", 5, size + 99))[1] == data[5:]
            assert (await got(store, "a", size + 5, size + 9))[1] == b""

    run(body)


def test_a_manifest_comes_whole(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await store.put(put("a", clock.now(), flags=BlobFlag.MANIFEST), b"segments")
            assert (await got(store, "a", 3, 4))[1] == b"segments"

    run(body)


def test_a_version_that_is_not_the_newest_is_not_found(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            first, second = clock.now(), clock.now()
            await store.put(put("a", first), b"1")
            assert (await got(store, "a", timestamp=first))[1] == b"1"
            for name, timestamp in (("a", second), ("b", first)):
                with pytest.raises(RemoteError) as caught:
                    store.get(BlobGet(key_of(name), timestamp=timestamp))
                assert caught.value.code == Refusal.NOT_FOUND

    run(body)


def test_a_file_goes_when_its_version_is_replaced_and_readers_read_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await put_large(store, "a", clock.now(), LARGE)
            assert len(files_in(tmp_path / "d")) == 1
            _, reader = await store.get(BlobGet(key_of("a")))  # type: ignore[misc]
            assert isinstance(reader, FileReader)
            await store.delete(delete("a", clock.now()))
            await asyncio.sleep(0.1)
            assert files_in(tmp_path / "d") == []
            assert b"".join([bytes(piece) async for piece in reader]) == LARGE

    run(body)


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_an_upload_that_breaks_or_is_aborted_leaves_nothing(tmp_path: Path, size: int) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            read = pieces(LARGE[:size])

            async def broken() -> bytes:
                piece = await read()
                if not piece:
                    raise ConnectionResetError
                return bytes(piece)

            with pytest.raises(ConnectionResetError):
                await store.prepare(BlobPrepare(b"u" * 16, None), broken)
            with pytest.raises(RemoteError) as caught:
                await store.prepare(BlobPrepare(b"u" * 16, size + 1), pieces(LARGE[:size]))
            assert caught.value.code == Refusal.BAD_REQUEST
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE[:size]))
            store.abort(b"u" * 16)
            store.abort(b"unknown")
            with pytest.raises(RemoteError) as caught:
                await store.commit(BlobCommit(b"u" * 16, key_of("a"), clock.now(), 0, b""))
            assert caught.value.code == Refusal.NOT_FOUND
            await asyncio.sleep(0.05)
            assert files_in(tmp_path / "d") == []
            assert store.status()["uploads"] == 0

    run(body)


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_commit_that_was_superseded_is_made_again_with_a_higher_timestamp(
    tmp_path: Path, size: int
) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            low, high, higher = clock.now(), clock.now(), clock.now()
            await store.put(put("a", high), b"x")
            await store.prepare(BlobPrepare(b"u" * 16, size), pieces(LARGE[:size]))
            with pytest.raises(RemoteError) as caught:
                await store.commit(BlobCommit(b"u" * 16, key_of("a"), low, 0, b"m"))
            assert (caught.value.code, caught.value.detail) == (Refusal.SUPERSEDED, high)
            again = BlobCommit(b"u" * 16, key_of("a"), higher, 0, b"m")
            await store.commit(again)
            await store.commit(again)  # the answer was lost
            assert await got(store, "a") == (Version(higher, False, 0, size, b"m"), LARGE[:size])

    run(body)


def test_a_commit_is_superseded_by_what_came_while_its_file_was_synced(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            low, high, higher = clock.now(), clock.now(), clock.now()
            await store.prepare(BlobPrepare(b"u" * 16, len(LARGE)), pieces(LARGE))
            committing = store.commit(BlobCommit(b"u" * 16, key_of("a"), low, 0, b"m"))
            await asyncio.sleep(0)
            await store.put(put("a", high), b"x")
            with pytest.raises(RemoteError) as caught:
                await committing
            assert caught.value.code == Refusal.SUPERSEDED
            await store.commit(BlobCommit(b"u" * 16, key_of("a"), higher, 0, b"m"))
            assert (await got(store, "a"))[1] == LARGE

    run(body)


def test_below_a_promise_nothing_is_taken_copies_included(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            first, second, third, fourth = (clock.now() for _ in range(4))
            future = store.put(put("a", first), b"1")
            promised = await store.promise(BlobPromise(key_of("a"), third))
            assert future.done(), "it was on its way, and comes before the promise"
            assert promised == await headed(store, "a")
            with pytest.raises(RemoteError) as caught:
                await store.put(put("a", second), b"2")
            assert (caught.value.code, caught.value.detail) == (Refusal.PROMISED, third)
            with pytest.raises(RemoteError) as caught:
                await store.install(key_of("a"), Version(second, False, 0, 1, b"m"), b"2")
            assert caught.value.code == Refusal.PROMISED
            await store.put(put("b", second), b"2")
            await store.put(put("a", third), b"3")
            await store.put(put("a", fourth), b"4")
            assert not store.index.promises, "something as new is there"

    run(body)


def test_what_is_on_its_way_into_the_log_stays_so_when_who_asked_for_it_has_gone(tmp_path: Path) -> None:
    """Else something could come into the log behind it that it is there to keep out."""

    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            key, version, promised = key_of("a"), clock.now(), clock.now()
            await store.put(put("a", version), b"data")
            asked = (store.promise(BlobPromise(key, promised)), store.forget([(key, version)]))
            asking = [asyncio.ensure_future(each) for each in asked]
            await asyncio.sleep(0)
            for each in asking:
                each.cancel()
            await asyncio.wait(asking)
            assert store._commits._promised(key) == promised
            assert store._commits.is_forgetting(key) or store.stat(key) is None

    run(body)


def test_a_promise_is_not_given_twice_nor_below_what_is_there(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            first, second, third = (clock.now() for _ in range(3))
            await store.put(put("a", second), b"2")
            for late in (first, second):
                with pytest.raises(RemoteError) as caught:
                    await store.promise(BlobPromise(key_of("a"), late))
                assert (caught.value.code, caught.value.detail) == (Refusal.SUPERSEDED, second)
            await store.promise(BlobPromise(key_of("a"), third))
            with pytest.raises(RemoteError) as caught:
                await store.promise(BlobPromise(key_of("a"), third))
            assert (caught.value.code, caught.value.detail) == (Refusal.PROMISED, third)

    run(body)


@pytest.mark.parametrize("boot_id", ["same", "another"])
def test_promises_outlast_a_restart(tmp_path: Path, boot_id: str) -> None:
    """With an index that is trusted, and with one that is made from the log."""

    async def body() -> None:
        first, second, third = (clock.now() for _ in range(3))
        device = Device(tmp_path / "d", boot_id="same")
        async with device as store:
            await store.put(put("a", first), b"1")
            await store.promise(BlobPromise(key_of("a"), third))
            crashed = device.crash()
        async with Device(crashed, boot_id=boot_id) as store:
            with pytest.raises(RemoteError) as caught:
                await store.put(put("a", second), b"2")
            assert (caught.value.code, caught.value.detail) == (Refusal.PROMISED, third)
            await store.put(put("a", third), b"3")

    run(body)


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_metadata_is_replaced_over_the_same_data(tmp_path: Path, size: int) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            never, first, second, third = clock.now(), clock.now(), clock.now(), clock.now()
            await put_large(store, "a", first, LARGE[:size])
            update = BlobUpdate(key_of("a"), first, second, 0, b"n" * 5000)
            await store.update(update)
            await store.update(update)
            assert await got(store, "a") == (Version(second, False, 0, size, b"n" * 5000), LARGE[:size])
            with pytest.raises(RemoteError) as caught:
                await store.update(BlobUpdate(key_of("a"), first, third, 0, b""))
            assert caught.value.code == Refusal.NOT_FOUND
            with pytest.raises(RemoteError) as caught:
                await store.update(BlobUpdate(key_of("a"), second, never, 0, b""))
            assert caught.value.code == Refusal.SUPERSEDED
            await store.delete(delete("a", third))
            with pytest.raises(RemoteError) as caught:
                await store.update(BlobUpdate(key_of("a"), third, clock.now(), 0, b""))
            assert caught.value.code == Refusal.NOT_FOUND

    run(body)


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_replicas_version_is_installed_once_and_never_over_a_newer_one(tmp_path: Path, size: int) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            older, newer = clock.now(), clock.now()
            data = LARGE[:size]
            for source in (data, pieces(data)):
                await store.install(key_of("a"), Version(newer, False, 0, size, b"m"), source, listed=True)
            await store.install(key_of("a"), Version(older, True, 0, 0, b"m"))
            assert await got(store, "a") == (Version(newer, False, 0, size, b"m"), data)
            assert store.unlisted() == ([], b"")
            await store.install(key_of("b"), Version(older, True, 0, 0, b"gone"))
            assert (await got(store, "b"))[0] == Version(older, True, 0, 0, b"gone")
            assert [key for key, _ in store.unlisted()[0]] == [key_of("b")]
            with pytest.raises(RemoteError):
                await store.install(key_of("c"), Version(newer, False, 0, size + 1, b"m"), data)
            with pytest.raises(RemoteError):
                await store.install(key_of("c"), Version(newer, False, 0, size + 1, b"m"), pieces(data))
            assert store.status()["uploads"] == 0

    run(body)


def test_rows_are_unlisted_until_they_are_confirmed(tmp_path: Path) -> None:
    async def body() -> None:
        device = Device(tmp_path / "d")
        async with device as store:
            old = timestamp_at(wall_us() - 60_000_000, 0, 1)
            young, second = clock.now(), clock.now()
            await store.put(put("old", old), b"")
            await store.put(put("young", young), b"")
            await store.put(put("internal", young, flags=BlobFlag.UNLISTED), b"")
            assert sorted(store.unlisted()[0]) == sorted([(key_of("old"), old), (key_of("young"), young)])
            store.confirm_rows([(key_of("old"), old), (key_of("young"), old), (b"x" * 16, old)])
            await store.delete(delete("young", second))
        async with Device(tmp_path / "d") as store:
            assert store.unlisted()[0] == [(key_of("young"), second)]

    run(body)


def test_unlisted_versions_come_in_pages(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            await asyncio.gather(*[store.put(put(f"{n}", clock.now()), b"") for n in range(10)])
            found, start = [], b""
            while True:
                page, start = store.unlisted(start, 3)
                assert len(page) <= 3
                found += page
                if not start:
                    break
            assert sorted(key for key, _ in found) == sorted(key_of(f"{n}") for n in range(10))

    run(body)


def test_digests_tell_what_is_there_and_nothing_else(tmp_path: Path) -> None:
    """Two replicas that took different ways to the same versions agree."""

    async def body() -> None:
        async with Device(tmp_path / "a") as left, Device(tmp_path / "b") as right:
            versions = {f"{n}": (clock.now(), clock.now()) for n in range(50)}
            for name, (first, second) in versions.items():
                await left.put(put(name, first), b"1")
                await left.put(put(name, second), b"2")
            for name, (_, second) in reversed(versions.items()):
                await right.install(key_of(name), Version(second, False, 0, 1, b"m"), b"2")
            partitions = range(1 << PART_POWER)
            assert left.digests(PART_POWER, partitions) == right.digests(PART_POWER, partitions)
            await right.delete(delete("7", clock.now()))
            changed = [
                partition
                for partition in partitions
                if left.digests(PART_POWER, [partition]) != right.digests(PART_POWER, [partition])
            ]
            assert changed == [key_of("7")[0] >> 4]
            parts = list(
                zip(
                    left.subdigests(PART_POWER, changed[0]),
                    right.subdigests(PART_POWER, changed[0]),
                    strict=True,
                )
            )
            assert [n for n, (a, b) in enumerate(parts) if a != b] == [
                int.from_bytes(key_of("7")[:2], "big") >> 4 & 0xFF
            ]
            key = key_of("3")
            total = sum(
                digest.hash_of(key_of(name), second)
                for name, (_, second) in versions.items()
                if key_of(name)[0] >> 4 == key[0] >> 4
            )
            assert left.digests(PART_POWER, [key[0] >> 4]) == [digest.encode(total)]
            with pytest.raises(RemoteError):
                left.digests(PART_POWER + 1, [0])

    run(body)


def test_versions_are_listed_in_key_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            timestamp = clock.now()
            await asyncio.gather(*[store.put(put(f"{n}", timestamp), b"") for n in range(20)])
            later = clock.now()
            await store.delete(delete("3", later))
            keys = sorted(key_of(f"{n}") for n in range(20))
            gone = key_of("3")
            everything = [(key, later if key == gone else timestamp, key == gone) for key in keys]
            assert store.versions(b"", None, 100) == everything
            assert store.versions(keys[3], keys[7], 100) == everything[3:7]
            assert store.versions(keys[3], None, 2) == everything[3:5]

    run(body)


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


def test_an_upload_is_removed_though_the_disk_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.blobs.upload._RETRY_S", 0.01)

    class Behind(WaiterThreads):
        is_behind = False

        def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> asyncio.Future[T]:
            if self.is_behind:
                raise OverflowError("4096 calls wait for the disk")
            return super().run(function, *args, **kwargs)

    async def body() -> None:
        waiters = Behind()
        async with Device(tmp_path / "d", waiters=waiters) as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            upload = store._uploads._uploads[b"u" * 16]
            waiters.is_behind = True
            store.abort(b"u" * 16)
            await asyncio.sleep(0.05)
            assert upload._file is not None
            waiters.is_behind = False
            async with asyncio.timeout(5):
                await until(lambda: upload._file is None)

    run(body)


def test_an_upload_that_nobody_commits_is_dropped(tmp_path: Path) -> None:
    async def body() -> None:
        async with Device(tmp_path / "d", upload_ttl_s=0.0) as store:
            await store.prepare(BlobPrepare(b"u" * 16, None), pieces(LARGE))
            assert store.status()["uploads"] == 1
            store._tick()
            assert store.status()["uploads"] == 0

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
