"""Moves a change of rings on: decides when the next version is due (pure), and publishes it.

Safety rests on the floors and on what devices report, never on a clock:

- An announced stage is enforced when everybody who keeps up works by it, or after GRACE_S: who sleeps through
  that is refused by the devices when it wakes, takes the new version over, and tries again.
- JOINING, enforced: a device begins to copy a partition when so many of its current primaries refuse the
  version before that no quorum of them accepts it (storage.housekeeping.join). What it then
  copies from a quorum is all that was ever acknowledged without it. When all have, SERVING is announced.
- SERVING, enforced: when no quorum of the current primaries answers those who read by the current rings alone,
  nobody can miss what is acknowledged by the target rings alone. Devices copy once more, for what
  such readers may have shown (storage.housekeeping.join), and STABLE is announced.
- STABLE, enforced: the change is over. Devices drop what they hold no more (storage.housekeeping.retire).

Every step is one compare-and-set on the document, so two conductors do no harm; the lease only spares their
work. A conductor that dies, wherever it stands, leaves a document from which the next one goes on.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from cluster.clock import wall_us
from cluster.coordination.errors import CoordinationError, LeaseHeld, LeaseLost
from cluster.coordination.lease import Lease
from cluster.telemetry.log import get_logger
from storage.rings.background import BackgroundStore
from storage.rings.document import RingDocument, Stage
from storage.rings.errors import ChangeUnderWay, RingsError
from storage.rings.moves import Moves, enough_refuse, moves_of
from storage.rings.reports import Progress, UseReport, refusing
from storage.rings.store import RingStore

GRACE_S = 30.0  # that a process gets to take a version over: a busy one needs well under a second
PACE_S = 1.0  # of a version at least, so that all have heard of it before the next, and of a step
LEASE, LEASE_TTL_S = "ring-conductor", 10.0
RETRY_S = 3.0  # while somebody else conducts
IDLE_S = 3600.0  # while no change is under way; the follower wakes us
_log = get_logger("rings")


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision needs."""

    document: RingDocument
    moves: Moves
    uses: Mapping[str, UseReport]
    progress: Mapping[int, Progress]
    now_us: int

    @property
    def age_s(self) -> float:
        """For how long the version has been published."""
        return (self.now_us - self.document.since_us) / 1e6

    def lagging(self) -> list[str]:
        """Return the processes that were up to date a stage ago, and do not work by this version yet."""
        version = self.document.version
        return sorted(
            process for process, use in self.uses.items() if use.oldest < version and use.newest >= version - 2
        )

    def joining(self) -> list[int]:
        """Return the devices that have not copied everything yet."""
        return sorted(device_id for device_id in self.moves.joiners if not self._has_copied(device_id))

    def _has_copied(self, device_id: int) -> bool:
        progress = self.progress.get(device_id)
        return progress is not None and progress.version == self.document.version and progress.done

    def admitting(self) -> list[int]:
        """Return devices too many of which do not refuse yet those who are below the floor."""
        refusing = self.refusing()
        return sorted(
            {
                device_id
                for primaries in self.moves.current_sets
                if not enough_refuse(primaries, sum(1 for device_id in primaries if device_id in refusing))
                for device_id in primaries
                if device_id not in refusing
            }
        )

    def refusing(self) -> frozenset[int]:
        """Return the devices that refuse those who are below the floor."""
        return refusing(self.uses, self.document.floor)


def next_document(situation: Situation) -> RingDocument | None:
    """Return the version that is due now, None when there is none."""
    document, now_us = situation.document, situation.now_us
    if document.settled or situation.age_s < PACE_S:
        return None
    if not document.enforced:
        late = situation.age_s >= GRACE_S
        return document.enforce(now_us) if late or not situation.lagging() else None
    blocked = situation.joining() or (document.stage is Stage.SERVING and situation.admitting())
    return None if blocked else document.advance(now_us)


def waiting_for(situation: Situation, down: Collection[int] = ()) -> list[str]:
    """Return what keeps the change from going on, in words for the operator; `down` are devices."""
    document = situation.document
    if document.settled:
        return []
    if not document.enforced:
        limit = f"version {document.version}, for another {max(0, GRACE_S - situation.age_s):.0f} s at most"
        return [f"waiting for {process} to take over {limit}" for process in situation.lagging()]
    words = [f"waiting for device {device}: {_state(situation, device, down)}" for device in situation.joining()]
    if document.stage is Stage.SERVING and not words:
        late = f"it must take over version {document.version}"
        words = [f"waiting for device {id_}: {'down' if id_ in down else late}" for id_ in situation.admitting()]
    return words


