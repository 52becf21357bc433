"""A client's view of the storage devices: the rings in force, a connection to each device of them, and who holds what.

`Placement` is what the object service, the block gateway and housekeeping share: from a key to the replicas
that hold it. Devices that are down stay in the answer: whether a quorum of them is up is for the caller to
say (storage/quorum.py).

While rings change (storage/rings) some keys have two sets of replicas, C by the current rings and T by the
target. What an operation needs, by the stage in which its client is:

    stage     write        read                                  meets those of the stage before and after in
    STABLE    C            C                                     C
    JOINING   C and T      C: the members of T are being filled  C
    SERVING   C and T      C and T                               C, before; T, after
    STABLE    T            T                                     T

Two that follow each other may be at work at the same time, for each write meets each read in a set that both need a
quorum of. Reads while SERVING need both, because one that is JOINING may answer with a version that a quorum
of C has and none of T: those who see it must find it again. Any others are kept apart by the floor, below
which devices refuse. So every operation takes a `Replicas` once, by which it sends its messages under one version.

A version is in use as long as somebody holds a `Replicas` of it. That costs a request nothing: weak references tell.
"""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.clock import deviation_s
from cluster.config import Config
from cluster.coordination.errors import CoordinationError
from cluster.environment import REAL, Environment
from cluster.layout import Layout
from cluster.telemetry.log import get_logger
from cluster.wire import Peer
from ring.device import Device
from ring.hashing import NameHash, partition_of
from ring.lookup import Ring
from storage.messages import DatabaseKind
from storage.quorum import Majority, Quorum, both
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT, Stage

KNOWN_LIMIT = 1 << 18  # partitions of a ring whose replicas are remembered, 100 bytes each
LOOK_BACK_S = 1.0  # between looks whether older rings are still in use
COLLECT_AFTER = 3  # such looks: something that failed may keep its Replicas in a cycle of references
REFRESH_PAUSE_S = 0.5  # between looks for rings that others know and coordination does not have yet

_log = get_logger("storage")


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """The rings in force, by name, and how far a change of them is. Compared by identity."""

    version: int
    floor: int  # the oldest version whose requests devices take
    stage: Stage
    current: Mapping[str, Ring] = field(repr=False)
    target: Mapping[str, Ring] = field(default_factory=dict, repr=False)  # a ring that is not here does not change

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all rings."""
        return tuple(self.current)

    def read_ring(self, name: str) -> Ring:
        """Return the ring whose devices have all data."""
        return self.target.get(name, self.current[name]) if self.stage is Stage.SERVING else self.current[name]

    def read_rings(self, name: str) -> tuple[Ring, ...]:
        """Return the rings by each of which a read needs a quorum."""
        return self._of_both(name) if self.stage is Stage.SERVING else (self.current[name],)

    def write_rings(self, name: str) -> tuple[Ring, ...]:
        """Return the rings by each of which a write needs a quorum."""
        return (self.current[name],) if self.stage is Stage.STABLE else self._of_both(name)

    def _of_both(self, name: str) -> tuple[Ring, ...]:
        current = self.current[name]
        target = self.target.get(name, current)
        return (current,) if target is current else (current, target)

    def devices(self) -> dict[int, Device]:
        """Return all devices, by id, as the newest rings know them."""
        found: dict[int, Device] = {}
        for rings in (self.target, self.current):
            for ring in rings.values():
                for device in ring.devices:
                    if device is not None:
                        found.setdefault(device.id, device)
        return found


def ring_name(kind: DatabaseKind | None) -> str:
    """Return the name of the ring that places databases of `kind`, or objects for None."""
    if kind is None:
        return OBJECT
    return CONTAINER if kind is DatabaseKind.CONTAINER else ACCOUNT


class _Use:
    """A version that a placement went by: in use as long as this is referred to."""

    __slots__ = ("__weakref__", "version")

    def __init__(self, version: int) -> None:
        self.version = version


class Replicas:
    """Whom an operation on a key asks, by one version of the rings. Hold it only as long as the operation takes."""

    __slots__ = ("_use", "members", "read_quorum", "readers", "version", "writers")

    def __init__(
        self,
        use: _Use,
        members: tuple[tuple[int, Peer], ...],
        writers: Quorum,
        readers: tuple[tuple[int, Peer], ...],
        read_quorum: Quorum,
    ) -> None:
        self._use = use  # lasts as long as we do
        self.version = use.version
        self.members = members  # (device id, peer), each once, in ring order: all that a write is sent to
        self.writers = writers
        self.readers = readers  # those of them that a read may ask
        self.read_quorum = read_quorum

    def __repr__(self) -> str:
        return f"Replicas(version={self.version}, members={[device_id for device_id, _peer in self.members]})"

    def peer(self, device_id: int) -> Peer:
        """Return the connection to a member."""
        return next(peer for member, peer in self.members if member == device_id)


class _Shelf:
    """What is known of one ring's partitions."""

    __slots__ = ("known", "name", "part_power")

    def __init__(self, rings: Rings, name: str) -> None:
        self.name = name
        self.part_power = max(ring.part_power for ring in rings.write_rings(name))
        self.known: dict[int, Replicas] = {}


