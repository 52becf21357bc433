"""Is a container deleted only when it is empty?

Of an acknowledged PUT and an acknowledged deletion of its container one came first. Either the PUT: then a deletion of
the object came between. Or the deletion: then the container was made again before the PUT ended.

And no deletion of the container, acknowledged or not, takes an object along: its name is a register like any other, in
which there is nothing when the container is gone.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from tests.sim.history import Kind, Need, Operation, Outcome


def violations(operations: Sequence[Operation]) -> list[str]:
    """Return the deletions that took something with them. `operations`: all of one container."""
    puts = [found for found in operations if found.kind is Kind.PUT and found.outcome is Outcome.OK]
    drops = [found for found in operations if found.kind is Kind.DROP and found.outcome is Outcome.OK]
    return [
        f"{drop}: {put.name} was in it, by #{put.number}"
        for drop in drops
        for put in puts
        if not _explained(put, drop, operations)
    ]


def objects(operations: Sequence[Operation]) -> list[Operation]:
    """Return the history of a name as a register's: a PUT that found its container gone takes back what it wrote."""
    doubtful = [one for one in operations if one.kind is Kind.PUT and one.outcome is Outcome.UNKNOWN]
    taken_back = [replace(put, kind=Kind.DELETE, value="", need=Need.NOTHING, ended=math.inf) for put in doubtful]
    return [*operations, *taken_back]


def _explained(put: Operation, drop: Operation, operations: Sequence[Operation]) -> bool:
    if put.began < drop.ended and any(_between(put, other, drop) for other in operations):
        return True
    return put.ended > drop.began and any(
        other.kind is Kind.CREATE and other.began < put.ended and other.ended > drop.began for other in operations
    )


def _between(put: Operation, other: Operation, drop: Operation) -> bool:
    """Tell whether `other` may have deleted, between the two, what was put."""
    deletes = other.kind is Kind.DELETE and other.name == put.name
    return deletes and other.began < drop.ended and other.ended > put.began
