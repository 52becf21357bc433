"""Do listings show what they must, and nothing else?

Of each name that a page covers: if every write that may be the last one before the page is a PUT, the name must be on
it; if none of them is, it must not. A write may be the last unless another, acknowledged before the listing began,
began after it had ended. A row that one listing has shown counts as acknowledged for those that begin after it: what
was listed stays. Pages are in order, and names are those that somebody has written.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.sim.history import Kind, Operation, Outcome


@dataclass(frozen=True, slots=True)
class _Write:
    operation: Operation
    ended: float  # by when it was known to be listed
    certain: bool


def violations(operations: Sequence[Operation], etags: dict[str, str]) -> list[str]:
    """Return what listings show wrongly; `etags` by value. `operations`: all of one container."""
    listings = [found for found in operations if found.kind is Kind.LIST and found.outcome is Outcome.OK]
    writes: dict[str, list[Operation]] = {}
    for found in operations:
        if found.kind in (Kind.PUT, Kind.DELETE, Kind.UPDATE) and found.outcome in (Outcome.OK, Outcome.UNKNOWN):
            writes.setdefault(found.name, []).append(found)
    wrong: list[str] = []
    shown: dict[int, float] = {}  # PUT -> when a listing that showed it had ended
    for listing in sorted(listings, key=lambda found: found.ended):
        wrong += _misshapen(listing, writes)
        for name in sorted(writes):
            wrong += _wrong_of(listing, name, writes[name], shown, etags)
        _note_shown(listing, writes, shown, etags)
    return wrong


def _misshapen(listing: Operation, writes: dict[str, list[Operation]]) -> list[str]:
    page = listing.listing
    assert page is not None
    names = [name for name, _etag in page.items]
    wrong = []
    if names != sorted(set(names)):
        wrong.append(f"{listing}: not in order")
    for name in names:
        if not page.covers(name):
            wrong.append(f"{listing}: {name} is not what was asked for")
        if not any(w.kind is Kind.PUT and w.began < listing.ended for w in writes.get(name, ())):
            wrong.append(f"{listing}: nobody has written {name}")
    return wrong


def _candidates(listing: Operation, writes: Sequence[Operation], shown: dict[int, float]) -> list[_Write]:
    """Return the writes that may be the last before the listing."""
    known = [
        _Write(
            write,
            min(write.ended, shown.get(write.number, math.inf)),
            write.outcome is Outcome.OK or write.number in shown,
        )
        for write in writes
        if write.began < listing.ended
    ]
    before = [write for write in known if write.certain and write.ended <= listing.began]
    return [write for write in known if not any(write.ended < later.operation.began for later in before)]


def _wrong_of(
    listing: Operation, name: str, writes: Sequence[Operation], shown: dict[int, float], etags: dict[str, str]
) -> list[str]:
    page = listing.listing
    assert page is not None
    if not page.covers(name):
        return []
    found = dict(page.items).get(name)
    candidates = _candidates(listing, writes, shown)
    certain = any(write.certain and write.ended <= listing.began for write in candidates)
    kinds = {write.operation.kind for write in candidates}
    if found is None:
        # an update cannot be told from the PUT that it builds on: it keeps an object, and makes none
        missing = certain and Kind.DELETE not in kinds and not _may_be_absent(candidates, writes)
        return [f"{listing}: {name} is missing; last written by {_last(candidates)}"] if missing else []
    if kinds <= {Kind.DELETE}:
        return [f"{listing}: {name} is listed, and deleted by {_last(candidates)}"]
    if Kind.UPDATE not in kinds:
        possible = {etags.get(write.operation.value) for write in candidates if write.operation.kind is Kind.PUT}
        if found not in possible:
            return [f"{listing}: {name} is listed as {found}; last written by {_last(candidates)}"]
    return []


def _may_be_absent(candidates: Sequence[_Write], writes: Sequence[Operation]) -> bool:
    """Tell whether only updates are left, beside a deletion that they may have come before."""
    if any(write.operation.kind is Kind.PUT and write.certain for write in candidates):
        return False
    return any(write.kind is Kind.DELETE for write in writes)


def _last(candidates: Sequence[_Write]) -> str:
    return " or ".join(f"#{write.operation.number}" for write in candidates) or "nobody"


def _note_shown(
    listing: Operation, writes: dict[str, list[Operation]], shown: dict[int, float], etags: dict[str, str]
) -> None:
    page = listing.listing
    assert page is not None
    for name, etag in page.items:
        for write in writes.get(name, ()):
            if write.kind is Kind.PUT and etags.get(write.value) == etag:
                shown[write.number] = min(shown.get(write.number, math.inf), listing.ended)
