"""Blob stores for tests: opened in a directory, stopped cleanly or left as a crash would."""

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.clock import HybridClock, Timestamp
from storage.blobs.reader import FileReader
from storage.blobs.store import BlobStore
from storage.blobs.upload import Read
from storage.log.device import DeviceLog
from storage.messages import INLINE_LIMIT, BlobCommit, BlobDelete, BlobGet, BlobPrepare, BlobPut, Version

PART_POWER = 4
LARGE = os.urandom(3 * INLINE_LIMIT + 12345)
clock = HybridClock(7)


def key_of(name: str) -> bytes:
    return hashlib.md5(name.encode()).digest()


def put(name: str, timestamp: Timestamp, metadata: bytes = b"m", **more: Any) -> BlobPut:
    return BlobPut(key_of(name), timestamp, more.pop("flags", 0), metadata, **more)


def delete(name: str, timestamp: Timestamp, **more: Any) -> BlobDelete:
    return BlobDelete(key_of(name), timestamp, 0, b"gone", **more)


def pieces(data: bytes, size: int = 200_001) -> Read:
    parts = iter([data[start : start + size] for start in range(0, len(data), size)])

    async def read() -> bytes:
        return next(parts, b"")

    return read


async def put_large(
    store: BlobStore, name: str, timestamp: Timestamp, data: bytes, metadata: bytes = b"m"
) -> None:
    upload_id = hashlib.md5(name.encode() + timestamp).digest()
    assert await store.prepare(BlobPrepare(upload_id, len(data)), pieces(data)) == len(data)
    await store.commit(BlobCommit(upload_id, key_of(name), timestamp, 0, metadata))


async def got(store: BlobStore, name: str, *range_: int | None, **more: Any) -> tuple[Version | None, bytes]:
    answer = store.get(BlobGet(key_of(name), *range_, **more))
    version, body = answer if isinstance(answer, tuple) else await answer
    if isinstance(body, FileReader):
        return version, b"".join([bytes(piece) async for piece in body])
    return version, bytes(body)


async def headed(store: BlobStore, name: str) -> Version | None:
    answer = store.head(key_of(name))
    return await answer if isinstance(answer, Awaitable) else answer


class Device:
    """A log and a blob store in `path`."""

    def __init__(self, path: Path, log_options: dict[str, Any] | None = None, **options: Any) -> None:
        self.path = path
        self.log = DeviceLog(str(path / "log"), **(log_options or {}))
        self.store = BlobStore(self.log, str(path / "blobs"), PART_POWER, **options)

    async def __aenter__(self) -> BlobStore:
        self.log.start()
        self.store.start()
        return self.store

    async def __aexit__(self, *error: object) -> None:
        await self.store.stop()
        await self.log.close()
        self.store.close()

    def crash(self, name: str = "crashed") -> Path:
        """Copy what a kill would leave now."""
        copy = self.path.parent / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.path, copy, copy_function=_copy_if_there)
        return copy


def _copy_if_there(source: str, target: str) -> None:
    """Copy a file, unless a thread has just given it another name."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 60))  # type: ignore[arg-type]


def tables(store: BlobStore) -> dict[str, dict[bytes, bytes]]:
    """What the index holds, table by table."""
    return store.index.dump()


def files_in(path: Path) -> list[Path]:
    """Return the files of uploads and large objects."""
    return [*(path / "blobs" / "tmp").iterdir(), *(path / "blobs" / "files").glob("*/*")]
