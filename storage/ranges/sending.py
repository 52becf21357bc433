"""Rows to a quorum of a database, or of the range databases that its rows have moved to."""

import asyncio
from collections.abc import Sequence

from cluster.clock import Timestamp
from storage.asking import ask, failures_of, refusals_of, replies_of
from storage.client import Placement
from storage.messages import DatabaseKind, IndexRows, Operation, Refusal, Row
from storage.ranges.decision import Named
from storage.ranges.pointers import RangeMap, created_at
from storage.ranges.state import decided_by, parse_refusal

DEPTH = 8  # of the tree of pointers: it is far lower, for the root is brought up to date after every split
ROWS_PER_MESSAGE = 1000


class NotTaken(Exception):
    """No quorum has taken the rows; some replicas may have. The words say who refused, and why."""

    def __init__(self, text: str, codes: frozenset[int] = frozenset()) -> None:
        super().__init__(text)
        self.codes = codes  # Refusal


async def send_rows(
    placement: Placement,
    kind: DatabaseKind,
    database: Named,
    put_timestamp: Timestamp,
    rows: Sequence[Row],
    depth: int = DEPTH,
    moved: bool = False,
) -> None:
    """Bring rows to a quorum of the database that has them; `moved`: out of another one. Raise NotTaken."""
    for start in range(0, len(rows), ROWS_PER_MESSAGE):
        await _send(placement, kind, database, put_timestamp, rows[start : start + ROWS_PER_MESSAGE], depth, moved)


async def _send(
    placement: Placement,
    kind: DatabaseKind,
    database: Named,
    put_timestamp: Timestamp,
    rows: Sequence[Row],
    depth: int,
    moved: bool,
) -> None:
    key = placement.names.key(*database)
    replicas = placement.replicas(kind, key)
    message = IndexRows(kind, key, *database, put_timestamp, list(rows), moved)
    answers = await ask(placement, replicas, replicas.members, Operation.INDEX_ROWS, message)
    if replicas.writers.reached(replies_of(answers)):
        return
    refusals = refusals_of(answers, Refusal.SPLIT)
    pointers = decided_by({device: parse_refusal(detail) for device, detail in refusals.items()}, replicas.writers)
    if not pointers or not depth:
        codes = frozenset(code for code in Refusal if refusals_of(answers, code))
        raise NotTaken(failures_of(answers), codes)
    del replicas  # who holds old ones counts as using them
    routed = RangeMap(pointers).route(rows)
    await asyncio.gather(
        *(
            send_rows(placement, kind, database.range(span.range_id), created_at(span.range_id), own, depth - 1, moved)
            for span, own in routed.items()
        )
    )
