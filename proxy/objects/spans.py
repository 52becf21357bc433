"""Containers that are split (storage.ranges), as a proxy sees them: which ranges it knows, and a listing over several.

`Maps` is a cache: what it has may be old. A database whose rows have moved refuses, and says where to; one that is
gone shows that the container, or the map, is not what it was.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from proxy.objects.model import ListingQuery
from storage.messages import Listing
from storage.ranges.pointers import BEYOND, Pointer, RangeMap, Span

MAPS_LIMIT = 10_000
AHEAD = 8  # spans that are asked at a time; more: more work for nothing when they are unlike each other


class Moved(Exception):
    """The rows of a database are elsewhere."""

    def __init__(self, pointers: Sequence[Pointer]) -> None:
        super().__init__("moved")
        self.pointers = pointers


class MapChanged(Exception):
    """What was believed of a container's ranges does not hold any more: begin again."""


class Maps:
    """What is known of split containers, by the key of the root."""

    def __init__(self) -> None:
        self._known: dict[bytes, RangeMap] = {}

    def get(self, key: bytes) -> RangeMap | None:
        """Return what is known; None: that its rows are in its root, as far as we know."""
        return self._known.get(key)

    def learn(self, key: bytes, pointers: Sequence[Pointer] | None) -> None:
        """Believe what the root says."""
        if pointers is None:
            self._known.pop(key, None)
            return
        if len(self._known) >= MAPS_LIMIT:
            self._known.clear()
        self._known[key] = RangeMap(pointers)

    def follow(self, key: bytes, range_id: str, pointers: Sequence[Pointer]) -> None:
        """Believe what a range database says that was moved in turn."""
        known = self._known.get(key)
        if known is not None:
            self._known[key] = known.following(range_id, pointers)

    def forget(self, key: bytes) -> None:
        """Believe nothing."""
        self._known.pop(key, None)


Page = Callable[[Span, ListingQuery], Coroutine[Any, Any, Listing]]


class SpanListing:
    """One page of a listing, from as many spans as it takes.

    A common prefix that lies in several spans is shown once: the next one is asked for what comes after it, and those
    that lie within it are not asked at all. So it costs what it returns, and a round for each span that it touches.

    Where spans add less than is still missing, as when much is rolled up, those behind them are asked several at a
    time: one, then two, then four, and no more than would fill the page if they are like the last one.
    """

    def __init__(self, spans: Callable[[], RangeMap | None], page: Page, query: ListingQuery) -> None:
        """`spans` gives the map as it is known now; `page` asks a span, and raises Moved when they are elsewhere."""
        self._spans = spans
        self._page = page
        self._query = query
        self._items: list[Any] = []
        self._common = ""  # the last item, when it is a common prefix
        self._ahead: dict[Span, asyncio.Task[Listing]] = {}  # asked before it was their turn
        self._ahead_count = 1  # how many the last time

    async def read(self) -> tuple[list[Any], bool]:
        """Return the items, and whether there are more. Raise MapChanged, what `page` raises."""
        try:
            return await (self._backward() if self._query.reverse else self._forward())
        finally:
            self._drop_ahead()

    def _map(self) -> RangeMap:
        spans = self._spans()
        if spans is None:
            raise MapChanged
        return spans

    async def _forward(self) -> tuple[list[Any], bool]:
        at: str | None = max(self._query.prefix, self._query.marker)
        while at is not None:
            span = self._map().span_of(at)
            had = len(self._items)
            try:
                truncated = await self._take(replace(span, low=at))
            except Moved:
                self._drop_ahead()
                continue  # the map has been brought up to date
            if truncated:
                return self._items, True
            at = self._after(span.high)
            if at is not None and not self._ahead:
                self._look_ahead(at, len(self._items) - had)
        return self._items, False

    def _look_ahead(self, at: str, found: int) -> None:
        """Ask spans from `at` on, the one before which has added `found` items."""
        room = self._query.limit - len(self._items)
        count = min(AHEAD, self._ahead_count, -(-room // max(1, found)))
        self._ahead_count *= 2
        if count < 2:
            return
        asked = replace(self._query, limit=room + 1)  # one more: the first may be shown already
        following: str | None = at
        while following and len(self._ahead) < count:
            span = replace(self._map().span_of(following), low=following)
            self._ahead[span] = asyncio.ensure_future(self._page(span, asked))
            following = self._after(span.high)

    def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, {}
        for task in ahead.values():
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            task.cancel()

    def _after(self, at: str) -> str | None:
        """Return from where on to go on, behind a span that ends at `at`; None: there is nothing more."""
        query = self._query
        while at:
            if (at > query.prefix and not at.startswith(query.prefix)) or (query.end_marker and at >= query.end_marker):
                return None
            if not (self._common and at.startswith(self._common)):
                return at
            span = self._map().span_of(at)
            if not span.lies_within(self._common):
                return at
            at = span.high
        return None

    async def _backward(self) -> tuple[list[Any], bool]:
        index: int | None = self._last()
        below = ""  # what comes next is below that
        while index is not None:
            span = self._map().spans[index]
            try:
                truncated = await self._take(span.up_to(below))
            except Moved:
                index = self._before(below) if below else self._last()
                continue
            if truncated:
                return self._items, True
            below = span.low
            index = self._before(below)
        return self._items, False

    def _last(self) -> int:
        """Return the last span that a reversed listing can touch."""
        query = self._query
        lows = [span.low for span in self._map().spans]
        index = bisect_right(lows, query.prefix + BEYOND)
        while index < len(lows) and lows[index].startswith(query.prefix):
            index += 1
        if query.marker:
            index = min(index, bisect_left(lows, query.marker))
        return max(0, index - 1)

    def _before(self, below: str) -> int | None:
        """Return the span that comes before `below`; None: there is nothing more."""
        query = self._query
        spans = self._map().spans
        index = bisect_left([span.low for span in spans], below) - 1
        while index >= 0:
            if below <= query.prefix or (query.end_marker and below <= query.end_marker):
                return None
            inside = self._common and below > self._common and below.startswith(self._common)
            if not (inside and spans[index].low.startswith(self._common)):
                return index
            below = spans[index].low
            index -= 1
        return None

    async def _take(self, span: Span) -> bool:
        """Add what a span has; tell whether there is more than fits.

        When nothing fits any more: whether there is anything.
        """
        room = self._query.limit - len(self._items)
        asked = replace(self._query, limit=max(1, room), marker=self._common or self._query.marker)
        ahead = self._ahead.pop(span, None)
        listing = await (self._page(span, asked) if ahead is None else ahead)
        items = listing.items
        if ahead is not None and self._common and items and items[0] == self._common:
            items = items[1:]
        if room <= 0:
            return bool(items)
        if items:
            self._items += items[:room]
            last = self._items[-1]
            self._common = last if isinstance(last, str) else ""
        return listing.truncated or len(items) > room
