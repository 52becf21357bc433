"""One device's membership: it enters when it starts, notices losses, and is whole again in the end.

`enter` comes after recovery and before anything is served. If coordination is away then, the device does not serve: it
cannot know whether it is the one that it was (its daemon ends, and is started again until coordination answers).
Later, what is to be told waits until coordination can be told; a loss counts from the moment when it is noticed.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from cluster.clock import ZERO, Timestamp, pack
from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Coordination
from cluster.telemetry.log import get_logger
from storage.membership import decision, store
from storage.membership.decision import Here
from storage.membership.local import LocalFile
from storage.membership.record import Local, Member, State
from storage.membership.roster import Roster
from storage.membership.votes import Votes
from storage.rings.background import BackgroundStore

RETRY_S = 1.0  # while coordination cannot be told
FLOOR_MARGIN_US = 1_000_000  # by how much clocks of proxies may differ from ours without a promise being broken
_log = get_logger("storage.membership")

ResultT = TypeVar("ResultT")


class Membership:
    """Of one device. `enter`, then `start`, then the rest, then `close`."""

    def __init__(
        self,
        device_id: int,
        coordination: Coordination,
        background: BackgroundStore,
        local: LocalFile,
        wall_us: Callable[[], int],
        entropy: Callable[[int], bytes],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when this device or another one has lost data, or is whole again."""
        self.device_id = device_id
        self.votes = Votes()
        self.roster = Roster(coordination, self._roster_changed)
        self.on_floor: Callable[[Timestamp], None] = lambda _floor: None
        self._coordination = coordination
        self._background = background
        self._local = local
        self._wall_us = wall_us
        self._entropy = entropy
        self._on_change = on_change
        self._member: Member
        self._losses = 0  # noticed since the start
        self._telling: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Membership({self.device_id}, {self._member})"

    @property
    def member(self) -> Member:
        """What this device is."""
        return self._member

    @property
    def rebuilding(self) -> bool:
        """Whether something may be missing here."""
        return self._member.state is State.REBUILDING

    @property
    def loss_count(self) -> int:
        """How many losses were noticed since the start: what was rebuilt before the last one may be gone again."""
        return self._losses

    @property
    def floor(self) -> Timestamp:
        """Below it a promise may have been made that was lost."""
        lost_us = self._member.lost_us
        return pack(lost_us + FLOOR_MARGIN_US, 0, 0) if lost_us else ZERO

    # starting

    def enter(self, identity: bytes, position: int, lost: str = "") -> None:
        """Become the next incarnation. Blocking. Raise CoordinationError, OSError.

        `position` is where the log ends, `lost` what recovery found to be gone.
        """
        here = Here(identity.hex(), self._local.read(), position, lost)
        known = store.read(self._coordination, self.device_id).member
        local, reason = decision.promoted(known, here.local or Local()), decision.loss(known, here)
        token, now_us = self._entropy(8).hex(), self._wall_us()
        # 1.: from here on a loss is known, whatever recovery finds next time
        self._local.write(Local(local.incarnation, token, reason))
        # 2.
        entered = self._change(lambda now: decision.entering(now, here, reason, token, now_us))
        # 3.
        self._local.write(Local(entered.incarnation))
        # 4.
        self._member = self._change(lambda now: decision.begun(now or entered))
        self._apply()
        event = _log.warning if self.rebuilding else _log.info
        state, reason = self._member.state.value, self._member.reason if self.rebuilding else ""
        event("entered", device=self.device_id, incarnation=self._member.incarnation, state=state, reason=reason)

    def _change(self, decide: Callable[[Member | None], Member]) -> Member:
        changed = store.change(self._coordination, self.device_id, decide)
        assert changed is not None
        return changed

    def _apply(self) -> None:
        if self.rebuilding:
            self.votes.restrict()
        else:
            self.votes.allow_all()

    def start(self) -> None:
        """Begin to follow what others are, on the running loop."""
        self.roster.start()

    # later

    def lost_data(self, reason: str) -> None:
        """Vote on nothing from now on, until all has been rebuilt."""
        self._losses += 1
        self._member = decision.losing(self._member, reason, self._wall_us())
        self.votes.restrict()
        self.on_floor(self.floor)
        _log.error("data_lost", device=self.device_id, reason=reason)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_loss())
        self._on_change()

    async def _tell_loss(self) -> None:
        """Have coordination know of the last loss; the device itself first, for it may crash before that."""
        told = 0
        while told < self._losses:
            losses, member = self._losses, self._member
            try:
                await self._run(lambda coordination, member=member: self._write_loss(coordination, member))  # type: ignore[misc]
                told = losses
            except (CoordinationError, OSError) as error:
                _log.warning("loss_not_told", reason=str(error), retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
        self._telling = None

    def _write_loss(self, coordination: Coordination, member: Member) -> None:
        self._local.write(Local(member.incarnation, lost=member.reason))
        store.change(
            coordination,
            self.device_id,
            lambda known: known and decision.losing(known, member.reason, member.since_us),
        )
        self._local.write(Local(member.incarnation))

    async def become_whole(self, losses: int) -> bool:
        """Say that everything has been rebuilt, if no more was lost than `losses`; tell whether that is so now."""
        if self._telling is not None or losses != self._losses:
            return False
        own, now_us = self._member, self._wall_us()

        def decide(known: Member | None) -> Member | None:
            same = known is not None and (known.incarnation, known.lost_us) == (own.incarnation, own.lost_us)
            return decision.whole(known, now_us) if same and known is not None else None

        changed = await self._run(lambda coordination: store.change(coordination, self.device_id, decide))
        return self._take(changed, losses)

    def _take(self, member: Member | None, losses: int) -> bool:
        """Go by what coordination has, unless more was lost meanwhile; tell whether this device is whole."""
        if member is None or losses != self._losses or member.incarnation != self._member.incarnation:
            return False
        if self.rebuilding and member.votes:
            self._member = member
            self.votes.allow_all()
            _log.info("whole", device=self.device_id, reason=member.reason)
            self._on_change()
        return not self.rebuilding

    def _roster_changed(self) -> None:
        """Take over what an operator has decided, and let the others know what others are."""
        if self._telling is None:
            own = self.roster.members.get(self.device_id)
            if own is not None and own.lost_us == self._member.lost_us:
                self._take(own, self._losses)
        self._on_change()

    async def members(self) -> Mapping[int, Member]:
        """Return what all devices are, as coordination knows it now. Raise CoordinationError."""
        return await self._run(store.read_all)

    async def report_position(self, position: int) -> None:
        """Tell how far the log was durable, so that one that is shorter is noticed. Raise CoordinationError."""
        incarnation = self._member.incarnation
        await self._run(
            lambda coordination: store.change(
                coordination, self.device_id, lambda known: _further(known, incarnation, position)
            )
        )

    async def _run(self, work: Callable[[Coordination], ResultT]) -> ResultT:
        return await self._background.run(lambda rings: work(rings.coordination))

    async def close(self, position: int = 0) -> None:
        """Tell how far the log has come, and follow no more.

        What could not be told of a loss is on the device, and told at its next start.
        """
        self.roster.close()
        try:
            await self.report_position(position)
        except CoordinationError as error:
            _log.info("position_not_told", reason=str(error))
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)


def _further(known: Member | None, incarnation: int, position: int) -> Member | None:
    if known is None or known.incarnation != incarnation or known.position >= position:
        return None
    return decision.advanced(known, position)
