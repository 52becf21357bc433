"""Memory for large payloads: used again only when nobody holds it. And none is left of connections that have ended."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from cluster.wire import peer
from cluster.wire.client import ClientConnection
from cluster.wire.memory import BUFFER_LIMIT, COUNT_LIMIT, BufferPool
from cluster.wire.network import ProtocolFactory, SocketNetwork
from cluster.wire.peer import Peer


def test_a_buffer_is_not_given_out_twice_while_it_is_held() -> None:
    pool = BufferPool()
    held = [pool.take(100_000) for _ in range(COUNT_LIMIT * 2)]
    assert len({id(buffer) for buffer in held}) == COUNT_LIMIT * 2


def test_a_view_holds_its_buffer() -> None:
    pool = BufferPool()
    view = memoryview(pool.take(100_000))[5:10]
    view[:] = b"12345"
    other = pool.take(100_000)
    other[:] = bytes(len(other))
    assert bytes(view) == b"12345"


def test_a_buffer_that_was_dropped_is_used_again() -> None:
    pool = BufferPool()
    identity = id(pool.take(100_000))
    assert id(pool.take(80_000)) == identity


def test_a_free_buffer_of_another_size_makes_room() -> None:
    pool = BufferPool()
    assert len(pool.take(100_000)) == 131_072
    assert len(pool.take(1 << 20)) == 1 << 20
    assert repr(pool) == "BufferPool([1048576])"


def test_very_large_buffers_are_not_kept() -> None:
    pool = BufferPool()
    assert len(pool.take(BUFFER_LIMIT + 1)) == BUFFER_LIMIT + 1
    assert repr(pool) == "BufferPool([])"


def test_a_pool_that_rests_gives_its_memory_back() -> None:
    pool = BufferPool()
    pool.take(100_000)
    pool.trim()
    assert repr(pool) == "BufferPool([131072])"
    pool.trim()
    assert repr(pool) == "BufferPool([])"


def test_a_peer_that_cannot_be_reached_costs_no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each try was a cycle with a buffer of its own: processes grew by hundreds of megabytes while a node was away."""
    monkeypatch.setattr(peer, "FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(peer, "LAST_RETRY_S", 0.0)
    enough = asyncio.Event()
    tries: list[weakref.ref[ClientConnection]] = []

    class Watched(SocketNetwork):
        async def connect(self, address: str, factory: ProtocolFactory) -> None:
            tries.append(weakref.ref(factory()))
            if len(tries) == 20:
                enough.set()
            await super().connect(address, factory)

    async def scenario() -> None:
        away = Peer(f"unix:{tmp_path}/nobody.sock", b"k" * 32, network=Watched())
        away.start()
        await enough.wait()
        await away.close()
        assert sum(each() is not None for each in tries) <= 2  # the last one, and what is being said of it

    gc.collect()
    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()
