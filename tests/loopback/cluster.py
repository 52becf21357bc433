"""The cluster: devices, the rings that place on them, and as many proxies as a test makes."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from cluster.clock import HybridClock, wall_us
from cluster.wire import Peer
from proxy.objects.service import ObjectService
from ring.builder import RingBuilder
from ring.device import Device
from ring.hashing import NameHash
from ring.lookup import Ring
from storage.client import Placement, Rings
from storage.membership.votes import Votes
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT, Stage
from tests.loopback.connection import LoopbackPeer
from tests.loopback.device import FIRST_PROXY, LoopbackDevice, peers_in

PART_POWER = 4


@dataclass(slots=True)
class LoopbackProxy:
    """An object service with connections of its own."""

    service: ObjectService
    placement: Placement
    clock: HybridClock

    @property
    def peers(self) -> Mapping[int, LoopbackPeer]:
        """Connections to all devices."""
        return peers_in(self.placement)


class LoopbackCluster:
    """Devices, a ring over all of them or the first so many, and as many proxies as a test makes.

    async with LoopbackCluster(tmp_path) as cluster:
        service = cluster.proxy().service
    """

    def __init__(
        self,
        directory: Path,
        device_count: int = 4,
        replicas: int = 3,
        ring: Ring | None = None,
        split_rows: int = 0,
    ) -> None:
        self.names = NameHash(b"loop", b"back")
        self.ring = ring or ring_of(device_count, replicas)
        self.rings = rings_of(1, Stage.STABLE, 0, self.ring)  # what is published
        self.split_rows = split_rows  # of a container beyond which devices find that it is to be split; 0: never
        self.wall_offset_s = 0.0  # how far the devices' clocks are ahead of the proxies'
        self.errors: list[BaseException] = []  # that handlers raised and should not have
        self._peers: list[LoopbackPeer] = []
        self._proxies: list[LoopbackProxy] = []
        self.devices: list[LoopbackDevice] = []
        for number in range(device_count):
            self.devices.append(LoopbackDevice(self, number, directory / str(number)))

    def votes(self, device: LoopbackDevice) -> Votes:
        """Return what a device that has just recovered votes on: on everything, as long as none loses its data."""
        del device
        return Votes()

    def time_us(self) -> int:
        """Return what the devices take for the time."""
        return wall_us() + int(self.wall_offset_s * 1e6)

    async def __aenter__(self) -> Self:
        for device in self.devices:
            device.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for proxy in self._proxies:
            await proxy.service.close()
        for device in self.devices:
            if device.running:
                await device.crash()  # faster than a clean stop
        assert not self.errors, self.errors

    def placement(self, client: str) -> Placement:
        """Return a placement with connections of its own."""

        def connect(device: Device) -> Peer:
            peer = LoopbackPeer(self, device.id, client)
            self._peers.append(peer)
            return cast(Peer, peer)

        return Placement(self.names, self.rings, connect, lambda: self.rings)

    def publish(self, rings: Rings, asleep: Collection[Placement] = ()) -> None:
        """Let all know of newer rings but those who are `asleep`."""
        self.rings = rings
        for placement in (*(device.placement for device in self.devices), *self.proxy_placements()):
            if placement not in asleep:
                placement.update(rings)

    def proxy_placements(self) -> list[Placement]:
        """Return the placements of all proxies."""
        return [proxy.placement for proxy in self._proxies]

    def proxy(self, wall: Callable[[], int] = wall_us) -> LoopbackProxy:
        """Return another proxy."""
        number = len(self._proxies)
        placement = self.placement(f"proxy {number}")
        clock = HybridClock(FIRST_PROXY + number, wall)
        proxy = LoopbackProxy(ObjectService(placement, clock), placement, clock)
        self._proxies.append(proxy)
        return proxy

    # who holds what

    def key(self, account: str, container: str = "", name: str = "") -> bytes:
        """Return the key of an account, container or object."""
        return self.names.key(account, container, name)

    def holders(self, key: bytes) -> list[LoopbackDevice]:
        """Return the primaries of `key`, in ring order."""
        return [self.devices[device.id] for device in self.ring.primaries(self.ring.partition(key))]

    def peers_of(self, device_id: int) -> Iterator[LoopbackPeer]:
        """Yield all connections to a device."""
        return (peer for peer in self._peers if peer.device_id == device_id)

    async def quiet(self) -> None:
        """Wait until every replica has answered, and not only a quorum."""
        await until(lambda: not any(peer.busy for peer in self._peers))

    # faults

    def take_down(self, *devices: LoopbackDevice) -> None:
        """Cut devices off from everybody; they keep what they have and stay as they are."""
        for device in devices:
            for peer in (*self.peers_of(device.id), *device.peers.values()):
                peer.disconnect()

    def bring_back(self, *devices: LoopbackDevice) -> None:
        """Connect them again."""
        for device in devices:
            for peer in (*self.peers_of(device.id), *device.peers.values()):
                peer.reconnect()

    @contextlib.contextmanager
    def without(self, *devices: LoopbackDevice) -> Iterator[None]:
        """Do something while devices are down, so that they are stale afterwards."""
        self.take_down(*devices)
        try:
            yield
        finally:
            self.bring_back(*devices)

    def digests(self) -> list[dict[int, bytes]]:
        """Return, by device, the digest of each partition that it is a primary of."""
        found = []
        for device in self.devices:
            held = [
                partition
                for partition in range(self.ring.partition_count)
                if device.id in [primary.id for primary in self.ring.primaries(partition)]
            ]
            digests = device.blobs.digests(self.ring.part_power, held)
            found.append(dict(zip(held, digests, strict=True)))
        return found


def rings_of(version: int, stage: Stage, floor: int, current: Ring, target: Ring | None = None) -> Rings:
    """Return rings that place everything by the same ring."""
    names = (ACCOUNT, CONTAINER, OBJECT)
    goal = {} if target is None else dict.fromkeys(names, target)
    return Rings(version, floor, stage, dict.fromkeys(names, current), goal)


def ring_of(device_count: int, replicas: int) -> Ring:
    """Return a ring of small devices, each a zone of its own."""
    builder = RingBuilder.create(PART_POWER, replicas)
    for number in range(device_count):
        builder = builder.add(Device(number, 1, number, "127.0.0.1", 6000 + number, f"d{number}"))
    return builder.rebalance(seed=1, now_s=0)[0].to_ring()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that goes on behind an answer has happened."""
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110  what it waits for tells nobody
            await asyncio.sleep(0.002)
