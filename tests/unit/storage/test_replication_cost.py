"""What it costs to find out that nothing differs: messages by partitions, however many objects there are."""

import asyncio
import math
from collections import Counter
from pathlib import Path

import pytest

from proxy.objects.model import ObjectName
from storage.housekeeping import replicate, synchronize
from storage.housekeeping.pull import PARTITIONS_PER_MESSAGE
from storage.messages import DatabaseKind, Operation
from storage.rings.moves import held_partitions
from tests.loopback import LoopbackCluster, put


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be left for its writer to finish."""
    monkeypatch.setattr(replicate, "GRACE_S", 0.0)
    monkeypatch.setattr(synchronize, "GRACE_S", 0.0)


async def asked_when_nothing_differs(directory: Path, object_count: int) -> tuple[Counter[int], int]:
    """Return what device 0 asks the others when it compares itself with them, and what it should take at most."""
    async with LoopbackCluster(directory) as cluster:
        service = cluster.proxy().service
        await service.create_container("AUTH_a", "c", {})
        for index in range(object_count):
            await put(service, ObjectName("AUTH_a", "c", f"k{index}"), b"body")
        for device in cluster.devices:  # all catch up with what a quorum did without them
            await device.replicate().step()
            for kind in DatabaseKind:
                await device.synchronize(kind).step()
        device = cluster.devices[0]
        for peer in device.peers.values():
            peer.sent.clear()
        await device.replicate().step()
        for kind in DatabaseKind:
            await device.synchronize(kind).step()
        sent = Counter(operation for peer in device.peers.values() for operation in peer.sent)
        held = set(held_partitions(cluster.ring, 0))
        shared = [held & set(held_partitions(cluster.ring, other.id)) for other in cluster.devices[1:]]
        return sent, sum(math.ceil(len(partitions) / PARTITIONS_PER_MESSAGE) for partitions in shared)


def test_comparing_what_is_equal_takes_messages_by_partitions_and_not_by_objects(tmp_path: Path) -> None:
    few, limit = asyncio.run(asked_when_nothing_differs(tmp_path / "few", 10))
    many, _limit = asyncio.run(asked_when_nothing_differs(tmp_path / "many", 150))
    assert few == many
    assert 0 < many[Operation.BLOB_DIGESTS] <= limit
    assert not many[Operation.BLOB_VERSIONS]
    assert not many[Operation.BLOB_SUBDIGESTS]
