"""Rows of a container a page at a time, wherever they are, as one replica has them: for housekeeping.

It is no client's listing: the replica may be behind, or have rows that were deleted since. Whoever acts on a row asks
a quorum about what it stands for.
"""

from typing import NamedTuple

from cluster.wire import PeerUnavailable, RemoteError
from storage.asking import TIMEOUT_S
from storage.client import Placement
from storage.messages import DatabaseKind, IndexList, Listing, Operation, Refusal, Row, parse
from storage.ranges.decision import Named
from storage.ranges.pointers import RangeMap, Span
from storage.ranges.sending import DEPTH
from storage.ranges.state import parse_refusal

_WHOLE = Span("", "", "")


class Unlistable(Exception):
    """No replica can be asked, or where the rows are is being decided. Ask again later."""


class Page(NamedTuple):
    """Rows in order."""

    rows: list[Row]
    following: str  # go on from this name; "": there are no more


async def page_from(placement: Placement, database: Named, name: str, limit: int) -> Page:
    """Return rows from `name` on, at most `limit`; there may be more behind a page that has fewer. Raise Unlistable."""
    return await _page(placement, database, _WHOLE, name, limit, DEPTH)


async def _page(
    placement: Placement, database: Named, span: Span, name: str, limit: int, depth: int
) -> Page:
    answer = await _ask(placement, database, span, name, limit)
    if isinstance(answer, RangeMap):
        if not depth:
            raise Unlistable("pointers lead to pointers")
        inner = answer.span_of(name)
        high = min((high for high in (inner.high, span.high) if high), default="")
        narrowed = Span(max(inner.low, span.low), high, inner.range_id)
        return await _page(placement, database.range(inner.range_id), narrowed, name, limit, depth - 1)
    rows = [] if answer is None else [Row(*item) for item in answer.items]
    if answer is not None and answer.truncated:
        return Page(rows, rows[-1].name + "\0")
    return Page(rows, span.high)


async def _ask(placement: Placement, database: Named, span: Span, name: str, limit: int) -> Listing | RangeMap | None:
    """Ask one replica after the other."""
    key = placement.names.key(*database)
    replicas = placement.replicas(DatabaseKind.CONTAINER, key)
    message = IndexList(DatabaseKind.CONTAINER, key, *database, limit, low=max(name, span.low), high=span.high)
    reason = "all replicas are down"
    for _device_id, peer in replicas.readers:
        try:
            reply = await peer.call(Operation.INDEX_LIST, message, b"", TIMEOUT_S, replicas.version)
        except (PeerUnavailable, RemoteError) as error:
            if isinstance(error, RemoteError) and error.code == Refusal.STALE_RINGS:
                placement.refresh(error.detail)
            if isinstance(error, RemoteError) and error.code == Refusal.SPLIT:
                refused = parse_refusal(error.detail)
                if refused.decided and refused.pointers:
                    return RangeMap(refused.pointers)
            reason = str(error)
        else:
            return None if reply.metadata is None else parse(Listing, reply.metadata)
    raise Unlistable(f"{database.account}/{database.container}: {reason}")
