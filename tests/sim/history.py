"""What clients did and what came of it: values that the checkers read.

A body is known by its value, a short text that no other write has. An object's state, as its clients see it, is
`State(data, meta)`: the value of the PUT that brought the bytes, and of the last write of metadata (that PUT itself,
or an update). None is: no object.
"""

import hashlib
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a client asked for."""

    PUT = "PUT"
    DELETE = "DELETE"
    GET = "GET"
    UPDATE = "UPDATE"  # of metadata
    LIST = "LIST"
    CREATE = "CREATE CONTAINER"
    DROP = "DELETE CONTAINER"


class Outcome(Enum):
    """What it was told."""

    OK = "ok"
    REFUSED = "refused"  # the condition does not hold, or there is no object: decided, and nothing written
    ABORTED = "aborted"  # by the client itself: nothing is written, for certain
    UNKNOWN = "?"  # may take effect at any time from its beginning on, or never


class Need(Enum):
    """A condition of a write."""

    NOTHING = ""
    ABSENT = "If-None-Match: *"
    VALUE = "If-Match"


class State(NamedTuple):
    """Of an object."""

    data: str
    meta: str


@dataclass(slots=True, eq=False)
class Operation:
    """One request of a client."""

    number: int
    client: str
    kind: Kind
    container: str
    name: str
    began: float
    value: str = ""  # of a PUT or UPDATE
    need: Need = Need.NOTHING
    needed: str = ""  # the data that If-Match names
    ended: float = math.inf  # when the client was answered; never, when it is not known what came of it
    outcome: Outcome = Outcome.UNKNOWN
    seen: State | None = None  # by a GET
    listing: "Listing | None" = None
    note: str = ""  # what the client was told, for people

    def __repr__(self) -> str:
        return self.render()

    def render(self) -> str:
        """Return the operation on one line."""
        subject = f"{self.container}/{self.name}" if self.name else self.container
        what = f"{self.kind.value} {subject}"
        if self.value:
            what += f" = {self.value}"
        if self.need is not Need.NOTHING:
            what += f" [{self.need.value}{' ' + self.needed if self.needed else ''}]"
        if self.kind is Kind.GET and self.outcome is Outcome.OK:
            what += f" -> {self.seen.data + ' / ' + self.seen.meta if self.seen else 'nothing'}"
        if self.listing is not None:
            what += f" -> {self.listing.render()}"
        ended = "        -" if math.isinf(self.ended) else f"{self.ended:9.4f}"
        return f"#{self.number:<4} {self.began:9.4f} {ended} {self.client:4} {self.outcome.value:8} {what} {self.note}"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page: which names were asked for, and which came, in order, each with the ETag of its row."""

    prefix: str
    marker: str
    limit: int
    items: tuple[tuple[str, str], ...]
    truncated: bool

    def render(self) -> str:
        """Return it in a few words."""
        asked = f"prefix={self.prefix!r} marker={self.marker!r} limit={self.limit}"
        return f"({asked}) {[name for name, _etag in self.items]}{' …' * self.truncated}"

    def covers(self, name: str) -> bool:
        """Tell whether `name` would be on this page if it were there."""
        if not name.startswith(self.prefix) or name <= self.marker:
            return False
        return not (self.truncated and name > self.items[-1][0])


@dataclass(slots=True)
class History:
    """All operations of a simulation, in the order in which they began."""

    operations: list[Operation] = field(default_factory=list)

    def begin(self, client: str, kind: Kind, container: str, name: str, now: float) -> Operation:
        """Note a request."""
        operation = Operation(len(self.operations), client, kind, container, name, now)
        self.operations.append(operation)
        return operation

    def of(self, container: str, name: str) -> list[Operation]:
        """Return what was done to one name."""
        return [found for found in self.operations if found.container == container and found.name == name]

    def names(self) -> list[tuple[str, str]]:
        """Return all names that anybody asked for, in order."""
        return sorted({(found.container, found.name) for found in self.operations if found.name})


def body_of(value: str, size: int) -> bytes:
    """Return the body that stands for `value`: its text, again and again."""
    text = (value + "\n").encode()
    return (text * (size // len(text) + 1))[: max(size, len(text))]


def value_of(body: bytes) -> str:
    """Return the value of a body. Raise ValueError for one that `body_of` did not make."""
    first, _, _ = body.partition(b"\n")
    value = first.decode()
    if body != body_of(value, len(body)):
        raise ValueError(f"a body of {len(body)} bytes that begins with {body[:40]!r} is not what anybody wrote")
    return value


def etag_of(value: str, size: int) -> str:
    """Return the ETag of a body."""
    return hashlib.md5(body_of(value, size)).hexdigest()