class Placement:
    """Who holds what: rings and hashing, and an open connection to each device."""

    def __init__(
        self,
        names: NameHash,
        rings: Rings,
        connect: Callable[[Device], Peer],
        refresh: Callable[[], Rings] | None = None,
    ) -> None:
        """`connect` makes a Peer, not started; `refresh` reads what rings are published now."""
        self.names = names
        self.rings = rings
        self.peers: dict[int, Peer] = {}  # by device id; the same dict for ever
        self._connect = connect
        self._read_published = refresh
        self._look_again_at = 0.0  # loop time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._devices: dict[int, Device] = {}
        self._use = _Use(rings.version)
        self._older: list[weakref.ref[_Use]] = []
        self._departed: list[tuple[int, Peer]] = []  # with the version that has them no more
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0  # back at older versions since the last change
        self._shelves: dict[str, _Shelf] = {}
        self._combinations: dict[tuple[tuple[int, ...], ...], Replicas] = {}
        self._take(rings)

    def __repr__(self) -> str:
        up = sum(1 for peer in self.peers.values() if peer.up)
        return f"Placement(version {self.rings.version}, {up} of {len(self.peers)} devices up)"

    # the rings in force

    def update(self, rings: Rings) -> None:
        """Go by `rings` from now on, if they are newer. What is under way goes on by those that it began with."""
        if rings.version <= self.rings.version:
            return
        self._older = [ref for ref in self._older if ref() is not None]
        self._older.append(weakref.ref(self._use))
        self._take(rings)
        self._looks = 0
        self._look_back()

    def _take(self, rings: Rings) -> None:
        self.rings = rings
        self._use = _Use(rings.version)
        self._shelves = {name: _Shelf(rings, name) for name in rings.names}
        self._combinations = {}
        wanted = rings.devices()
        for device_id, device in wanted.items():
            known = self._devices.get(device_id)
            if known is None or (known.ip, known.port) != (device.ip, device.port):
                self._part_with(device_id)
                self.peers[device_id] = peer = self._connect(device)
                if self._loop is not None:
                    peer.start()
        for device_id in self._devices.keys() - wanted.keys():
            self._part_with(device_id)
        self._devices = wanted

    def _part_with(self, device_id: int) -> None:
        peer = self.peers.pop(device_id, None)
        if peer is not None:
            self._departed.append((self.rings.version, peer))

    def oldest_version_in_use(self) -> int:
        """Return the oldest version that something under way goes by; our own when nothing is."""
        older = [use.version for ref in self._older if (use := ref()) is not None]
        return min(older, default=self.rings.version)

    def _look_back(self) -> None:
        """Hang up on devices that no rings have and nobody uses, as soon as that is so."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._older = [ref for ref in self._older if ref() is not None]
        oldest = self.oldest_version_in_use()
        idle = [peer for version, peer in self._departed if version <= oldest and not peer.busy]
        self._departed = [(version, peer) for version, peer in self._departed if peer not in idle]
        if self._loop is None:
            return
        for peer in idle:
            task = self._loop.create_task(peer.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if self._older or self._departed:
            self._looks += 1
            if self._looks == COLLECT_AFTER:
                gc.collect()
            self._timer = self._loop.call_later(LOOK_BACK_S, self._look_back)

    def refresh(self, wanted: int) -> bool:
        """Go by rings of version `wanted` or newer, reading what is published now; tell whether we do."""
        if self.rings.version >= wanted:
            return True
        now = asyncio.get_running_loop().time()
        if self._read_published is None or now < self._look_again_at:
            return False
        try:
            self.update(self._read_published())
        except CoordinationError as error:
            _log.warning("rings_unknown", wanted=wanted, known=self.rings.version, error=str(error))
        if self.rings.version >= wanted:
            return True
        self._look_again_at = now + REFRESH_PAUSE_S
        return False

    # who holds what

    def replicas(self, name: str | DatabaseKind, key: bytes) -> Replicas:
        """Return who holds `key` by the ring of that name, or by the one that places databases of that kind."""
        shelf = self._shelves[name if type(name) is str else ring_name(name)]  # type: ignore[arg-type]
        partition = partition_of(key, shelf.part_power)
        known = shelf.known.get(partition)
        if known is None:
            if len(shelf.known) >= KNOWN_LIMIT:
                shelf.known.clear()
            known = shelf.known[partition] = self._locate(shelf, partition)
        return known

    def _locate(self, shelf: _Shelf, partition: int) -> Replicas:
        """Return the replicas of a partition; those that lie on the same devices share one value."""
        rings = self.rings
        write_sets = tuple(_primaries(ring, shelf, partition) for ring in rings.write_rings(shelf.name))
        read_sets = tuple(_primaries(ring, shelf, partition) for ring in rings.read_rings(shelf.name))
        known = self._combinations.get((*write_sets, (), *read_sets))
        if known is None:
            known = self._replicas_on(write_sets, read_sets)
            self._combinations[*write_sets, (), *read_sets] = known
        return known

    def _replicas_on(
        self, write_sets: tuple[tuple[int, ...], ...], read_sets: tuple[tuple[int, ...], ...]
    ) -> Replicas:
        writers = _quorum(write_sets)
        if read_sets == write_sets:
            members = self._connected(write_sets)
            return Replicas(self._use, members, writers, members, writers)
        members, readers = self._connected(write_sets), self._connected(read_sets)
        return Replicas(self._use, members, writers, readers, _quorum(read_sets))

    def _connected(self, sets: Iterable[tuple[int, ...]]) -> tuple[tuple[int, Peer], ...]:
        device_ids = dict.fromkeys(device_id for members in sets for device_id in members)
        return tuple((device_id, self.peers[device_id]) for device_id in device_ids)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Tell whether a write would find its quorum, wherever its name is placed; and what stands in the way."""
        lost = self.partitions_without_quorum()
        return lost == 0, {
            "devices_down": sorted(device_id for device_id, peer in self.peers.items() if not peer.up),
            "partitions_without_quorum": lost,
            "rings_version": self.rings.version,
            "clock_off_s": deviation_s(peer.clock_offset_s for peer in self.peers.values()),
        }

    def partitions_without_quorum(self) -> int:
        """Return how many partitions, of all rings, have too few devices up to be written."""
        up = {device_id for device_id, peer in self.peers.items() if peer.up}
        reached: dict[tuple[tuple[int, ...], ...], bool] = {}
        lost = 0
        for shelf in self._shelves.values():
            rings = self.rings.write_rings(shelf.name)
            for partition in range(1 << shelf.part_power):
                sets = tuple(_primaries(ring, shelf, partition) for ring in rings)
                known = reached.get(sets)
                if known is None:
                    known = reached[sets] = _quorum(sets).reached(up)
                lost += not known
        return lost

    # connections

    def start(self) -> None:
        """Begin to connect to every device."""
        self._loop = asyncio.get_running_loop()
        for peer in self.peers.values():
            peer.start()

    async def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
        departed = [peer for _version, peer in self._departed]
        await asyncio.gather(*(peer.close() for peer in (*self.peers.values(), *departed)), *self._closing)


