"""The order of versions: cluster/clock.py."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import (
    TIMESTAMP_SIZE,
    ZERO,
    HybridClock,
    Timestamp,
    is_timestamp,
    just_after,
    microseconds_of,
    pack,
    wall_us,
)

microseconds = st.integers(0, 2**64 - 1)
counters = st.integers(0, 2**32 - 1)
nodes = st.integers(0, 2**32 - 1)
parts = st.tuples(microseconds, counters, nodes)


def clock_with(walls: list[int], node: int = 1) -> HybridClock:
    """Return a clock whose wall clock shows `walls`, one at each look."""
    remaining = iter(walls)
    return HybridClock(node, lambda: next(remaining))


@given(st.lists(st.integers(0, 2**50), min_size=2, max_size=50))
def test_a_clock_is_monotone_whatever_the_wall_clock_shows(walls: list[int]) -> None:
    clock = clock_with(walls)
    timestamps = [clock.now() for _ in walls]
    assert timestamps == sorted(set(timestamps))


@given(
    st.lists(st.tuples(st.integers(0, 2**50), st.none() | parts.filter(lambda p: p[0] < 2**50)), max_size=50)
)
def test_now_is_larger_than_all_that_was_returned_and_observed(
    steps: list[tuple[int, tuple[int, int, int] | None]],
) -> None:
    """Kulkarni et al., section 3: e happened before f implies l.e < l.f."""
    clock = clock_with([wall for wall, observed in steps if observed is None or observed[1] < 2**31])
    newest = ZERO
    for _wall, observed in steps:
        if observed is not None and observed[1] >= 2**31:
            continue  # nobody counts that far within a microsecond; the clock asserts it
        if observed is not None:
            clock.observe(pack(*observed))
            newest = max(newest, pack(*observed))
        now = clock.now()
        assert now > newest
        newest = now


@given(parts, parts)
def test_the_order_of_the_bytes_is_the_order_of_the_parts(
    first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    assert (pack(*first) < pack(*second)) == (first < second)
    assert (pack(*first) == pack(*second)) == (first == second)


@given(st.integers(0, 2**50), nodes, nodes)
def test_two_nodes_never_make_the_same_timestamp(wall: int, first: int, second: int) -> None:
    timestamps = {clock_with([wall], node).now() for node in (first, second)}
    assert len(timestamps) == len({first, second})


def test_a_wall_clock_that_moves_on_is_followed_at_once() -> None:
    clock = clock_with([1000, 900, 5000])
    assert [microseconds_of(clock.now()) for _ in range(3)] == [1000, 1000, 5000]


def test_observing_an_older_timestamp_changes_nothing() -> None:
    clock = clock_with([1000, 1000])
    first = clock.now()
    clock.observe(pack(500, 7, 2))
    assert clock.now() == pack(1000, 1, 1)
    assert first == pack(1000, 0, 1)


def test_the_stored_form_is_big_endian_microseconds_counter_and_node() -> None:
    expected = bytes.fromhex("00 06 11 22 33 44 55 66  00 00 00 07  00 00 00 09")
    assert pack(0x0006112233445566, 7, 9) == expected
    assert microseconds_of(Timestamp(expected)) == 0x0006112233445566


def test_only_bytes_of_the_right_size_are_timestamps() -> None:
    assert is_timestamp(ZERO)
    assert not is_timestamp(ZERO[1:])
    assert not is_timestamp(ZERO + b"\0")
    assert not is_timestamp("0" * TIMESTAMP_SIZE)
    assert not is_timestamp(None)


def test_the_wall_clock_is_in_microseconds_since_1970() -> None:
    year_2020_us, year_2100_us = 1_577_836_800_000_000, 4_102_444_800_000_000
    assert year_2020_us < wall_us() < year_2100_us


@given(parts.filter(lambda p: p < (2**64 - 1, 2**32 - 1, 2**32 - 1)), parts)
def test_nothing_lies_between_a_timestamp_and_the_one_just_after_it(
    first: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    timestamp, between = pack(*first), pack(*other)
    after = just_after(timestamp)
    assert is_timestamp(after)
    assert timestamp < after
    assert between <= timestamp or between >= after
    assert just_after(pack(1, 2, 2**32 - 1)) == pack(1, 3, 0)
