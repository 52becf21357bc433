"""The order of versions: cluster/clock.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.clock import (
    MAX_AHEAD_US,
    TIMESTAMP_SIZE,
    ZERO,
    HybridClock,
    Timestamp,
    deviation_s,
    is_recent,
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
    """Kulkarni et al., section 3: e happened before f implies l.e < l.f. What is far ahead is another matter."""
    walls = [0]
    clock = HybridClock(1, lambda: walls[0])
    newest = ZERO
    for wall, observed in steps:
        walls[0] = wall
        if observed is not None and observed[0] > wall + MAX_AHEAD_US:
            continue
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


@pytest.mark.parametrize(
    ("offsets_s", "deviation"),
    [
        ([], None),
        ([300.0, None], None),  # ours may be right as well as theirs
        ([0.0, 0.0], 0.0),
        ([300.0, 301.0, 0.1], -300.0),  # we are behind most others
        ([-300.0, 0.0, 0.1], 0.0),  # one other is behind
        ([10.0, 20.0, None], -15.0),
    ],
)
def test_a_clock_is_off_by_its_distance_from_the_median_of_others(
    offsets_s: list[float | None], deviation: float | None
) -> None:
    found = deviation_s(offsets_s)
    assert found == deviation if deviation is None else found == pytest.approx(deviation)


def test_a_timestamp_far_ahead_is_not_recent_any_more_than_one_far_behind() -> None:
    now_us = 1_700_000_000_000_000
    for age_s, expected in ((0, True), (9, True), (-9, True), (11, False), (-11, False), (-300, False)):
        assert is_recent(pack(now_us - age_s * 1_000_000, 0, 0), now_us, within_s=10.0) is expected


DAY_US = 24 * 3600 * 1_000_000


def test_what_is_far_ahead_moves_no_clock_and_what_is_less_far_does() -> None:
    now_us = 1_700_000_000_000_000
    clock = HybridClock(1, lambda: now_us)
    clock.observe(pack(now_us + 3 * DAY_US, 0, 2))
    assert microseconds_of(clock.now()) == now_us
    clock.observe(pack(now_us + DAY_US - 1, 0, 2))
    assert microseconds_of(clock.now()) == now_us + DAY_US - 1


def test_after_what_is_far_ahead_comes_something_larger_that_nobody_else_gives() -> None:
    """Two processes may go beyond the same version of a name, and one process twice."""
    now_us = 1_700_000_000_000_000
    far = pack(now_us + 9 * DAY_US, 7, 99)
    clocks = [HybridClock(node, lambda: now_us) for node in (1, 2)]
    given = [clock.after(far) for clock in clocks for _ in range(3)]
    assert len(set(given)) == len(given)
    assert min(given) > far
    assert all(microseconds_of(clock.now()) == now_us for clock in clocks)
    assert clocks[0].after(max(given)) > max(given)


def test_after_what_is_not_far_ahead_comes_now() -> None:
    clock = HybridClock(1, lambda: 1000)
    assert clock.after(ZERO) == pack(1000, 0, 1)
    assert clock.after(pack(5000, 3, 9)) == pack(5000, 4, 1)


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
