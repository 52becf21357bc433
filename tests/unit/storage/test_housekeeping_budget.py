"""storage.housekeeping.budget: copying leaves room for clients, and does not stand still."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.housekeeping.backlog import Backlog
from storage.housekeeping.budget import CEILING, Both, Budget, Gauge, MiB, Steering, steer

QUIET = Steering(floor=1 * MiB, ceiling=100 * MiB, rate=10 * MiB, quiet_s=0.010)


def test_the_rate_falls_at_once_when_clients_wait_and_rises_slowly_when_they_do_not() -> None:
    slow = steer(QUIET, QUIET.tolerated_s * 1.01, copying=True, clients=True)
    assert slow.rate < 0.7 * QUIET.rate
    fine = steer(QUIET, QUIET.tolerated_s * 0.99, copying=True, clients=True)
    assert QUIET.rate < fine.rate <= 1.2 * QUIET.rate


def test_without_clients_the_rate_doubles() -> None:
    assert steer(QUIET, 1.0, copying=True, clients=False).rate == 2 * QUIET.rate


def test_the_quiet_value_is_learnt_only_while_nothing_is_copied() -> None:
    now = QUIET
    for _ in range(100):
        now = steer(now, 0.5, copying=True, clients=True)
    assert now.quiet_s == QUIET.quiet_s
    for _ in range(100):
        now = steer(now, 0.002, copying=False, clients=True)
    assert now.quiet_s == pytest.approx(0.002, rel=0.05)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans(), st.booleans()), max_size=60))
def test_the_rate_stays_between_floor_and_ceiling(turns: list[tuple[float, bool, bool]]) -> None:
    now = QUIET
    for latency_s, copying, clients in turns:
        now = steer(now, latency_s, copying, clients)
        assert now.floor <= now.rate <= now.ceiling


def test_a_budget_lets_as_much_through_as_it_says_and_saves_up_little() -> None:
    now = 100.0

    async def sleep(delay_s: float) -> None:
        nonlocal now
        now += delay_s

    async def take(budget: Budget, count: int) -> float:
        started = now
        for _ in range(count):
            await budget.took(1 * MiB)
        return now - started

    budget = Budget(1 * MiB, 4 * MiB, lambda: now, sleep)
    assert asyncio.run(take(budget, 40)) == pytest.approx(10.0, abs=0.3)
    now += 1000.0
    assert asyncio.run(take(budget, 40)) == pytest.approx(10.0, abs=0.3)


def test_what_many_others_are_given_does_not_hold_us_up_for_hours() -> None:
    """Each of them goes by a budget of its own; together they may be far beyond ours for as long as they copy."""
    now = 100.0
    waits: list[float] = []

    async def sleep(delay_s: float) -> None:
        waits.append(delay_s)

    budget = Budget(1 * MiB, 1 * MiB, lambda: now, sleep)
    budget.spend(3 * MiB)
    asyncio.run(budget.took(0))
    for _ in range(1000):
        budget.spend(3 * MiB)
    asyncio.run(budget.took(1 * MiB))
    assert waits == pytest.approx([3.0, 6.0], abs=0.1)
    assert budget.took_bytes == 3004 * MiB
    asyncio.run(budget.took(100 * MiB))  # what we took ourselves is paid for in full
    budget.spend(1 * MiB)
    asyncio.run(budget.took(1 * MiB))
    assert waits[2:] == pytest.approx([106.0, 107.0], abs=0.1)


def test_a_budget_without_a_ceiling_goes_as_fast_as_clients_let_it() -> None:
    budget = Budget(4 * MiB, 0)
    for _ in range(40):
        budget._taken = 1
        budget.judge(0.0, clients=False)
    assert budget.rate == CEILING
    for _ in range(80):
        budget._taken = 1
        budget.judge(1.0, clients=True)
    assert budget.rate == 4 * MiB


def test_two_budgets_are_both_kept() -> None:
    taken: list[tuple[str, int]] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        async def took(self, size: int) -> None:
            taken.append((self.name, size))

    asyncio.run(Both(Named("a"), Named("b")).took(7))
    assert taken == [("a", 7), ("b", 7)]


def test_a_gauge_sees_a_loop_that_is_late_and_a_log_that_is_slow() -> None:
    async def measure(stall_s: float, commit_s: float) -> float:
        seen: list[float] = []

        class Judge(Budget):
            def judge(self, latency_s: float, clients: bool) -> None:
                seen.append(latency_s)
                assert clients

        async def settled() -> None:
            await asyncio.sleep(commit_s)

        requests = iter(range(100))
        budget = Judge(1)
        budget._taken = 1
        gauge = Gauge(budget, settled, lambda: int(commit_s > 0), lambda: next(requests))

        async def stall() -> None:
            while True:
                await asyncio.sleep(0)
                if stall_s:
                    time.sleep(stall_s)  # noqa: ASYNC251  that is what is to be seen
                else:
                    await asyncio.sleep(0.01)

        stalling = asyncio.ensure_future(stall())
        await gauge.step()
        stalling.cancel()
        return seen[0]

    quiet = asyncio.run(measure(0.0, 0.0))
    assert asyncio.run(measure(0.06, 0.0)) > quiet + 0.005
    assert asyncio.run(measure(0.0, 0.05)) > quiet + 0.04


def test_what_fails_comes_last_and_when_all_fails_it_is_said_why() -> None:
    backlog = Backlog.of([("object", 1), ("object", 2), ("account", 3)])
    assert backlog.take(lambda _name: 10) == ("object", [1, 2])
    backlog.settle({2: "device 7 down"})
    assert (backlog.done_count, backlog.waiting()) == (1, "")
    assert backlog.take(lambda _name: 10) == ("account", [3])
    backlog.settle({3: "device 7 down"})
    assert backlog.stuck
    assert backlog.waiting() == "2 partitions wait: device 7 down"
    assert backlog.take(lambda _name: 1) == ("object", [2])
    backlog.put_back()
    assert backlog.take(lambda _name: 1) == ("object", [2])
    backlog.settle({})
    assert backlog.waiting() == ""


def test_the_most_urgent_come_first() -> None:
    backlog = Backlog.of([("object", 1), ("account", 2), ("object", 3)])
    backlog.reorder(lambda item: {1: 2, 2: 1, 3: 1}[item[1]])
    assert list(backlog.todo) == [("account", 2), ("object", 3), ("object", 1)]
