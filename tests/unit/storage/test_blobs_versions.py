"""storage.blobs.store: versions, and which of them is in force."""

import asyncio
from pathlib import Path

import pytest

from cluster.wire import RemoteError
from storage.blobs.reader import FileReader
from storage.messages import (
    INLINE_LIMIT,
    BlobFlag,
    BlobGet,
    BlobPromise,
    BlobUpdate,
    Refusal,
    Version,
)
from tests.unit.storage.blob_stores import (
    LARGE,
    Device,
    clock,
    delete,
    files_in,
    got,
    headed,
    key_of,
    pieces,
    put,
    put_large,
    run,
)
from tests.unit.storage.faulty_disk import FaultyDisk


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
