"""proxy.objects.spans: a listing over several ranges is the listing of all their names."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO
from proxy.objects.model import ListingQuery
from proxy.objects.spans import MapChanged, Maps, Moved, SpanListing
from storage.messages import Info, Listing
from storage.ranges.pointers import Pointer, RangeMap, Span

KEY = bytes(16)
INFO = Info("a", "c", ZERO, ZERO, 0, {}, 0, 0, 0, b"")
names = st.text(alphabet="ab/", min_size=1, max_size=5)
queries = st.builds(
    ListingQuery,
    limit=st.integers(1, 6),
    prefix=st.text(alphabet="ab/", max_size=2),
    marker=st.text(alphabet="ab/", max_size=4),
    end_marker=st.one_of(st.just(""), names),
    delimiter=st.sampled_from(["", "/", "b"]),
    reverse=st.booleans(),
)


def plain(listed: set[str], query: ListingQuery, span: Span) -> Listing:
    """Return what one database answers: slowly, and word by word as docs say."""
    after, before = (query.end_marker, query.marker) if query.reverse else (query.marker, query.end_marker)
    hidden = query.end_marker if query.reverse else query.marker
    found: list[Any] = []
    for name in sorted(listed, reverse=query.reverse):
        if not name.startswith(query.prefix) or name <= after or (before and name >= before) or name not in span:
            continue
        cut = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        item: Any = [name] if cut < 0 else name[: cut + 1]
        if item not in found and item != hidden:
            found.append(item)
    return Listing(INFO, found[: query.limit], len(found) > query.limit)


class Ranges:
    """Range databases, some of which have been moved; they hold rows outside of their ranges too."""

    def __init__(self, listed: set[str], cuts: list[str]) -> None:
        self.listed = listed
        self.asked: list[Span] = []
        self.maps = Maps()
        self.moved: dict[str, list[Pointer]] = {}
        self.maps.learn(KEY, [Pointer(low, f"{number}") for number, low in enumerate(["", *cuts])])

    async def page(self, span: Span, query: ListingQuery) -> Listing:
        """Answer as a database does."""
        self.asked.append(span)
        if span.range_id in self.moved:
            pointers = self.moved.pop(span.range_id)
            self.maps.follow(KEY, span.range_id, pointers)
            raise Moved(pointers)
        return plain(self.listed, query, span)

    def read(self, query: ListingQuery) -> tuple[list[Any], bool]:
        """Return a listing."""
        return asyncio.run(SpanListing(lambda: self.maps.get(KEY), self.page, query).read())


def cuts_of(values: set[str]) -> list[str]:
    return sorted(values)


@given(st.sets(names, max_size=30), st.sets(names, max_size=6).map(cuts_of), queries)
def test_a_listing_over_ranges_is_that_of_all_names(listed: set[str], cuts: list[str], query: ListingQuery) -> None:
    whole = plain(listed, query, Span("", "", ""))
    assert Ranges(listed, cuts).read(query) == (whole.items, whole.truncated)


@given(
    st.sets(names, max_size=30),
    st.sets(names, max_size=5).map(cuts_of),
    st.dictionaries(st.integers(0, 5), st.sets(names, max_size=2).map(cuts_of), max_size=4),
    st.booleans(),
    queries,
)
def test_ranges_that_move_while_they_are_listed_make_no_difference(
    listed: set[str], cuts: list[str], moves: dict[int, list[str]], merged: bool, query: ListingQuery
) -> None:
    ranges = Ranges(listed, cuts)
    lows = ["", *cuts]
    for number, own in moves.items():
        if number < len(lows):
            inner = [name for name in own if name > lows[number]]
            target = "merged" if merged else f"{number}-"
            ranges.moved[f"{number}"] = [
                Pointer(low, f"{target}{low if not merged else ''}") for low in (lows[number], *inner)
            ]
    whole = plain(listed, query, Span("", "", ""))
    assert ranges.read(query) == (whole.items, whole.truncated)


def test_ranges_within_a_common_prefix_are_not_asked() -> None:
    listed = {f"a/{letter}" for letter in "abcdefgh"} | {"b/1", "c"}
    for reverse in (False, True):
        ranges = Ranges(listed, ["a/b", "a/d", "a/f", "b"])
        items, truncated = ranges.read(ListingQuery(delimiter="/", reverse=reverse))
        assert (items, truncated) == ([["c"], "b/", "a/"] if reverse else ["a/", "b/", ["c"]], False)
        assert [span.low for span in ranges.asked] == (["b", "a/f", ""] if reverse else ["", "a/f", "b"])


def test_ranges_beyond_the_prefix_are_not_asked() -> None:
    ranges = Ranges({"a1", "b1", "c1"}, ["b", "c"])
    assert ranges.read(ListingQuery(prefix="b"))[0] == [["b1"]]
    assert ranges.read(ListingQuery(prefix="b", reverse=True))[0] == [["b1"]]
    assert {span.range_id for span in ranges.asked} == {"1"}


def test_a_page_that_is_full_at_the_end_of_a_range_says_whether_there_is_more() -> None:
    assert Ranges({"a", "b", "c"}, ["c"]).read(ListingQuery(limit=2)) == ([["a"], ["b"]], True)
    assert Ranges({"a", "b"}, ["c", "d"]).read(ListingQuery(limit=2)) == ([["a"], ["b"]], False)


def test_a_map_that_is_gone_makes_the_listing_begin_again() -> None:
    ranges = Ranges({"a"}, ["b"])
    ranges.maps.forget(KEY)
    with pytest.raises(MapChanged):
        ranges.read(ListingQuery())


def test_what_is_learnt_of_a_range_replaces_it_alone() -> None:
    maps = Maps()
    maps.learn(KEY, [Pointer("", "1"), Pointer("m", "2")])
    maps.follow(KEY, "2", [Pointer("m", "3"), Pointer("p", "4")])
    assert maps.get(KEY) == RangeMap([Pointer("", "1"), Pointer("m", "3"), Pointer("p", "4")])


def test_spans_that_fill_little_of_a_page_are_asked_together_and_only_as_many_as_it_takes() -> None:
    folders = [f"{letter}/" for letter in "abcdefghijklmnopqrst"]
    ranges = Ranges({f"{folder}{number}" for folder in folders for number in range(5)}, folders)
    turns: list[int] = []
    asked = 0

    async def page(span: Span, query: ListingQuery) -> Listing:
        nonlocal asked
        asked += 1
        turn = len(turns)
        await asyncio.sleep(0)
        if turn == len(turns):
            turns.append(turn)
        return await ranges.page(span, query)

    query = ListingQuery(limit=20, delimiter="/")
    items, truncated = asyncio.run(SpanListing(lambda: ranges.maps.get(KEY), page, query).read())
    assert (items, truncated) == (folders, False)
    assert asked == 1 + len(folders)  # the first has nothing below "a/"
    assert len(turns) <= 6
    asked = 0
    items, truncated = asyncio.run(SpanListing(lambda: ranges.maps.get(KEY), page, ListingQuery(limit=3)).read())
    assert (len(items), truncated) == (3, True)
    assert asked <= 4  # rows that fill a page are asked of one at a time
