"""Old tombstones are given up, everywhere or nowhere, and nothing that was deleted comes back. docs/reclaim.md.

A tombstone T of a name does two things: it is newer than what a replica that missed the deletion still has (V), and
than what a write that is late would bring (W). Both must have become impossible before T goes, on all devices at
once: for while one has forgotten T and another one still has V, V would be copied to the first, and be alive.

Who leads: the first primary of the name; others do nothing. It acts when a device reports T as older than the reclaim
age, when no change of rings is under way, and every device of the rings answers: not only the primaries, for others
may stand in for them, or not have dropped yet what has moved away. One that is being rebuilt refuses. Then:

1. Each device is asked. It first raises its floor above T, durably: from then on it takes no write below the floor of a
   name of which it has nothing. And it says what it has: NOTHING, exactly T with its row listed, or OTHER; OTHER also
   when something of that name is on its way into its log, or is being copied to it.
2. Each is asked again, about the names for which nobody said OTHER. (A copy of V may have been asked for after its
   taker had answered in 1, from a source that had not. All that were asked for before 1 ended are known in 2.)
3. Those who have T forget it: (name, T) exactly. The leader is the last, so that it finds T again if another did not.

Why V is nowhere after 2. In 1 nobody has V, nor expects a copy of it from before. After its answer in 1 a device gets V
from a client never: it has T, which is newer, or it has nothing, and V < T < floor. It gets V as a copy only from a
device that had not answered in 1 yet, and that copy has arrived in 2 or is under way, and the answer is OTHER.

So from 2 on, at every await and for ever, T may be forgotten here and not there, and be copied back from there to here:
there is no V that it would have to hold down. What may stop:

- the leader, at any point: T is here and there, replication spreads it again, and it is tried again. Floors stay up.
- a device in 1 or 2, or between: it does not answer, so nothing is forgotten. When it comes back it has what it had
  made durable, its floor, and no copies under way.
- a device in 3: as the leader. A power cut makes it build its index anew from its log: storage.blobs.graves.
- one that comes back empty, or with a copy of what it had last month: it is rebuilding, refuses to be asked, and is no
  source for others (storage.membership) until it is whole.
- two leaders, who have other views of what the rings are: one's requests are refused as of stale rings, or both do
  the same, each after asking everybody itself.
- a request to forget that arrives late: T is of no use by then, and a newer version is another name to it.

A write W below the floor that a device had let in before 1 is in its log, or on its way: OTHER. An upload that is named
at last is let in when it is named. The age itself protects nobody: it is there for people who look for what was
deleted when, and to keep the floor far from clocks that are a little behind.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from cluster.clock import Timestamp, wall_us
from storage.client import Placement
from storage.copying import Budget
from storage.housekeeping.everybody import FLOOR_STEPS, Everybody, NotNow, floor_at
from storage.messages import RECLAIM_LIMIT, BlobReclaim, Holding, Operation
from storage.rings.document import OBJECT

INTERVAL_S = 300.0  # between passes over what is due
RETRY_S = 30.0  # when nothing can be given up just now
PAUSE_S = 0.05  # between steps of RECLAIM_LIMIT tombstones
COST = 4 << 10  # bytes that a tombstone counts for, on each device: it costs time

ItemT = TypeVar("ItemT")
Name = tuple[bytes, Timestamp]  # a key, and its tombstone


class Tombstones(Protocol):
    """Those of this device (storage.blobs.reclaim)."""

    def due(self, start: bytes, age_s: float, limit: int) -> tuple[list[Name], bytes]:
        """Return some that are older than `age_s`, oldest first, and where to go on, b"": there are no more."""

    def tidy(self) -> bool:
        """Look at some of what older forgettings left behind; tell whether there is more to look at."""


class Reclaim:
    """The housekeeping task."""

    name = "give up old tombstones"

    def __init__(
        self,
        tombstones: Tombstones,
        placement: Placement,
        device_id: int,
        age_s: float,
        budget: Budget,
        wall: Callable[[], int] = wall_us,
        clock_is_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tombstones = tombstones
        self._placement = placement
        self._device_id = device_id
        self._age_s = age_s
        self._budget = budget
        self._wall_us = wall
        self._clock_is_trusted = clock_is_trusted
        self._start = b""  # where the pass over what is due goes on
        self._kept_in_pass = 0
        self.reclaimed_count = 0
        self.kept_count = 0  # in the last pass: somebody had something else of the name
        self.waiting = ""  # why nothing is given up, in words

    async def step(self) -> float:
        """Give up some of the tombstones that are due."""
        self._tombstones.tidy()
        if not self._clock_is_trusted():
            self.waiting = "this node's clock is not trusted"
            return RETRY_S
        due, following = self._tombstones.due(self._start, self._age_s, RECLAIM_LIMIT)
        own = [name for name in due if self._leads(name[0])]
        try:
            if own:
                await self._give_up(own)
        except NotNow as reason:
            self.waiting = f"{len(own)} old tombstones or more stay: {reason}"
            return RETRY_S
        self._start, self.waiting = following, ""
        if following:
            return PAUSE_S
        self.kept_count, self._kept_in_pass = self._kept_in_pass, 0
        return min(INTERVAL_S, self._age_s / FLOOR_STEPS)

    def _leads(self, key: bytes) -> bool:
        return self._placement.replicas(OBJECT, key).members[0][0] == self._device_id

    async def _give_up(self, names: Sequence[Name]) -> None:
        """Have all devices forget those of `names` of which nobody has anything else. Raise NotNow."""
        everybody = Everybody(self._placement, Operation.BLOB_RECLAIM)
        floor = floor_at(self._wall_us(), self._age_s)
        await self._budget.took(len(names) * len(everybody.peers) * COST)
        free = list(names)
        holdings: Mapping[int, Sequence[int]] = {}
        for _round in range(2):
            holdings = await self._ask(everybody, BlobReclaim(floor, tuple(free)))
            unheld = [all(held[index] != Holding.OTHER for held in holdings.values()) for index in range(len(free))]
            holdings = {device_id: _chosen(held, unheld) for device_id, held in holdings.items()}
            free = _chosen(free, unheld)
            if not free:
                break
        self._kept_in_pass += len(names) - len(free)
        held_by = {
            device_id: tuple(name for name, holding in zip(free, held, strict=True) if holding == Holding.TOMBSTONE)
            for device_id, held in holdings.items()
        }
        mine = held_by.pop(self._device_id, ())
        others = {device_id: BlobReclaim(floor, held, True) for device_id, held in held_by.items() if held}
        await everybody.tell(others)
        if mine:
            await everybody.tell({self._device_id: BlobReclaim(floor, mine, True)})
        self.reclaimed_count += len(free)

    async def _ask(self, everybody: Everybody, message: BlobReclaim) -> Mapping[int, Sequence[int]]:
        """Return what each device has of the names. Raise NotNow unless all say."""
        holdings: Mapping[int, Sequence[int]] = await everybody.ask(message)
        for device_id, held in holdings.items():
            if len(held) != len(message.tombstones):
                raise NotNow(f"device {device_id} does not say what it has of each")
        return holdings


def _chosen(items: Sequence[ItemT], wanted: Sequence[bool]) -> list[ItemT]:
    return [item for item, is_wanted in zip(items, wanted, strict=True) if is_wanted]
