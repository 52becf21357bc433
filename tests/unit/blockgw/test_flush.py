"""blockgw.volumes.flush: what a flush waits for, and for whom."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from blockgw.agreement import ChunkVersion
from blockgw.volumes.chunk import Chunk
from blockgw.volumes.flush import TRIES, Flusher, Foresight, NotDurable
from blockgw.volumes.replica import Members, Replica, ReplicaUnavailable
from storage.quorum import Majority

VERSION = ChunkVersion(1, 1)


class FlushedReplica:
    """A device that is flushed when the test says so."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[int]] = []

    def flush(self, layer: int) -> "asyncio.Future[int]":
        del layer
        call: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        return call


class Volume:
    """The owner of a flusher, and of one chunk on three devices."""

    layer = 1

    def __init__(self) -> None:
        self.devices = [FlushedReplica() for _ in range(3)]
        replicas = {number: cast(Replica, device) for number, device in enumerate(self.devices)}
        self.chunk = Chunk(0, Members(replicas, Majority.of(range(3))))
        self.flusher = Flusher(self)
        self.reopened = 0
        self.loop = asyncio.get_running_loop()

    def write(self, run: int = 1) -> None:
        """Have something acknowledged that is on all devices."""
        self.chunk.acknowledged = VERSION
        for number in range(3):
            self.chunk.current[number] = VERSION
            self.chunk.note_run(number, run)
        self.flusher.note(self.chunk)

    async def reopen(self, chunk: Chunk) -> None:
        self.reopened += 1
        for number in range(3):
            chunk.note_run(number, 1)


def on_a_loop(scenario: Callable[[Volume], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def run() -> None:
            await scenario(Volume())

        asyncio.run(run())

    return test


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@on_a_loop
async def test_a_flush_is_done_when_a_quorum_is_and_the_slowest_is_not_waited_for(volume: Volume) -> None:
    volume.write()
    flushing = volume.flusher.flush()
    volume.devices[0].calls[0].set_result(1)
    await turns()
    assert not flushing.done()
    volume.devices[2].calls[0].set_result(1)
    await turns()
    assert flushing.done()
    assert not volume.chunk.dirty


@on_a_loop
async def test_with_nothing_to_flush_nobody_is_asked(volume: Volume) -> None:
    assert volume.flusher.flush().done()
    assert not volume.devices[0].calls


@on_a_loop
async def test_who_comes_during_a_flush_waits_for_the_next(volume: Volume) -> None:
    volume.write()
    first = volume.flusher.flush()
    volume.write()
    second, third = volume.flusher.flush(), volume.flusher.flush()
    for device in volume.devices[:2]:
        device.calls[0].set_result(1)
    await turns()
    assert (first.done(), second.done(), third.done()) == (True, False, False)
    for device in volume.devices[:2]:
        device.calls[1].set_result(1)
    await turns()
    assert second.done()
    assert third.done()


@on_a_loop
async def test_a_flush_in_another_run_than_that_which_took_the_write_does_not_count(volume: Volume) -> None:
    volume.write(run=1)
    flushing = volume.flusher.flush()
    for run, device in zip((1, 2, 2), volume.devices, strict=True):
        device.calls[0].set_result(run)
    await turns()
    assert not flushing.done()
    assert volume.reopened == 1
    for device in volume.devices[1:]:
        device.calls[1].set_result(1)
    await turns()
    assert flushing.done()


@on_a_loop
async def test_what_could_not_be_flushed_stays_noted(volume: Volume) -> None:
    volume.write()
    flushing = volume.flusher.flush()
    for number in range(TRIES):
        for device in volume.devices:
            device.calls[number].set_exception(ReplicaUnavailable("away"))
        await turns()
    with pytest.raises(NotDurable):
        await flushing
    assert volume.chunk.dirty
    for number in range(3):
        volume.chunk.note_run(number, 1)
    again = volume.flusher.flush()
    for device in volume.devices:
        device.calls[TRIES].set_result(1)
    await turns()
    assert again.done()


@on_a_loop
async def test_who_gives_up_waiting_ends_nothing(volume: Volume) -> None:
    volume.write()
    given_up = volume.flusher.flush()
    given_up.cancel()
    other = volume.flusher.flush()
    for device in volume.devices:
        device.calls[0].set_result(1)
    await turns()
    assert other.done()
    assert not other.cancelled()


def test_a_flush_is_foreseen_after_writes_that_go_out_together_when_that_was_so_the_last_time() -> None:
    foresight = Foresight()
    assert not foresight.write()
    foresight.answered()
    foresight.flush()
    assert [foresight.write(), foresight.write()] == [True, True]
    foresight.answered()
    foresight.flush()
    foresight.flush()  # there was nothing in between: it says nothing
    assert foresight.write()


def test_no_flush_is_foreseen_for_a_write_after_another_was_answered_nor_after_that() -> None:
    foresight = Foresight()
    foresight.write()
    foresight.answered()
    foresight.flush()
    assert foresight.write()
    foresight.answered()
    assert not foresight.write()
    foresight.answered()
    foresight.flush()
    assert not foresight.write()
