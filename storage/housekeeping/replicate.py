"""Objects that a device has missed are pulled from its peers.

Each device compares itself with every other primary of the partitions that it holds (pull). All devices do
so, therefore all come to hold the newest of each name; when nothing differs it costs a peer one message for
PARTITIONS_PER_MESSAGE partitions. First come the partitions that have fewest replicas up.

Versions younger than GRACE_S are left for the next round: their writer is most likely still at it. A peer that is being
rebuilt is not asked: it knows best what it lacks (rebuild), and what it has may be older than anybody remembers.
"""

from collections.abc import Callable, Mapping, Sequence

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from ring.lookup import Ring
from storage.client import Rings
from storage.copying import UNLIMITED, Budget
from storage.housekeeping.pull import PARTITIONS_PER_MESSAGE, Fetching, ObjectPull, Objects, Pulled, Source
from storage.housekeeping.shares import Shares
from storage.messages import Refusal
from storage.rings.document import OBJECT

GRACE_S = 4.0
_log = get_logger("storage")


class Replicate:
    """The housekeeping task."""

    name = "replicate"

    def __init__(
        self,
        objects: Objects,
        copies: Fetching,
        rings: Callable[[], Rings],
        device_id: int,
        peers: Mapping[int, Peer],
        interval_s: float,
        wall: Callable[[], int] = wall_us,
        budget: Budget = UNLIMITED,
        votes: Callable[[int], bool] = lambda _device_id: True,
    ) -> None:
        self._pull = ObjectPull(objects, copies, budget, wall)
        self._rings = rings
        self._device_id = device_id
        self._shares = Shares(OBJECT, device_id)
        self._peers = peers
        self._interval_s = interval_s
        self._votes = votes
        self.fetched_count = 0
        self.failed_count = 0
        self.lacking_count: int | None = None  # versions that the last comparison missed here; None: not all compared
        self.partitions_total = self.partitions_compared = 0  # of the comparison that is under way, or was last
        self.on_overtaken: Callable[[], None] = lambda: None  # called when what was pulled may be held no more

    async def step(self) -> float:
        """Compare with every peer once; soon again when something was missing."""
        if not self._votes(self._device_id):  # it is being rebuilt, which is the same and more
            self.lacking_count = None
            return self._interval_s
        pulled, compared, version = Pulled(), True, self._rings().version
        shares = self._shares.of(self._rings())
        self.partitions_total, self.partitions_compared = sum(map(len, shares.values())), 0
        for device_id, partitions in shares.items():
            if self._rings().version != version:  # what is shared is so no more; we are woken for the new ones
                compared = False
                break
            peer = self._peers.get(device_id)
            if peer is None:
                continue  # of other rings
            if not self._votes(device_id):
                compared = False
                continue
            try:
                await self._compare(device_id, peer, partitions, pulled)
            except (PeerUnavailable, RemoteError) as error:
                compared = False
                _log.info("replicate_interrupted", peer=device_id, error=str(error))
        self.fetched_count += pulled.fetched_count
        self.failed_count += pulled.failed_count
        lacking_count = pulled.left_count + pulled.fetched_count
        self.lacking_count = lacking_count if compared else None
        if self._rings().version != version:
            self.on_overtaken()
        return min(self._interval_s, GRACE_S) if lacking_count else self._interval_s

    async def _compare(self, device_id: int, peer: Peer, partitions: Sequence[int], pulled: Pulled) -> None:
        """Find out first what differs, then pull it, the partitions with the fewest replicas before others."""
        rings = self._rings()
        part_power, source = rings.current[OBJECT].part_power, Source(device_id, peer, rings.version)
        del rings  # who holds old ones counts as using them
        differing: list[int] = []
        for first in range(0, len(partitions), PARTITIONS_PER_MESSAGE):
            asked = partitions[first : first + PARTITIONS_PER_MESSAGE]
            same_before = len(differing)
            differing += await self._pull.differing(source, part_power, asked)
            self.partitions_compared += len(asked) - (len(differing) - same_before)
        for partition in self._most_urgent_first(differing):
            if self._rings().version != source.version:  # it may have moved away, and be forgotten here
                raise RemoteError(Refusal.STALE_RINGS, self._rings().version)
            pulled.add(await self._pull.pull(source, part_power, partition, GRACE_S))
            self.partitions_compared += 1

    def _most_urgent_first(self, partitions: Sequence[int]) -> list[int]:
        if len(partitions) < 2:
            return list(partitions)
        ring = self._rings().current[OBJECT]
        return sorted(partitions, key=lambda partition: replicas_up(ring, partition, self._peers))


def replicas_up(ring: Ring, partition: int, peers: Mapping[int, Peer]) -> int:
    """Return how many primaries of a partition can be asked."""
    return sum(
        1 for device in ring.primaries(partition) if (peer := peers.get(device.id)) is not None and peer.up
    )
