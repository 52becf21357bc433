"""What nearly every test says: which cluster it plays in, what it stores and reads."""

import asyncio
import functools
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from cluster.wire import Buffer
from proxy.objects.model import CommonPrefix, ListingQuery, NewObject, ObjectInfo, ObjectName
from proxy.objects.ranges import Range
from proxy.objects.service import ObjectService
from ring.lookup import Ring
from tests.loopback.cluster import LoopbackCluster

TEXT = NewObject("text/plain")
MiB = 1 << 20
_TIMEOUT_S = 60.0  # then it hangs, also where the machine has other things to do
Made = TypeVar("Made")


def in_cluster(
    scenario: Callable[[LoopbackCluster], Awaitable[None]],
    device_count: int = 4,
    ring: Ring | None = None,
    split_rows: int = 0,
) -> Callable[[], None]:
    """Run the decorated test in a cluster of its own, in memory where the system has a place for that."""

    return played_in(
        lambda directory: LoopbackCluster(directory, device_count, ring=ring, split_rows=split_rows), scenario
    )


def played_in(
    make: Callable[[Path], AbstractAsyncContextManager[Made]], scenario: Callable[[Made], Awaitable[None]]
) -> Callable[[], None]:
    """Return a test that plays a scenario in what `make` makes, in memory where the system has a place for that."""

    async def play(directory: Path) -> None:
        async with make(directory) as made:
            async with asyncio.timeout(_TIMEOUT_S):
                await scenario(made)

    @functools.wraps(scenario)
    def test() -> None:
        memory = "/dev/shm"
        with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
            asyncio.run(play(Path(directory)))

    del test.__wrapped__  # pytest would take the scenario's arguments for fixtures
    return test


async def put(service: ObjectService, name: ObjectName, data: bytes, new: NewObject = TEXT) -> ObjectInfo:
    """Store `data`."""
    return await service.put_object(name, body_of(data), new)


async def get(service: ObjectService, name: ObjectName, wanted: Range | None = None) -> bytes:
    """Return the bytes of an object."""
    reader = await service.get_object(name, wanted)
    return b"".join([bytes(piece) async for piece in reader.pieces])


async def names_in(service: ObjectService, account: str, container: str, **query: Any) -> list[str]:
    """Return what a container lists."""
    listing = await service.list_container(account, container, ListingQuery(**query))
    return [item if isinstance(item, CommonPrefix) else item.name for item in listing.items]


class Pieces:
    """A request's body, given as pieces; `error` is raised where the end would be."""

    def __init__(
        self, pieces: Sequence[bytes], length: int | None = None, error: Exception | None = None
    ) -> None:
        self.length = length
        self._pieces = iter(pieces)
        self._error = error

    async def read(self) -> Buffer:
        """Return the next piece."""
        await asyncio.sleep(0)
        piece = next(self._pieces, b"")
        if not piece and self._error is not None:
            raise self._error
        return piece


def body_of(data: bytes, piece_size: int = 256 << 10) -> Pieces:
    """Return a body that is `data`."""
    return Pieces([data[at : at + piece_size] for at in range(0, len(data), piece_size)], len(data))
