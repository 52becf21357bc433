"""Gateways on the devices of a loopback cluster, for tests."""

import functools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from blockgw.gateway import Gateway
from blockgw.interfaces import Client, Export
from cluster.coordination.embedded import EmbeddedCoordination
from storage.rings.background import BackgroundStore
from tests.loopback import LoopbackCluster, in_cluster

CLIENT = Client("")
MiB = 1 << 20
on_three_devices = functools.partial(in_cluster, device_count=3)


@asynccontextmanager
async def gateways(cluster: LoopbackCluster, count: int = 1) -> AsyncIterator[list[Gateway]]:
    """Yield gateways that share coordination."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "coordination.db"
        made = []
        for number in range(count):
            background = BackgroundStore(lambda: EmbeddedCoordination(path))
            made.append(Gateway(cluster.placement(f"gateway {number}"), background, f"gateway {number}"))
        yield made
        for gateway in made:
            await gateway.close()
            await gateway._background.close()


async def read(export: Export, offset: int, length: int) -> bytes:
    """Return what an export has there."""
    pieces = export.read(offset, length)
    assert not isinstance(pieces, list | tuple)
    return b"".join([bytes(piece) for piece in await pieces])
