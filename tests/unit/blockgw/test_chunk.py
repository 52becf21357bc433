"""blockgw.volumes.chunk: what acknowledges a write, and what does not."""

import asyncio
from typing import cast

from blockgw.agreement import NOTHING, ChunkVersion
from blockgw.volumes.chunk import Chunk, Pending
from blockgw.volumes.replica import Kind, Members, Replica, Write
from storage.quorum import Majority

DEVICES = {0: 1, 1: 1, 2: 1}  # with their runs


def opened(loop: asyncio.AbstractEventLoop, *fua: bool) -> tuple[Chunk, list[Pending]]:
    """Return a chunk on three devices, and writes that were sent to it."""
    chunk = Chunk(0, Members({device: cast(Replica, None) for device in DEVICES}, Majority.of(DEVICES)))
    chunk.found(NOTHING, DEVICES)
    for each in fua:
        version, before = chunk.next_version(1), chunk.version
        write = Write(0, version, before, None, Kind.WRITE, 0, 1, b"x", each)
        chunk.add(Pending(write, loop.create_future()))
    return chunk, chunk.unsent()


def test_that_devices_have_a_write_acknowledges_it_but_not_one_that_is_to_be_durable() -> None:
    """They have written it, and may not have synced it: so it is asked for again, and what is behind it with it."""
    loop = asyncio.new_event_loop()
    chunk, (plain, durable, last) = opened(loop, False, True, False)
    assert chunk.found(ChunkVersion(1, 3), DEVICES) == [plain]
    assert chunk.unsent() == [durable, last]
    assert chunk.took(0, durable, 1) == chunk.took(0, last, 1) == chunk.took(1, last, 1) == []
    assert chunk.took(1, durable, 1) == [durable, last]
    loop.close()


def test_what_a_device_has_taken_before_counts_only_if_it_has_it_still() -> None:
    loop = asyncio.new_event_loop()
    chunk, (first, second) = opened(loop, False, False)
    assert chunk.took(0, first, 1) == []
    assert chunk.found(NOTHING, {1: 1, 2: 1}) == []  # the first device is away
    assert chunk.unsent() == [first, second]
    assert chunk.took(1, first, 1) == []
    assert chunk.took(2, first, 1) == [first]
    loop.close()
