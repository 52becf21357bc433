"""storage.ranges: pointers, what is due, and what a database knows of its split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import ZERO, pack
from storage.quorum import Majority
from storage.ranges import plan, state
from storage.ranges.pointers import (
    RANGES,
    Owner,
    Pointer,
    RangeMap,
    Span,
    checked,
    created_at,
    new_range_id,
    owner_of,
    range_database,
)
from storage.ranges.state import ACCEPTED, COUNT, MOVED, Refused, decided_by, refusal_of, settle

IDS = [new_range_id(pack(number, 0, 1)) for number in range(1, 9)]
names = st.text(alphabet="abc", min_size=1, max_size=3)
maps = st.sets(names, max_size=5).map(
    lambda lows: RangeMap([Pointer(low, IDS[number]) for number, low in enumerate(["", *sorted(lows)])])
)


def at(number: int):  # type: ignore[no-untyped-def]
    return pack(number, 0, 1)


def test_a_range_database_says_whose_it_is_and_when_it_was_made() -> None:
    account, container = range_database("AUTH_a", "c with, signs", IDS[0])
    assert account == RANGES
    assert owner_of(account, container) == Owner("AUTH_a", "c with, signs", IDS[0])
    assert created_at(IDS[0]) == at(1)
    assert owner_of("AUTH_a", "c") == Owner("AUTH_a", "c")


@given(maps, names)
def test_every_name_is_in_one_span(spans: RangeMap, name: str) -> None:
    assert [span for span in spans.spans if name in span] == [spans.span_of(name)]


@given(maps, maps, st.integers(0, 5), names)
def test_following_a_range_changes_it_alone(spans: RangeMap, other: RangeMap, index: int, name: str) -> None:
    moved = spans.spans[index % len(spans.spans)]
    renamed = [Pointer(pointer.low, IDS[7 - number]) for number, pointer in enumerate(other.pointers)]
    after = spans.following(moved.range_id, renamed)
    if name in moved:
        assert after.span_of(name).range_id == RangeMap(renamed).span_of(name).range_id
    else:
        assert after.span_of(name).range_id == spans.span_of(name).range_id


def test_neighbours_that_lead_to_one_database_are_one_span() -> None:
    spans = RangeMap([Pointer("", "1"), Pointer("d", "2"), Pointer("m", "3")])
    merged = spans.following("1", [Pointer("", "9")]).following("2", [Pointer("d", "9")])
    assert merged.pointers == [Pointer("", "9"), Pointer("m", "3")]


@pytest.mark.parametrize("values", [[], [("b", IDS[0]), ("a", IDS[1])], [("", "x")], [("", 1)], [1], [("", IDS[0], 3)]])
def test_what_is_no_map_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked(values)


# what is due


def spans_of(*lows: str) -> list[Span]:
    return list(RangeMap([Pointer(low, low or "first") for low in ("", *lows)]).spans)


def test_the_range_that_is_too_large_is_split_first() -> None:
    spans = spans_of("m")
    assert plan.due(spans, {"first": 5, "m": 101}, 100) == plan.Split(spans[1], 101)
    assert plan.due(spans, {"first": 5, "m": 100}, 100) is None
    assert plan.due(spans, {"first": 5, "m": 101}, 0) is None


def test_neighbours_are_merged_when_little_is_left_of_them() -> None:
    spans = spans_of("b", "c", "d")
    limit = 100 // plan.MERGE_SHARE
    assert plan.due(spans, {"first": 50, "b": 1, "c": limit - 2, "d": 1}, 100) == plan.Merge(tuple(spans[1:3]))
    assert plan.due(spans, {"first": 50, "b": 1, "c": limit, "d": 1}, 100) is None
    assert plan.due(spans, {"first": 0, "b": 0, "c": 0, "d": 0}, 100) == plan.Merge(tuple(spans))
    assert plan.due(spans_of(), {"first": 0}, 100) is None


def test_a_range_of_which_nothing_is_known_is_left_alone() -> None:
    spans = spans_of("b", "c")
    assert plan.due(spans, {"first": 1, "c": 1}, 100) is None


@given(st.sets(names, min_size=3), st.integers(10, 1000), st.integers(1, 100))
def test_parts_are_about_as_large_as_they_shall_be(sample: set[str], rows: int, split_rows: int) -> None:
    cuts = plan.boundaries(sorted(sample), rows, split_rows)
    assert cuts == sorted(set(cuts))
    assert set(cuts) <= sample
    assert 1 <= len(cuts) < plan.PARTS_LIMIT


def test_what_is_split_is_not_merged_at_once() -> None:
    sample = [f"{number:04}" for number in range(1000)]
    cuts = plan.boundaries(sample, 1001, 1000)
    assert len(cuts) == plan.PART_SHARE - 1
    assert 1000 // plan.PART_SHARE * 2 > 1000 // plan.MERGE_SHARE


# what a database knows of its split


def test_what_was_accepted_for_another_state_or_life_is_dropped() -> None:
    pointers = [Pointer("", IDS[0])]
    accepted = ((ZERO, at(1), pointers), at(5))
    kept = {ACCEPTED: accepted}
    settle(kept, ZERO)
    assert refusal_of(kept) == Refused(at(5), False, pointers)
    decided = {ACCEPTED: accepted, MOVED: (pointers, at(6))}
    settle(decided, ZERO)
    assert ACCEPTED not in decided
    assert refusal_of(decided) == Refused(at(6), True, pointers)
    deleted = {ACCEPTED: accepted}
    settle(deleted, at(1))
    assert deleted == {}


def test_counters_of_what_is_not_pointed_to_are_dropped() -> None:
    metadata = {MOVED: ([Pointer("", IDS[0])], at(6)), COUNT + IDS[0]: ((1, 2), at(6)), COUNT + IDS[1]: ((3, 4), at(6))}
    settle(metadata, ZERO)
    assert state.counts_of(metadata) == {IDS[0]: (at(6), 1, 2)}


def test_pointers_are_decided_when_one_knows_or_a_quorum_has_accepted_the_same() -> None:
    quorum = Majority.of([1, 2, 3])
    one, other = [Pointer("", IDS[0])], [Pointer("", IDS[1])]
    assert decided_by({1: Refused(at(5), False, one)}, quorum) is None
    assert decided_by({1: Refused(at(5), False, one), 2: Refused(at(6), False, other)}, quorum) is None
    assert decided_by({1: Refused(at(5), False, one), 2: Refused(at(5), False, one)}, quorum) == one
    assert decided_by({1: Refused(at(9), False, one), 2: Refused(at(6), True, other)}, quorum) == other
    assert decided_by({}, quorum) is None
