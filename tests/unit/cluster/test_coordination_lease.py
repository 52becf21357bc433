"""Who holds a lease: cluster/coordination/lease.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.coordination.errors import LeaseHeld, LeaseLost
from cluster.coordination.lease import Lease, acquired, released, renewed

NOW_S = 1_700_000_000.3


@given(st.floats(0, 4e9), st.floats(0.01, 1e6))
def test_a_fresh_lease_is_held_whatever_the_rounding(now_s: float, ttl_s: float) -> None:
    lease = acquired(None, "v", "one", ttl_s, now_s)
    assert lease.remaining_s(now_s) == pytest.approx(ttl_s, abs=1e-3)


def test_a_lease_ends_when_its_time_is_over() -> None:
    lease = acquired(None, "v", "one", 10, NOW_S)
    assert lease.remaining_s(NOW_S + 9.9) > 0
    assert lease.remaining_s(NOW_S + 10) == 0


def test_a_clock_that_was_set_back_blocks_a_lease_for_no_longer_than_its_time() -> None:
    lease = acquired(None, "v", "one", 10, NOW_S)
    an_hour_ago_s = NOW_S - 3600
    assert acquired(lease, "v", "two", 10, an_hour_ago_s).epoch == 2


def test_a_small_step_of_the_clock_ends_no_lease() -> None:
    lease = acquired(None, "v", "one", 10, NOW_S)
    assert renewed(lease, lease, 10, NOW_S - 0.5).epoch == 1
    with pytest.raises(LeaseHeld):
        acquired(lease, "v", "two", 10, NOW_S - 0.5)


def test_a_released_lease_keeps_its_epoch_only() -> None:
    lease = acquired(None, "v", "one", 10, NOW_S)
    remainder = released(lease, lease)
    assert remainder is not None
    assert (remainder.epoch, remainder.remaining_s(NOW_S)) == (1, 0)
    with pytest.raises(LeaseLost):
        renewed(remainder, lease, 10, NOW_S)


def test_a_lease_that_went_to_another_is_not_released() -> None:
    mine = acquired(None, "v", "one", 10, NOW_S)
    theirs = acquired(mine, "v", "two", 10, NOW_S + 11)
    assert released(theirs, mine) is None
    assert released(None, mine) is None


@pytest.mark.parametrize(("holder", "ttl_s"), [("", 10), ("one", 0), ("one", -1)])
def test_a_lease_needs_a_holder_and_time(holder: str, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="a lease needs"):
        acquired(None, "v", holder, ttl_s, NOW_S)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 8), st.booleans()), max_size=40))
def test_at_most_one_holder_at_a_time_and_epochs_only_grow(steps: list[tuple[str, float, bool]]) -> None:
    now_s, current, holdings = NOW_S, None, dict[str, Lease]()
    for holder, pause_s, gives_up in steps:
        now_s += pause_s
        if current is not None and current.holder != holder and current.remaining_s(now_s):
            with pytest.raises(LeaseHeld):
                acquired(current, "v", holder, 10, now_s)
            continue
        lease = acquired(current, "v", holder, 10, now_s)
        assert all(lease.epoch > other.epoch for other in holdings.values())
        holdings[holder] = current = lease
        for other in set(holdings) - {holder}:
            with pytest.raises(LeaseLost):
                renewed(current, holdings[other], 10, now_s)
        if gives_up:
            current = released(current, lease)
