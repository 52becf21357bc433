"""tests.sim.linearizable: histories that could have happened one at a time, and such that could not."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest

from tests.sim.history import Kind, Need, Operation, Outcome, State
from tests.sim.linearizable import applied, is_linearizable


def operation(
    kind: Kind, began: float, ended: float, value: str = "", outcome: Outcome = Outcome.OK, **more: object
) -> Operation:
    """Return an operation; one of unknown outcome never ends."""
    made = Operation(0, "c", kind, "c", "n", began, value, ended=ended, outcome=outcome)
    if outcome is Outcome.UNKNOWN:
        made.ended = math.inf
    for name, given in more.items():
        setattr(made, name, given)
    return made


def put(began: float, ended: float, value: str, outcome: Outcome = Outcome.OK, **more: object) -> Operation:
    return operation(Kind.PUT, began, ended, value, outcome, **more)


def get(began: float, ended: float, value: str | None, meta: str = "") -> Operation:
    return operation(Kind.GET, began, ended, seen=None if value is None else State(value, meta or value))


def delete(began: float, ended: float, outcome: Outcome = Outcome.OK) -> Operation:
    return operation(Kind.DELETE, began, ended, outcome=outcome)


GOOD = {
    "nothing at first": [get(0, 1, None), put(2, 3, "a"), get(4, 5, "a")],
    "reads beside a write see either": [put(0, 1, "a"), put(2, 9, "b"), get(3, 4, "a"), get(5, 6, "b")],
    "a write in doubt takes effect late": [
        put(0, 1, "a"),
        put(2, 3, "b", Outcome.UNKNOWN),
        get(4, 5, "a"),
        get(6, 7, "b"),
    ],
    "a write in doubt never happens": [put(0, 1, "a"), put(2, 3, "b", Outcome.UNKNOWN), get(4, 5, "a")],
    "one creates, the other is refused": [
        put(0, 5, "a", need=Need.ABSENT),
        put(1, 4, "b", Outcome.REFUSED, need=Need.ABSENT),
    ],
    "created again after a deletion in doubt": [
        put(0, 1, "a"),
        delete(2, 3, Outcome.UNKNOWN),
        put(4, 5, "b", need=Need.ABSENT),
        get(6, 7, "b"),
    ],
    "a deletion beside the write that it deletes": [put(0, 5, "a"), delete(1, 9), get(6, 7, "a"), get(10, 11, None)],
    "other metadata over the same data": [
        put(0, 1, "a"),
        operation(Kind.UPDATE, 2, 3, "m"),
        get(4, 5, "a", "m"),
    ],
    "a conditional write in doubt, upon a deletion in doubt": [
        put(0, 1, "a"),
        delete(2, 3, Outcome.UNKNOWN),
        put(4, 5, "b", Outcome.UNKNOWN, need=Need.ABSENT),
        get(6, 7, "b"),
    ],
}
BAD = {
    "a read goes back": [put(0, 1, "a"), put(2, 9, "b"), get(3, 4, "b"), get(5, 6, "a")],
    "an acknowledged write is lost": [put(0, 1, "a"), put(2, 3, "b"), get(4, 5, "a")],
    "a deleted object is back": [put(0, 1, "a"), delete(2, 3), get(4, 5, None), get(6, 7, "a")],
    "both create": [put(0, 5, "a", need=Need.ABSENT), put(1, 4, "b", need=Need.ABSENT)],
    "refused without a reason": [put(0, 1, "a", Outcome.REFUSED, need=Need.ABSENT)],
    "a value that nobody wrote": [get(0, 1, "a")],
    "before it was written": [get(0, 1, "a"), put(2, 3, "a")],
    "a write in doubt happens twice": [
        put(0, 1, "a", Outcome.UNKNOWN),
        get(2, 3, "a"),
        put(4, 5, "b"),
        get(6, 7, "a"),
    ],
    "what its client took back is there": [put(0, 1, "a", Outcome.ABORTED), get(2, 3, "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_could_have_happened_one_at_a_time_passes(name: str) -> None:
    assert is_linearizable(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_could_not_is_found(name: str) -> None:
    assert not is_linearizable(BAD[name])


def plainly_linearizable(operations: Sequence[Operation]) -> bool:
    """Try all orders of all subsets that leave out writes in doubt only."""
    operations = [found for found in operations if found.outcome is not Outcome.ABORTED]
    known = [found for found in operations if found.outcome is not Outcome.UNKNOWN]
    doubtful = [found for found in operations if found.outcome is Outcome.UNKNOWN and found.kind is not Kind.GET]
    for count in range(len(doubtful) + 1):
        for chosen in itertools.combinations(doubtful, count):
            if any(_legal(order) for order in itertools.permutations([*known, *chosen])):
                return True
    return False


def _legal(order: Sequence[Operation]) -> bool:
    state = None
    for index, found in enumerate(order):
        if any(later.ended < found.began for later in order[index + 1 :]):
            return False
        agrees, state = applied(found, state)
        if not agrees:
            return False
    return True


def random_history(chance: random.Random) -> list[Operation]:
    """Return a few operations that overlap, with answers that are often wrong."""
    made: list[Operation] = []
    values = ["a", "b", "m"]
    for number in range(chance.randint(2, 5)):
        began = chance.uniform(0, 6)
        ended = began + chance.uniform(0.1, 4)
        outcome = chance.choice([Outcome.OK, Outcome.OK, Outcome.OK, Outcome.UNKNOWN])
        kind = chance.choice([Kind.PUT, Kind.PUT, Kind.GET, Kind.GET, Kind.DELETE, Kind.UPDATE])
        one = operation(kind, began, ended, outcome=outcome)
        one.number = number
        if kind is Kind.GET:
            seen = chance.choice([None, *values])
            one.seen = None if seen is None else State(seen, chance.choice([seen, seen, "m"]))
        else:
            one.value = "m" if kind is Kind.UPDATE else chance.choice("ab")
            one.need = chance.choice([Need.NOTHING, Need.NOTHING, Need.ABSENT, Need.VALUE])
            one.needed = "a" if one.need is Need.VALUE else ""
            if one.need is not Need.NOTHING and chance.random() < 0.3 and outcome is Outcome.OK:
                one.outcome = Outcome.REFUSED
        made.append(one)
    return made


def test_the_search_agrees_with_trying_all_orders() -> None:
    chance = random.Random(4)
    verdicts = []
    for _ in range(500):
        history = random_history(chance)
        verdict = is_linearizable(history)
        assert verdict == plainly_linearizable(history), "\n".join(map(repr, history))
        verdicts.append(verdict)
    assert 50 < sum(verdicts) < 450, "both kinds must come up"


def test_a_long_history_with_many_writes_in_doubt_is_decided_quickly() -> None:
    chance = random.Random(1)
    history: list[Operation] = []
    value: str | None = None
    for step in range(300):
        if chance.random() < 0.2:
            history.append(put(step, step + 0.5, f"lost{step}", Outcome.UNKNOWN))
        elif chance.random() < 0.5:
            value = f"v{step}"
            history.append(put(step, step + 0.9, value))
        else:
            history.append(get(step, step + 0.9, value))
    assert is_linearizable(history, steps_limit=20_000)
