"""Stores of rows over a log in memory: one, or two that pull from each other; and what is asked of them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import Timestamp, pack, wall_us
from cluster.wire import RemoteError
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.messages import (
    Changes,
    DatabaseKind,
    IndexChanges,
    IndexFreeze,
    IndexInfo,
    IndexMove,
    IndexThaw,
    Info,
)
from storage.ranges.decision import Named
from storage.ranges.deletion import acceptance_of, deletion_at
from storage.ranges.state import Accepted, accepted_of
from tests.unit.storage.index_fixtures import (
    KEY,
    MemoryLog,
    at,
    list_message,
)

SLOW = Tuning(merge_delay_s=60.0)  # only reads and full batches merge
INFO = IndexInfo(DatabaseKind.CONTAINER, KEY, "AUTH_a", "c")
ROOT = Named("AUTH_a", "c")


async def no_peer(_device: int, _ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
    raise AssertionError("nobody was to be asked")


def run(
    tmp_path: Path,
    scenario: Callable[[IndexStore, MemoryLog], Awaitable[None]],
    tuning: Tuning = SLOW,
    pull: Callable[..., Any] = no_peer,
) -> None:
    async def main() -> None:
        log = MemoryLog()
        store = IndexStore(tmp_path, log, pull, tuning)  # type: ignore[arg-type]
        store.recover()
        store.start()
        await scenario(store, log)
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 20))


async def refused(awaitable: Awaitable[Any] | Callable[[], Any]) -> int:
    with pytest.raises(RemoteError) as raised:
        await (awaitable() if callable(awaitable) else awaitable)
    return raised.value.code


async def names(store: IndexStore, key: bytes = KEY) -> list[str]:
    listing = await store.list(list_message(key=key))
    assert listing is not None
    return [item[0] for item in listing.items]


def freeze(token: bytes = b"t", ttl_s: float = 5.0) -> IndexFreeze:
    return IndexFreeze(DatabaseKind.CONTAINER, KEY, token, ttl_s)


def accepted(timestamp: Timestamp, token: bytes = b"t") -> IndexMove:
    return acceptance_of(KEY, ROOT, at(1), timestamp, token)


def decided(timestamp: Timestamp) -> IndexMove:
    return deletion_at(KEY, ROOT, at(1), timestamp)


def thaw(token: bytes = b"t", abandoned: Timestamp | None = None) -> IndexThaw:
    return IndexThaw(DatabaseKind.CONTAINER, KEY, token, abandoned)


def deletion_of(info: Info | None) -> Accepted | None:
    """Return what a store has accepted."""
    assert info is not None
    return accepted_of(info.metadata)


class Pair:
    """Two stores; the first one pulls with `pull`."""

    def __init__(self, tmp_path: Path, pull: Callable[..., Any], tuning: Tuning = SLOW) -> None:
        self.logs = (MemoryLog(), MemoryLog())
        self.stores = (
            IndexStore(tmp_path / "0", self.logs[0], pull, tuning),  # type: ignore[arg-type]
            IndexStore(tmp_path / "1", self.logs[1], no_peer, tuning),  # type: ignore[arg-type]
        )

    async def __aenter__(self) -> tuple[IndexStore, IndexStore]:
        for store in self.stores:
            store.recover()
            store.start()
        return self.stores

    async def __aexit__(self, *_error: object) -> None:
        for store in self.stores:
            await store.close()


def with_pair(
    tmp_path: Path,
    scenario: Callable[[IndexStore, IndexStore, list[IndexChanges]], Coroutine[Any, Any, None]],
    tuning: Tuning = SLOW,
) -> None:
    async def main() -> None:
        asked: list[IndexChanges] = []

        async def pull(device: int, ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
            assert device == 3
            asked.append(ask)
            return await pair.stores[1].changes(ask)

        pair = Pair(tmp_path, pull, tuning)
        async with pair as (store, other):
            await scenario(store, other, asked)

    asyncio.run(asyncio.wait_for(main(), 20))


def just_now(number: int) -> Timestamp:
    return pack(wall_us() + number, 0, 1)
