"""Which range database has which names: pointers, and the map that they make. Pure.

A pointer says: from this name on. It reaches to the next one; the last to the end, the first begins at "".
Names are compared as text, which is the order of their UTF-8 bytes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from cluster.clock import TIMESTAMP_SIZE, Timestamp

# The account of all range databases. No client has one with a zero character
RANGES = "\0ranges"
BEYOND = "\U0010ffff"  # after every name that begins with what it is added to

RowT = TypeVar("RowT", bound=tuple[Any, ...])  # the name first


class Pointer(NamedTuple):
    """Names from `low` on are in the range database `range_id`."""

    low: str
    range_id: str


class Owner(NamedTuple):
    """Whose rows a database has: of this container; "" as `range_id`: it is the root."""

    account: str
    container: str
    range_id: str = ""


def new_range_id(timestamp: Timestamp) -> str:
    """Return the id of a range database that is made at `timestamp`, which no clock gives twice."""
    return timestamp.hex()


def created_at(range_id: str) -> Timestamp:
    """Return when a range database was made."""
    return Timestamp(bytes.fromhex(range_id))


def range_database(account: str, container: str, range_id: str) -> tuple[str, str]:
    """Return the names, as account and container, under which a range database is placed and kept."""
    return RANGES, f"{range_id}/{account}/{container}"


def owner_of(account: str, container: str) -> Owner:
    """Return whose rows the database of these names has."""
    if account != RANGES:
        return Owner(account, container)
    range_id, owner, name = container.split("/", 2)
    return Owner(owner, name, range_id)


def checked(values: Any) -> list[Pointer]:
    """Return pointers that came from a peer. Raise ValueError when they cover no range."""
    try:
        pointers = [Pointer(*pair) for pair in values]
    except TypeError as error:
        raise ValueError(f"not pointers: {error}") from None
    lows = [pointer.low for pointer in pointers]
    if not lows or any(type(low) is not str for low in lows) or lows != sorted(set(lows)):
        raise ValueError("pointers are in order, each from another name on")
    for pointer in pointers:
        if type(pointer.range_id) is not str or len(pointer.range_id) != 2 * TIMESTAMP_SIZE:
            raise ValueError(f"{pointer.range_id!r:.100} is not the id of a range database")
        created_at(pointer.range_id)
    return pointers


@dataclass(frozen=True, slots=True)
class Span:
    """The names `low` <= name < `high` ("": no bound), and the range database that has them."""

    low: str
    high: str
    range_id: str

    def __contains__(self, name: str) -> bool:
        return self.low <= name and (not self.high or name < self.high)

    def up_to(self, below: str) -> "Span":
        """Return the part of it that is below a name; "": all."""
        high = min(self.high, below) if self.high and below else self.high or below
        return Span(self.low, high, self.range_id)

    def lies_within(self, prefix: str) -> bool:
        """Tell whether all its names begin with `prefix`."""
        return self.low.startswith(prefix) and self.high != "" and self.high.startswith(prefix)


class RangeMap:
    """Spans, in order, that cover all names. Immutable: what is learnt makes a new one."""

    __slots__ = ("_lows", "spans")

    def __init__(self, pointers: Iterable[Pointer]) -> None:
        merged: list[Pointer] = []
        for pointer in pointers:  # neighbours that lead to the same database are one span
            if not merged or merged[-1].range_id != pointer.range_id:
                merged.append(pointer)
        lows = [pointer.low for pointer in merged]
        self.spans: Sequence[Span] = [
            Span(pointer.low, high, pointer.range_id)
            for pointer, high in zip(merged, [*lows[1:], ""], strict=True)
        ]
        self._lows = lows

    def __repr__(self) -> str:
        return f"RangeMap({len(self.spans)} spans)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeMap) and self.spans == other.spans

    __hash__ = None  # type: ignore[assignment]

    @property
    def pointers(self) -> list[Pointer]:
        """What the map is made of."""
        return [Pointer(span.low, span.range_id) for span in self.spans]

    def index_of(self, name: str) -> int:
        """Return which span has `name`."""
        return max(0, bisect_right(self._lows, name) - 1)

    def span_of(self, name: str) -> Span:
        """Return the span that has `name`."""
        return self.spans[self.index_of(name)]

    def route(self, rows: Iterable[RowT]) -> dict[Span, list[RowT]]:
        """Return rows by the span that has them."""
        routed: dict[Span, list[RowT]] = {}
        for row in rows:
            routed.setdefault(self.span_of(row[0]), []).append(row)
        return routed

    def following(self, range_id: str, pointers: Sequence[Pointer]) -> "RangeMap":
        """Return the map in which each span of `range_id` is covered by what its pointers lead to."""
        found: list[Pointer] = []
        for span in self.spans:
            if span.range_id == range_id:
                found += clipped(pointers, span)
            else:
                found.append(Pointer(span.low, span.range_id))
        return RangeMap(found)


def clipped(pointers: Sequence[Pointer], span: Span) -> list[Pointer]:
    """Return the part of `pointers` that covers `span`."""
    first = max((pointer for pointer in pointers if pointer.low <= span.low), default=pointers[0])
    rest = [pointer for pointer in pointers if pointer.low > span.low and pointer.low in span]
    return [Pointer(span.low, first.range_id), *rest]
