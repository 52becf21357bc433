"""A client's view of the storage devices: one connection a device, and the rings that say whom to ask.

`Placement` is what the object service, the block gateway and replication share: from a key to the
peers that hold it. Devices that are down stay in the answer: whether a quorum of them is up is for
the caller to say (storage/quorum.py).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.config import Config
from cluster.coordination.interface import Coordination
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.wire import Peer
from ring.file import load as load_ring
from ring.hashing import NameHash
from ring.lookup import Ring
from storage.messages import DatabaseKind
from storage.quorum import quorum_of

# names in coordination
OBJECT_RING, CONTAINER_RING, ACCOUNT_RING = "ring/object-0", "ring/container", "ring/account"


@dataclass(frozen=True, slots=True)
class Rings:
    """The rings in force: of objects, containers and accounts."""

    object: Ring
    container: Ring
    account: Ring

    def of(self, kind: DatabaseKind | None) -> Ring:
        """Return the ring that places databases of `kind`, or objects for None."""
        if kind is None:
            return self.object
        return self.container if kind is DatabaseKind.CONTAINER else self.account


class Placement:
    """Who holds what: rings and hashing, and an open connection to each device."""

    def __init__(self, names: NameHash, rings: Rings, peers: Mapping[int, Peer]) -> None:
        self.names = names
        self.rings = rings
        self.peers = peers
        self._replicas: dict[tuple[Ring, int], tuple[tuple[int, Peer], ...]] = {}

    def __repr__(self) -> str:
        up = sum(1 for peer in self.peers.values() if peer.up)
        return f"Placement({up} of {len(self.peers)} devices up)"

    def replicas(self, ring: Ring, key: bytes) -> tuple[tuple[int, Peer], ...]:
        """Return (device id, peer) of the primaries of `key`, in the ring's order."""
        partition = ring.partition(key)
        known = self._replicas.get((ring, partition))
        if known is None:
            known = tuple((device.id, self.peers[device.id]) for device in ring.primaries(partition))
            self._replicas[ring, partition] = known
        return known

    def partitions_without_quorum(self) -> int:
        """Return how many partitions, of all rings, have too few devices up to be written."""
        lost = 0
        for ring in (self.rings.object, self.rings.container, self.rings.account):
            for partition in range(1 << ring.part_power):
                devices = ring.primaries(partition)
                up = sum(1 for device in devices if self.peers[device.id].up)
                lost += up < quorum_of(len(devices))
        return lost

    def start(self) -> None:
        """Begin to connect to every device."""
        for peer in self.peers.values():
            peer.start()

    async def close(self) -> None:
        """Hang up."""
        await asyncio.gather(*(peer.close() for peer in self.peers.values()))


def connected_placement(
    config: Config,
    layout: Layout,
    coordination: Coordination,
    on_state: Callable[[bool], None] | None = None,
) -> Placement:
    """Return the placement of a cluster, by the rings that coordination holds. Not started.

    `on_state` is told when a device has come up or gone down. Raise ConfigError when the rings are not there.
    """
    cluster = config.cluster
    peers = {
        device.id: Peer(
            layout.device_address(config, device.id),
            cluster.key_bytes,
            name=f"device {device.id}",
            on_state=on_state,
        )
        for device in config.devices
    }
    rings = Rings(*(_ring(coordination, name) for name in (OBJECT_RING, CONTAINER_RING, ACCOUNT_RING)))
    names = NameHash(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())
    return Placement(names, rings, peers)


def _ring(coordination: Coordination, name: str) -> Ring:
    value = coordination.get(name)
    if value is None:
        raise ConfigError(f"the cluster has no {name}: `holdfast up` makes it")
    return load_ring(value.data)