def _primaries(ring: Ring, shelf: _Shelf, partition: int) -> tuple[int, ...]:
    """Return the ids of the devices that hold a partition of the shelf's part power, which may be finer."""
    return tuple([device.id for device in ring.primaries(partition >> (shelf.part_power - ring.part_power))])


def _quorum(sets: Iterable[tuple[int, ...]]) -> Quorum:
    first, *others = [Majority.of(members) for members in sets]
    return both(first, others[0]) if others else first


def connected_placement(
    config: Config,
    layout: Layout,
    rings: Rings,
    refresh: Callable[[], Rings] | None = None,
    on_state: Callable[[bool], None] | None = None,
    environment: Environment = REAL,
) -> Placement:
    """Return the placement of a cluster by `rings`. Not started.

    `refresh` reads the rings that are published now; `on_state` is told when a device has come up or gone down.
    """
    cluster = config.cluster

    def connect(device: Device) -> Peer:
        if cluster.transport == "unix":
            address = f"unix:{layout.device_socket(device.id)}"
        else:
            host = f"[{device.ip}]" if ":" in device.ip else device.ip
            address = f"tcp:{host}:{device.port}"
        return Peer(
            address,
            cluster.key_bytes,
            name=f"device {device.id}",
            on_state=on_state,
            network=environment.network,
            entropy=environment.entropy,
        )

    names = NameHash(cluster.hash_prefix.encode(), cluster.hash_suffix.encode())
    return Placement(names, rings, connect, refresh)
