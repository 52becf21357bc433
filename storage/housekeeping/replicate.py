"""Objects that a device has missed are pulled from its peers.

Each device compares itself with every other primary of the partitions that it holds (pull). All devices do
so, therefore all come to hold the newest of each name; when nothing differs it costs one message a peer.

Versions younger than GRACE_S are left for the next round: their writer is most likely still at it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import Peer, PeerUnavailable, RemoteError
from storage.client import Rings
from storage.housekeeping.pull import PARTITIONS_PER_MESSAGE, Fetch, ObjectPull, Objects, Pulled, Source
from storage.housekeeping.shares import Shares
from storage.rings.document import OBJECT

GRACE_S = 4.0
_log = get_logger("storage")


class Replicate:
    """The housekeeping task."""

    name = "replicate"

    def __init__(
        self,
        objects: Objects,
        fetch: Fetch,
        rings: Callable[[], Rings],
        device_id: int,
        peers: Mapping[int, Peer],
        interval_s: float,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._pull = ObjectPull(objects, fetch, wall=wall)
        self._rings = rings
        self._shares = Shares(OBJECT, device_id)
        self._peers = peers
        self._interval_s = interval_s
        self.fetched_count = 0
        self.failed_count = 0
        self.lacking_count: int | None = None  # versions that the last comparison missed here; None: not all compared

    async def step(self) -> float:
        """Compare with every peer once; soon again when something was missing."""
        pulled, compared = Pulled(), True
        for device_id, partitions in self._shares.of(self._rings()).items():
            peer = self._peers.get(device_id)
            if peer is None:
                continue  # the rings have changed since; we are woken for the new ones
            try:
                await self._compare(device_id, peer, partitions, pulled)
            except (PeerUnavailable, RemoteError) as error:
                compared = False
                _log.info("replicate_interrupted", peer=device_id, error=str(error))
        self.fetched_count += pulled.fetched_count
        self.failed_count += pulled.failed_count
        lacking_count = pulled.left_count + pulled.fetched_count
        self.lacking_count = lacking_count if compared else None
        return min(self._interval_s, GRACE_S) if lacking_count else self._interval_s

    async def _compare(self, device_id: int, peer: Peer, partitions: Sequence[int], pulled: Pulled) -> None:
        for first in range(0, len(partitions), PARTITIONS_PER_MESSAGE):
            rings = self._rings()
            part_power, source = rings.current[OBJECT].part_power, Source(device_id, peer, rings.version)
            del rings  # who holds old ones counts as using them
            asked = partitions[first : first + PARTITIONS_PER_MESSAGE]
            for partition in await self._pull.differing(source, part_power, asked):
                pulled.add(await self._pull.pull(source, part_power, partition, GRACE_S))
                await asyncio.sleep(0)
