"""Gateways on the devices of a loopback cluster, for tests."""

import functools
import tempfile
from collections.abc import AsyncIterator, Sequence
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
async def gateways(
    cluster: LoopbackCluster,
    count: int = 1,
    keys: Sequence[bytes] = (),
    kind: type[EmbeddedCoordination] = EmbeddedCoordination,
) -> AsyncIterator[list[Gateway]]:
    """Yield gateways that share coordination; `keys` of the cluster as each of them knows it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "coordination.db"
        made = []
        for number in range(count):
            background = BackgroundStore(lambda: kind(path))
            name, key = f"gateway {number}", keys[number] if keys else b"k" * 32
            made.append(Gateway(cluster.placement(name), background, name, cluster_key=key))
        yield made
        for gateway in made:
            await gateway.close()
            await gateway._background.close()


async def read(export: Export, offset: int, length: int) -> bytes:
    """Return what an export has there."""
    pieces = export.read(offset, length)
    assert not isinstance(pieces, list | tuple)
    return b"".join([bytes(piece) for piece in await pieces])
