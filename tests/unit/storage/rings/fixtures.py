"""What the tests of storage.rings share: rings of a few partitions, written down, and coordination in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.coordination.embedded import EmbeddedCoordination
from ring.device import Device
from ring.lookup import Ring
from storage.rings.background import BackgroundStore
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT

NAMES = (OBJECT, CONTAINER, ACCOUNT)


def ring(*partitions: Sequence[int]) -> Ring:
    """Return the ring whose partitions have these primaries; their number is a power of two."""
    count = max(max(primaries) for primaries in partitions) + 1
    devices = tuple(Device(number, 1, number, "127.0.0.1", 6000 + number, f"d{number}") for number in range(count))
    replica_count = max(map(len, partitions))
    assert all(len(primaries) == replica_count for primaries in partitions)
    rows = tuple(
        memoryview(b"".join(primaries[replica].to_bytes(2, "little") for primaries in partitions)).cast("H")
        for replica in range(replica_count)
    )
    return Ring((len(partitions) - 1).bit_length(), devices, rows)


def three(one: Ring) -> Mapping[str, Ring]:
    """Return rings that all are the same."""
    return dict.fromkeys(NAMES, one)


def background(directory: Path) -> BackgroundStore:
    """Return a store on a thread of its own."""
    return BackgroundStore(lambda: coordination(directory))


def coordination(directory: Path) -> EmbeddedCoordination:
    """Return coordination as a process opens it."""
    return EmbeddedCoordination(directory / "coordination.db")
