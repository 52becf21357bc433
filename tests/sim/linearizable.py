"""Is the history of one name that of a register? Wing and Gong's search, with Lowe's refinements.

Sources: J. Wing, C. Gong, "Testing and Verifying Concurrent Objects", JPDC 1993; G. Lowe, "Testing for
linearizability", CCPE 2017. Linearizability is local (Herlihy and Wing), so names are checked one by one
(P-compositionality).

The search takes operations one after another, each that began before every one not yet taken ended, and keeps in mind
which sets of taken operations with which state led nowhere. Three things keep it short. Values that nobody has seen or
asked for are all the same, so of writes of unknown outcome that leave such, one is as good as another. A read that
agrees with the state is taken at once, for that can never be wrong. And a write of unknown outcome is tried only where
somebody who is not taken yet needs what it leaves: at first that is somebody who cannot go before it; only when this
leads nowhere is everybody looked at who could possibly come to need it, through other writes of unknown outcome.
"""

from collections.abc import Sequence
from dataclasses import replace

from tests.sim.history import Kind, Need, Operation, Outcome, State

STEPS_LIMIT = 50_000
UNSEEN = ""  # any value that nobody has seen or asked for


class TooHard(Exception):
    """The search was given up."""


def is_linearizable(operations: Sequence[Operation], steps_limit: int = STEPS_LIMIT) -> bool:
    """Tell whether `operations`, all of one name, could have happened one at a time. Raise TooHard."""
    operations = without_the_unseen(operations)
    if _Search(operations, steps_limit, wide=False).run():
        return True
    return _Search(operations, steps_limit, wide=True).run()


def _matters(operation: Operation) -> bool:
    """Tell whether an operation says anything: reads of unknown outcome do not."""
    if operation.outcome is Outcome.ABORTED:
        return False
    return operation.outcome is not Outcome.UNKNOWN or operation.kind in (Kind.PUT, Kind.DELETE, Kind.UPDATE)


def without_the_unseen(operations: Sequence[Operation]) -> list[Operation]:
    """Return `operations` with UNSEEN for every value of unknown outcome that nobody can tell from another one."""
    told = {value for operation in operations if operation.seen is not None for value in operation.seen}
    told |= {operation.needed for operation in operations}
    return [
        replace(operation, value=UNSEEN)
        if operation.outcome is Outcome.UNKNOWN and operation.value not in told
        else operation
        for operation in operations
    ]


def applied(operation: Operation, state: State | None) -> tuple[bool, State | None]:
    """Return whether `operation` agrees with `state`, and the state after it."""
    if operation.kind is Kind.GET:
        return operation.seen == state, state
    allowed = _allowed(operation, state)
    if operation.outcome is Outcome.REFUSED:
        return not allowed, state
    if not allowed:  # a write of unknown outcome that was refused has done nothing
        return operation.outcome is Outcome.UNKNOWN, state
    return True, _written(operation, state)


def _allowed(operation: Operation, state: State | None) -> bool:
    if operation.kind is Kind.UPDATE and state is None:
        return False
    if operation.need is Need.ABSENT:
        return state is None
    if operation.need is Need.VALUE:
        return state is not None and state.data == operation.needed
    return True


def _written(operation: Operation, state: State | None) -> State | None:
    if operation.kind is Kind.DELETE:
        return None
    if operation.kind is Kind.PUT:
        return State(operation.value, operation.value)
    assert state is not None
    return State(state.data, operation.value)


class _Search:
    def __init__(self, operations: Sequence[Operation], steps_limit: int, wide: bool) -> None:
        self._wide = wide
        relevant = [operation for operation in operations if _matters(operation)]
        self._operations = sorted(relevant, key=lambda operation: (operation.began, operation.number))
        self._known = [operation.outcome is not Outcome.UNKNOWN for operation in self._operations]
        self._all_known = sum(1 << index for index, known in enumerate(self._known) if known)
        self._seen: set[tuple[int, State | None]] = set()
        self._steps = steps_limit

    def run(self) -> bool:
        stack: list[tuple[int, State | None]] = [(0, None)]
        while stack:
            taken, state = self._take_reads(*stack.pop())
            if taken & self._all_known == self._all_known:
                return True
            if (taken, state) in self._seen:
                continue
            self._seen.add((taken, state))
            self._steps -= 1
            if self._steps < 0:
                raise TooHard(f"{len(self._operations)} operations")
            stack += self._next(taken, state)
        return False

    def _candidates(self, taken: int) -> list[int]:
        """Return those that may come next: they began before every known one that is not taken has ended."""
        found: list[int] = []
        bound = float("inf")
        for index, operation in enumerate(self._operations):
            if taken >> index & 1:
                continue
            if operation.began > bound:
                break
            found.append(index)
            if self._known[index]:
                bound = min(bound, operation.ended)
        return [index for index in found if self._operations[index].began <= bound]

    def _take_reads(self, taken: int, state: State | None) -> tuple[int, State | None]:
        """Take all that agree with the state and have written nothing. (A deletion of nothing may be needed later.)"""
        again = True
        while again:
            again = False
            for index in self._candidates(taken):
                operation = self._operations[index]
                if _has_only_looked(operation) and applied(operation, state)[0]:
                    taken |= 1 << index
                    again = True
        return taken, state

    def _next(self, taken: int, state: State | None) -> list[tuple[int, State | None]]:
        found: list[tuple[int, State | None]] = []
        tried: set[State | None] = set()  # that a write of unknown outcome leaves: those that leave the same are alike
        for index in self._candidates(taken):
            operation = self._operations[index]
            agrees, after = applied(operation, state)
            if not agrees:
                continue
            if self._known[index]:
                found.append((taken | 1 << index, after))
            elif after != state and after not in tried and self._is_needed(taken, state, after):
                tried.add(after)
                found.append((taken | 1 << index, after))
        found.reverse()  # the stack: those that began first are tried first
        return found

    def _is_needed(self, taken: int, state: State | None, after: State | None) -> bool:
        """Tell whether someone who is not taken could need what leaves `after`."""
        left = [found for index, found in enumerate(self._operations) if not taken >> index & 1]
        if self._wide:
            return any(_depends(found) or (found.kind is Kind.GET and _is_part(found.seen, after)) for found in left)
        seen = {value for found in left if found.seen is not None for value in found.seen}
        return any(_waits(found, state, after, seen) for found in left)


def _waits(operation: Operation, state: State | None, after: State | None, seen: set[str]) -> bool:
    """Tell whether an operation cannot come now, and could after `after`; of those in doubt one that was seen."""
    if operation.kind is Kind.GET:
        return _is_part(operation.seen, after)
    if operation.outcome is Outcome.UNKNOWN:
        return operation.value in seen and not _allowed(operation, state) and _allowed(operation, after)
    return _depends(operation) and not applied(operation, state)[0] and applied(operation, after)[0]


def _has_only_looked(operation: Operation) -> bool:
    """Tell whether an operation of known outcome has changed nothing, whenever it was."""
    return operation.outcome is Outcome.REFUSED or (
        operation.kind is Kind.GET and operation.outcome is Outcome.OK
    )


def _depends(operation: Operation) -> bool:
    """Tell whether what a write does depends on the state before it."""
    return operation.need is not Need.NOTHING or operation.kind is Kind.UPDATE


def _is_part(seen: State | None, after: State | None) -> bool:
    """Tell whether one could see `seen` only because `after` was."""
    if seen is None or after is None:
        return seen is after
    return seen.data == after.data or seen.meta == after.meta
