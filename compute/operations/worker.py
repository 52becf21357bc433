"""Carries out operations: each until it is done or undone, or put off. A `compute.crew` carries out some at a time.

What cannot be reached is tried again, with pauses that grow; what was to be made fails when that goes on for
PATIENCE_S, so that users are not left waiting, and what is to be cleared up never gives up. A defect of ours is tried
a few times, then counts as a failure.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from cluster.clock import wall_us
from cluster.controlplane.database import Database, retried
from cluster.telemetry.log import get_logger
from compute.errors import NotFound
from compute.operations import journal
from compute.operations.journal import Operation
from compute.operations.work import Kind, Lost, Work
from compute.stored import BackendError, InUse, NotYet, Refused, Unreachable

POLL_S = 1.0  # after which what became due is begun; what is asked for is begun at once
RENEW_S = 15.0
PATIENCE_S = 600.0  # with a gateway that does not answer
SOON_S = 1.0  # until what is on its way is asked for again; whoever does it says when it cannot be
IN_USE_S = 30.0  # for somebody's connections to go
ATTEMPTS = 5  # at what a defect of ours has ended
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_HOST_LIMIT = 200  # characters of an owner's name

assert RENEW_S * 3e6 < journal.CLAIM_US

_log = get_logger("compute")

WorkT = TypeVar("WorkT", bound=Work)  # type: ignore[type-arg]


class Worker(Generic[WorkT]):
    """The operations that a process carries out."""

    def __init__(
        self,
        database: Database,
        make_work: Callable[[Operation], WorkT],
        kinds: Mapping[str, Kind[WorkT]],
        host: str,
        clock_us: Callable[[], int] = wall_us,
    ) -> None:
        """`host`: what tells the one process of its kind here from those elsewhere, also after a start."""
        self._database, self._make_work = database, make_work
        self._kinds = kinds
        self._clock_us = clock_us
        self._host = host[-_HOST_LIMIT:]
        self._owner = f"{self._host}/{uuid.uuid4().hex}"

    def __repr__(self) -> str:
        return f"Worker({self._owner})"

    def take_over(self) -> None:
        """Have what earlier processes of this host have begun be done by this one."""
        retried(self._database, lambda connection: journal.release(connection, self._host))

    def renew(self) -> None:
        """Keep the claims of this process: a chore."""
        retried(self._database, lambda connection: journal.renew(connection, self._owner, self._clock_us()))

    def step(self) -> bool:
        """Carry out one operation, if one waits; tell whether one did."""
        with self._database.reading() as connection:  # mostly there is nothing, and nobody need wait for it
            if not journal.waits(connection, self._clock_us()):
                return False
        operation = self._claim()
        if operation is None:
            return False
        self._carry_out(operation)
        return True

    def hasten(self, operation_id: str) -> None:
        """Carry out an operation here and now, unless somebody has begun it; what fails is tried again as usual."""
        try:
            operation = self._claim(operation_id)
            if operation is not None:
                self._carry_out(operation)
        except Exception as error:  # the database is away
            _log.error("operation_not_hastened", operation=operation_id, error=error)

    def _claim(self, operation_id: str | None = None) -> Operation | None:
        return retried(
            self._database,
            lambda connection: journal.claim(connection, self._owner, self._clock_us(), operation_id),
        )

    def _carry_out(self, operation: Operation) -> None:
        work = self._make_work(operation)
        kind = self._kinds[operation.kind]
        try:
            if operation.step == journal.FAILING:
                kind.fail(work, str(work.details.get("why", "")))
                return
            kind.perform(work)
        except Lost as error:
            _log.warning("operation_lost", operation=operation.id, error=error)
        except (Refused, NotFound) as error:  # NotFound: an administrator has deleted it meanwhile
            self._give_up(work, str(error))
        except (Unreachable, InUse) as error:
            self._again(work, error)
        except Exception as error:
            _log.error("operation_failed", kind=operation.kind, subject=operation.subject, error=error)
            if operation.attempts < ATTEMPTS or operation.step == journal.FAILING:
                self._put_off(work)
            else:
                self._give_up(work, "an unexpected error")

    def _again(self, work: WorkT, error: BackendError) -> None:
        operation = work.operation
        if isinstance(error, NotYet) and operation.step != journal.FAILING:
            self._put_off(work, SOON_S)
            return
        waited_s = (self._clock_us() - operation.created_at_us) / 1e6
        if waited_s > (IN_USE_S if isinstance(error, InUse) else PATIENCE_S) and operation.step != journal.FAILING:
            self._give_up(work, str(error))
            return
        _log.warning("operation_delayed", kind=operation.kind, subject=operation.subject, error=error)
        self._put_off(work)

    def _put_off(self, work: WorkT, longest_s: float = _LONGEST_PAUSE_S) -> None:
        pause_s = min(longest_s, _FIRST_PAUSE_S * 2 ** min(work.operation.attempts - 1, 10))
        until_us = self._clock_us() + int(pause_s * 1e6)
        retried(self._database, lambda connection: journal.put_off(connection, work.operation, until_us))

    def _give_up(self, work: WorkT, why: str) -> None:
        """Note that it fails, so that it is not begun anew after a crash; then clear up."""
        operation = work.operation
        _log.warning("operation_gives_up", kind=operation.kind, subject=operation.subject, why=why)
        try:
            if operation.step != journal.FAILING:
                work.reach(journal.FAILING, why=why)
            self._kinds[operation.kind].fail(work, str(work.details.get("why", why)))
        except Lost as error:
            _log.warning("operation_lost", operation=operation.id, error=error)
        except Exception as error:  # it is cleared up later
            _log.error("operation_not_cleared_up", kind=operation.kind, subject=operation.subject, error=error)
            self._put_off(work)
