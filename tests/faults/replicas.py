"""What each device really holds, read through the wire, beside what the rings say that it should hold.

Nothing here believes the cluster's own account: every device is asked to list all its objects and databases, whoever
placed them. Where the rings want a replica there must be one, of the same version as the others, and nowhere else.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.wire import PeerUnavailable, RemoteError
from ring.hashing import partition_of
from ring.lookup import Ring
from storage.client import Placement, connected_placement, ring_name
from storage.messages import DatabaseKind, Operation
from storage.rings.document import OBJECT
from storage.rings.store import RingStore
from tests.cluster import Cluster

PAGE = 1000
PATIENCE_S = 120.0
_TIMEOUT_S = 10.0
Held = dict[bytes, dict[int, bytes]]  # key -> device id -> what tells versions apart


@dataclass(slots=True)
class Content:
    """What all devices hold, by ring."""

    rings: Mapping[str, Ring]
    held: dict[str, Held] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return where it is otherwise than the rings say."""
        return [problem for name in self.held for problem in self._problems_of(name)]

    def _problems_of(self, name: str) -> list[str]:
        ring, found = self.rings[name], []
        for key, holders in self.held[name].items():
            partition = partition_of(key, ring.part_power)
            wanted = {device.id for device in ring.primaries(partition)}
            where = f"{name} {key.hex()}, partition {partition}"
            if missing := wanted - holders.keys():
                found.append(f"{where}: missing on {sorted(missing)}")
            if extra := holders.keys() - wanted:
                found.append(f"{where}: should not be on {sorted(extra)}")
            if len({holders[device] for device in wanted & holders.keys()}) > 1:
                found.append(f"{where}: its replicas differ")
        return found

    def counts(self) -> dict[str, int]:
        """Return how many objects and databases there are, by ring."""
        return {name: len(held) for name, held in self.held.items()}


def rings_in_force(cluster: Cluster) -> Mapping[str, Ring]:
    """Return the current rings, by name."""
    coordination = EmbeddedCoordination(cluster.directory / "coordination.db")
    try:
        store = RingStore(coordination)
        return store.rings_of(store.document()).current
    finally:
        coordination.close()


def content(cluster: Cluster) -> Content:
    """Return what all devices hold at this moment. Raise PeerUnavailable, RemoteError."""
    return asyncio.run(_content(cluster))


def await_right(cluster: Cluster, patience_s: float = PATIENCE_S) -> Content:
    """Return the content once it is as the rings say; raise AssertionError when that does not come to be."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            found = content(cluster)
            problems = found.problems()
        except (PeerUnavailable, RemoteError) as error:
            problems = [f"a device cannot be asked: {error}"]
        if not problems:
            return found
        assert time.monotonic() < deadline, f"{len(problems)} after {patience_s:.0f} s: {problems[:8]}"
        time.sleep(1)


def joining_bytes(before: Ring, after: Ring, sizes: Mapping[bytes, int]) -> int:
    """Return the bytes that must be copied for a change of the ring: once for each device that comes new."""
    total = 0
    for key, size in sizes.items():
        old = {device.id for device in before.primaries(partition_of(key, before.part_power))}
        new = {device.id for device in after.primaries(partition_of(key, after.part_power))}
        total += size * len(new - old)
    return total


async def _content(cluster: Cluster) -> Content:
    layout = Layout(cluster.directory)
    coordination = EmbeddedCoordination(layout.coordination)
    store = RingStore(coordination)
    rings = store.rings_of(store.document())
    coordination.close()
    placement = connected_placement(load(layout.config), layout, rings)
    placement.start()
    try:
        up = await asyncio.gather(*(peer.ready(_TIMEOUT_S) for peer in placement.peers.values()))
        if not all(up):
            raise PeerUnavailable(f"of devices {sorted(placement.peers)} one cannot be reached")
        found = Content(rings.current)
        found.held[OBJECT] = await _gathered(placement, Operation.BLOB_VERSIONS, ())
        for kind in DatabaseKind:
            found.held[ring_name(kind)] = await _gathered(placement, Operation.INDEX_INVENTORY, (int(kind),))
        return found
    finally:
        await placement.close()


async def _gathered(placement: Placement, operation: Operation, before: tuple[int, ...]) -> Held:
    lists = await asyncio.gather(
        *(_listed(placement, device_id, operation, before) for device_id in placement.peers)
    )
    held: Held = {}
    for device_id, listed in zip(placement.peers, lists, strict=True):
        for key, version in listed:
            held.setdefault(key, {})[device_id] = version
    return held


async def _listed(
    placement: Placement, device_id: int, operation: Operation, before: tuple[int, ...]
) -> Sequence[tuple[bytes, bytes]]:
    found: list[Any] = []
    start = b""
    while True:
        peer, version = placement.peers[device_id], placement.rings.version
        reply = await peer.call(operation, (*before, start, None, PAGE), b"", _TIMEOUT_S, version)
        found += [(item[0], item[1]) for item in reply.metadata]
        if len(reply.metadata) < PAGE:
            return found
        start = reply.metadata[-1][0] + b"\0"