def _state(situation: Situation, device_id: int, down: Collection[int]) -> str:
    """Return what a device that must copy is at."""
    if device_id in down:
        return "down"
    progress = situation.progress.get(device_id)
    if progress is None or progress.version != situation.document.version:
        return "it has not begun to copy"
    done = f"{progress.partitions_done} of {progress.partitions_total} partitions copied"
    return f"{done}; {progress.waiting}" if progress.waiting else done


class Conductor:
    """The housekeeping task that carries decisions out. One of all storage daemons does, under a lease.

    It works on the store's thread; the loop's only waits.
    """

    name = "conduct ring change"

    def __init__(
        self, background: BackgroundStore, process: str, now_us: Callable[[], int] = wall_us
    ) -> None:
        self._background = background
        self._process = process
        self._now_us = now_us
        self._lease: Lease | None = None
        self._seen: tuple[int, int] | None = None  # a version of the document, and when we first saw it
        self._moves: tuple[frozenset[str], int, Moves] | None = None  # of these files, as of that version

    async def step(self) -> float:
        """Publish the next version if it is due."""
        return await self._background.run(self._step)

    async def close(self) -> None:
        """Let another one conduct."""
        await self._background.run(self._give_up)

    def _step(self, store: RingStore) -> float:
        found = store.read()
        if found is None or found[1].settled:
            self._give_up(store)
            return IDLE_S
        if not self._leads(store):
            return RETRY_S
        try:
            self._move_on(store, *found)
        except RingsError as error:
            _log.warning("ring_change_stuck", reason=str(error))
            return RETRY_S
        return PACE_S

    def _move_on(self, store: RingStore, at: int, document: RingDocument) -> None:
        moves = self._moves_of(store, document)
        now_us = max(self._now_us(), document.since_us + self._known_for_us(document.version))
        due = next_document(Situation(document, moves, store.uses(), store.progress(), now_us))
        if due is None or not store.advance(at, due):
            return
        _log.info(
            "ring_version_published", version=due.version, stage=due.stage.value, floor=due.floor, note=due.note
        )
        if due.settled:
            self._clean_up(store, due)

    def _known_for_us(self, version: int) -> int:
        """Return how long we have known a version, whatever the clock of whoever published it says.

        If that is minutes ahead of ours, the change does not wait for ours to get there. When our own clock is set
        back, it counts from then on; whoever takes over as conductor counts anew, too.
        """
        now_us = self._now_us()
        if self._seen is None or self._seen[0] != version or self._seen[1] > now_us:
            self._seen = version, now_us
        return now_us - self._seen[1]

    def _moves_of(self, store: RingStore, document: RingDocument) -> Moves:
        known = self._moves
        if known is not None and known[0] == document.digests and known[1] == document.started_us:
            return known[2]
        rings = store.rings_of(document)
        moves = moves_of(rings.current, rings.target)
        if document.stage is not Stage.STABLE:
            self._moves = (document.digests, document.started_us, moves)
        return moves

    def _clean_up(self, store: RingStore, document: RingDocument) -> None:
        """Remove what only the change needed, and reports of processes that are no more.

        A crash before the end of it leaves files and reports that do no harm until the next change ends.
        """
        self._moves = None
        try:
            store.collect()
        except ChangeUnderWay:
            return  # the next change collects
        store.forget_reports(document.version)

    def _leads(self, store: RingStore) -> bool:
        """Take or keep the lease; tell whether it is ours."""
        try:
            if self._lease is not None:
                self._lease = store.coordination.renew(self._lease, LEASE_TTL_S)
            else:
                self._lease = store.coordination.acquire(LEASE, self._process, LEASE_TTL_S)
        except LeaseLost:
            self._lease = None
        except LeaseHeld:
            return False
        return self._lease is not None

    def _give_up(self, store: RingStore) -> None:
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                store.coordination.release(lease)
            except CoordinationError as error:
                _log.info("lease_kept", reason=str(error))
