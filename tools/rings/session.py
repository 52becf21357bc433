"""One operator's dealings with the rings: propose a change, begin it, see it through.

Builders are stored and rings published under one lease, so that nobody removes the builder of a change that
is just being begun. From then on the cluster does it alone: whoever looks on may go at any time.
"""

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from cluster.clock import wall_us
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import LeaseHeld
from ring.lookup import Ring
from ring.plan import Usage
from storage.overview.rings import survey
from storage.overview.rings.reach import partitions_short
from storage.overview.words import listed
from storage.rings.document import RingDocument
from storage.rings.errors import ChangeUnderWay
from storage.rings.moves import moves_of
from storage.rings.store import RingStore
from tools.data_directory import Cluster, data_option, program
from tools.errors import OperatorError
from tools.progress import Progress
from tools.rings.builders import Builders, BuilderStore
from tools.rings.change import Outcome, Proposal
from tools.rings.forecast import forecast
from tools.rings.machines import Devices
from tools.rings.wishes import Placed, Wish, is_worth_another_round, nothing_more, place

ROUNDS_LIMIT = 8  # a rebalance moves one replica of a partition at a time; more than this many help no more
EXIT_INTERRUPTED = 130
_PAUSE_S = 0.25
_LEASE, _LEASE_TTL_S = "ring-operator", 30.0


class Session:
    """Use it as a context. Calls may raise OperatorError, RingsError, RingError, CoordinationError."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.coordination = EmbeddedCoordination(cluster.layout.coordination)
        self.store = RingStore(self.coordination)
        self.devices = Devices(cluster, self.coordination)
        self._builders = BuilderStore(self.coordination)
        self._awaited: Mapping[str, str] = {}  # digests of the rings that were begun last

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.coordination.close()

    # looking

    def builders(self) -> Builders:
        """Return the builders of the rings in force."""
        return self._builders.load(self.store.document().current)

    def rings(self) -> Mapping[str, Ring]:
        """Return the rings in force."""
        return self.store.rings_of(self.store.document()).current

    def change_line(self) -> str:
        """Return how far the change under way is, in one line; empty when there is none."""
        facts = survey.change_facts(survey.situation_of(self.store), self.devices.down())
        return survey.progress_line(facts) if facts else ""

    # proposing

    def refuse_unless_idle(self) -> None:
        """Raise OperatorError when the cluster does not run, ChangeUnderWay when a change does."""
        option, called = data_option(self.cluster.layout), program()
        if not self.cluster.is_running():
            raise OperatorError(f"the cluster is not running: `{called} up{option}` starts it")
        document = self.store.document()
        if not document.settled:
            raise ChangeUnderWay(
                f"a change is under way ({document.note}): `{called} ring --watch{option}` shows it, "
                f"`{called} ring cancel{option}` takes it back while that can be done"
            )

    def propose(self, note: str, wish: Wish, leaving: Collection[int] = ()) -> Proposal:
        """Return what it would take to fulfil a wish. Nothing is changed."""
        before = self.builders()
        return self.proposal(note, before, place(before, wish, time.time()), leaving)

    def proposal(self, note: str, before: Builders, after: Placed, leaving: Collection[int] = ()) -> Proposal:
        """Return what it would take to get from `before` to `after`. Raise OperatorError when it cannot be done."""
        current = {name: builder.to_ring() for name, builder in before.items()}
        target = {name: builder.to_ring() for name, builder in after.builders.items()}
        down = self.devices.down()
        _refuse_stuck(current, target, down)
        plan, facts = forecast(before, after.builders, self._usage(), down)
        balance = max(builder.balance() for builder in before.values())
        dispersion = max(builder.dispersion for builder in before.values())
        return Proposal(note, Placed(before, 0, balance, dispersion), after, plan, facts, frozenset(leaving))

    def _usage(self) -> Usage:
        rate = self.devices.config.storage.rebalance_bytes_per_s
        used = self.devices.live_bytes()
        return Usage(used, float(rate)) if rate else Usage(used)

    # doing

    def begin(self, proposal: Proposal) -> None:
        """Begin the change; it goes on by itself from here. Raise ChangeUnderWay."""
        self._publish(proposal.after.builders, proposal.note)

    def see_through(
        self, proposal: Proposal, progress: Progress, advice: str, rounds_limit: int = ROUNDS_LIMIT
    ) -> Outcome:
        """Return when there is no more to move, after as many further rounds as it takes. `advice` is for Ctrl-C."""
        placed, rounds, moved = proposal.after, 1, proposal.after.moved
        try:
            self._follow(progress)
            while rounds < rounds_limit:
                again = place(self.builders(), nothing_more, time.time())
                if not is_worth_another_round(placed, again, proposal.leaving):
                    break
                placed, rounds, moved = again, rounds + 1, moved + again.moved
                self._publish(again.builders, f"{proposal.note}, round {rounds}")
                self._follow(progress)
        except KeyboardInterrupt:
            raise OperatorError(f"the change goes on by itself: {advice}", EXIT_INTERRUPTED) from None
        return Outcome(rounds, moved, placed.balance, placed.dispersion)

    def _publish(self, builders: Builders, note: str) -> None:
        with self._alone():
            self._builders.collect(self.store.document().digests)
            rings = self._builders.save(builders)
            for process in self.store.uses().keys() - self.devices.running_processes():
                self.store.forget_use(process)  # or the change would wait a while for it to take the new version over
            self._awaited = self.store.begin(rings, note, wall_us()).target

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one who begins a change."""
        try:
            lease = self.coordination.acquire(_LEASE, f"operator-{os.getpid()}", _LEASE_TTL_S)
        except LeaseHeld as held:
            raise ChangeUnderWay("somebody else begins a change at this moment: look at the rings again") from held
        try:
            yield
        finally:
            self.coordination.release(lease)

    def _follow(self, progress: Progress) -> RingDocument:
        """Return once the change that was begun is through."""
        while True:
            document = self.store.document()
            if document.settled:
                break
            if not self.cluster.is_running():
                raise OperatorError(
                    f"the cluster was stopped: the change goes on when it runs again, and "
                    f"`{program()} ring --watch{data_option(self.cluster.layout)}` shows it"
                )
            progress.show(self.change_line())
            time.sleep(_PAUSE_S)
        progress.show("")
        if document.current != self._awaited:
            raise OperatorError("the change was cancelled: the rings are as they were")
        return document


def _devices(device_ids: Collection[int]) -> str:
    names = listed([str(each) for each in sorted(device_ids)])
    return f"device {names} is" if len(device_ids) == 1 else f"devices {names} are"


def _refuse_stuck(current: Mapping[str, Ring], target: Mapping[str, Ring], down: Collection[int]) -> None:
    """Raise OperatorError when the change would not come to its end as things are."""
    short = partitions_short(current, down)
    if short:
        raise OperatorError(
            f"{_devices(down)} down and {short} partitions have fewer than a quorum of replicas without: "
            "start what can be started, for what nobody can read nobody can copy"
        )
    missed = sorted(set(down) & moves_of(current, target).joiners.keys())
    if missed:
        raise OperatorError(f"{_devices(missed)} down and would have to take data: start or remove them first")
