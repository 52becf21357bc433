"""storage.blobs.store: uploads that break, are made again, or are dropped."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cluster.threads import WaiterThreads
from cluster.wire import RemoteError
from storage.messages import (
    BlobCommit,
    BlobPrepare,
    Refusal,
    Version,
)
from tests.unit.cluster.wire_cluster import until
from tests.unit.storage.blob_stores import (
    LARGE,
    Device,
    clock,
    files_in,
    got,
    key_of,
    pieces,
    put,
    run,
)

T = TypeVar("T")


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
