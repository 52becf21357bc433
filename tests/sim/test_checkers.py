"""tests.sim.listing and tests.sim.containers: histories that are well, and such that are not."""

import math

import pytest

from tests.sim import containers, listing
from tests.sim.history import Kind, Listing, Operation, Outcome

ETAGS = {value: f"etag of {value}" for value in ("v", "w")}
_numbers = iter(range(10_000))


def operation(
    kind: Kind, name: str, began: float, ended: float, value: str = "", outcome: Outcome = Outcome.OK
) -> Operation:
    number = next(_numbers)
    ended = math.inf if outcome is Outcome.UNKNOWN else ended
    return Operation(number, "c", kind, "c", name, began, value, ended=ended, outcome=outcome)


def put(name: str, began: float, ended: float, value: str = "v", outcome: Outcome = Outcome.OK) -> Operation:
    return operation(Kind.PUT, name, began, ended, value, outcome)


def delete(name: str, began: float, ended: float, outcome: Outcome = Outcome.OK) -> Operation:
    return operation(Kind.DELETE, name, began, ended, outcome=outcome)


def listed(began: float, ended: float, *names: str, value: str = "v", **asked: object) -> Operation:
    made = operation(Kind.LIST, "", began, ended)
    query = {"prefix": "", "marker": "", "limit": 1000, "truncated": False, **asked}
    made.listing = Listing(items=tuple((name, ETAGS[value]) for name in names), **query)  # type: ignore[arg-type]
    return made


UNKNOWN = Outcome.UNKNOWN
GOOD = {
    "what was put is there": [put("a", 0, 1), listed(2, 3, "a")],
    "beside a PUT either is right": [put("a", 0, 5), listed(1, 2), listed(3, 4, "a")],
    "a PUT in doubt may be missing": [put("a", 0, 1, outcome=UNKNOWN), listed(2, 3)],
    "a PUT in doubt may come late": [put("a", 0, 1, outcome=UNKNOWN), listed(2, 3), listed(4, 5, "a")],
    "what was deleted is gone": [put("a", 0, 1), delete("a", 2, 3), listed(4, 5)],
    "a page ends at its limit": [put("a", 0, 1), put("b", 0, 1), listed(2, 3, "a", limit=1, truncated=True)],
    "names of other prefixes are left out": [put("a", 0, 1), put("d/1", 0, 1), listed(2, 3, "d/1", prefix="d/")],
    "an overwrite in doubt shows either": [
        put("a", 0, 1),
        put("a", 2, 3, "w", UNKNOWN),
        listed(4, 5, "a"),
        listed(6, 7, "a", value="w"),
    ],
}
BAD = {
    "an acknowledged row is missing": [put("a", 0, 1), listed(2, 3)],
    "a deleted row is there": [put("a", 0, 1), delete("a", 2, 3), listed(4, 5, "a")],
    "a name that nobody wrote": [listed(0, 1, "a")],
    "out of order": [put("a", 0, 1), put("b", 0, 1), listed(2, 3, "b", "a")],
    "an old row": [put("a", 0, 1), put("a", 2, 3, "w"), listed(4, 5, "a")],
    "what was listed is gone again": [put("a", 0, 1, outcome=UNKNOWN), listed(2, 3, "a"), listed(4, 5)],
    "not what was asked for": [put("a", 0, 1), listed(2, 3, "a", prefix="d/")],
    "the second of two is missing on a whole page": [put("a", 0, 1), put("b", 0, 1), listed(2, 3, "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_listings_that_are_right_pass(name: str) -> None:
    assert listing.violations(GOOD[name], ETAGS) == []


@pytest.mark.parametrize("name", BAD)
def test_listings_that_are_wrong_are_found(name: str) -> None:
    assert listing.violations(BAD[name], ETAGS)


def drop(began: float, ended: float) -> Operation:
    return operation(Kind.DROP, "", began, ended)


def create(began: float, ended: float) -> Operation:
    return operation(Kind.CREATE, "", began, ended)


EMPTY = {
    "deleted object by object first": [put("a", 0, 1), delete("a", 2, 3), drop(4, 5)],
    "the object was deleted meanwhile": [put("a", 0, 1), delete("a", 2, 9), drop(4, 5)],
    "made again before the PUT": [drop(0, 1), create(2, 3), put("a", 4, 5)],
    "made again beside the PUT": [put("a", 0, 9), drop(1, 2), create(3, 4)],
    "a deletion in doubt": [put("a", 0, 1), delete("a", 2, 3, UNKNOWN), drop(4, 5)],
}
NOT_EMPTY = {
    "an object was in it": [put("a", 0, 1), drop(2, 3)],
    "another object was deleted": [put("a", 0, 1), delete("b", 2, 3), drop(4, 5)],
    "put into what is not there": [drop(0, 1), put("a", 2, 3)],
    "deleted before it was put": [delete("a", 0, 1), put("a", 2, 3), drop(4, 5)],
    "both at once": [put("a", 0, 5), drop(1, 4)],
}


@pytest.mark.parametrize("name", EMPTY)
def test_deletions_of_empty_containers_pass(name: str) -> None:
    assert containers.violations(EMPTY[name]) == []


@pytest.mark.parametrize("name", NOT_EMPTY)
def test_deletions_that_take_something_with_them_are_found(name: str) -> None:
    assert containers.violations(NOT_EMPTY[name])
