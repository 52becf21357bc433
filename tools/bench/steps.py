"""What is measured: operations by object size and number of connections. Pure.

- PUT: objects that were not there, until the time is up or the keys are through.
- GET: objects out of a few, again and again; nothing is read from the disk.
- LIST: ListObjectsV2 of a bucket of 1000 keys.
- DELETE: objects that are there, each once.

LIST and DELETE do not depend on the size of objects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

LISTED_KEYS = 1000
SMALL_BYTES = 4096  # of the objects that are listed and deleted
_PUT_KEYS = 20_000
_PUT_BYTES = 2 << 30  # of the objects of one step together; the keys begin anew after that
_GET_KEYS, _GET_BYTES = 200, 256 << 20
_DELETES_PER_S = 60, 400  # by one connection, by several: what is prepared for a step, not a limit


class Operation(StrEnum):
    """What is sent."""

    PUT = "PUT"
    GET = "GET"
    LIST = "LIST"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the table."""

    operation: Operation
    size: int | None  # bytes of an object; None where it does not matter
    connections: int


def plan(operations: Sequence[Operation], sizes: Sequence[int], connections: Sequence[int]) -> list[Step]:
    """Return the steps in the order in which they are taken."""
    return list(_steps(operations, sizes, connections))


def _steps(operations: Sequence[Operation], sizes: Sequence[int], connections: Sequence[int]) -> Iterator[Step]:
    for operation in operations:
        sized = operation in (Operation.PUT, Operation.GET)
        for size in sizes if sized else (None,):
            for count in connections:
                yield Step(operation, size, count)


def put_keys(step: Step, round_index: int) -> list[str]:
    """Return the keys that a PUT step writes; no other step of any round writes them."""
    assert step.size is not None
    count = max(step.connections, min(_PUT_KEYS, _PUT_BYTES // max(step.size, 1)))
    return [f"put/{step.size}/{step.connections}/{round_index}/{index:07d}" for index in range(count)]


def get_keys(size: int) -> list[str]:
    """Return the keys that GET steps of this size read."""
    count = max(1, min(_GET_KEYS, _GET_BYTES // max(size, 1)))
    return [f"get/{size}/{index:07d}" for index in range(count)]


def listed_keys() -> list[str]:
    """Return the keys of the bucket that is listed."""
    return [f"listed/{index:07d}" for index in range(LISTED_KEYS)]


def delete_keys(step: Step, round_index: int, seconds: int) -> list[str]:
    """Return the keys that a DELETE step deletes."""
    count = seconds * _DELETES_PER_S[step.connections > 1]
    return [f"delete/{step.connections}/{round_index}/{index:07d}" for index in range(count)]
