"""blockgw.throttle: as much as is allowed, what was saved up at once, in order."""

import asyncio
import functools
import random

from hypothesis import given
from hypothesis import strategies as st

from blockgw.catalog.volume import Limits
from blockgw.errors import NotPermitted
from blockgw.throttle import Rate, Throttle, throttle_of


@given(
    st.integers(1, 10_000),
    st.floats(0.1, 60.0),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 100_000)), min_size=1, max_size=30),
)
def test_no_more_than_the_rate_and_the_burst_ever_begins(
    by_second: int, burst_s: float, asked: list[tuple[float, int]]
) -> None:
    """In any interval, from the beginning of one request to that of another."""
    rate = Rate(by_second, burst_s, 0.0)
    now_s, begins, amounts = 0.0, [], []
    for wait_s, amount in asked:
        now_s += wait_s
        begins.append(max(now_s, rate.take(amount, now_s)))
        amounts.append(amount)
    assert begins == sorted(begins)
    for first in range(len(begins)):
        for last in range(first + 1, len(begins)):
            used = sum(amounts[first:last])  # the last one is paid by who comes after it
            assert used <= by_second * (begins[last] - begins[first] + burst_s) * (1 + 1e-6)


def test_without_limits_there_is_nothing_in_the_way() -> None:
    async def play() -> None:
        assert throttle_of(Limits(burst_s=5.0)) is None

    asyncio.run(play())


def test_changes_begin_in_the_order_in_which_they_came_and_reads_do_not_wait_for_them() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        throttle = Throttle(Limits(write_iops=1000, write_bandwidth=1_000_000, burst_s=0.01), loop)
        begun: list[int] = []
        began_s = loop.time()

        async def write(number: int) -> int:
            begun.append(number)
            return number

        sizes = [random.Random(number).randrange(5000) for number in range(60)]
        changes = [throttle.write(size, functools.partial(write, number)) for number, size in enumerate(sizes)]
        assert throttle.read(4096, lambda: b"now") == b"now"
        assert await asyncio.gather(*changes) == list(range(60))
        assert begun == list(range(60))
        assert loop.time() - began_s >= sum(sizes[:-1]) / 1_000_000 - 0.02

    asyncio.run(play())


def test_what_is_for_both_is_shared_by_reads_and_changes() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        throttle = Throttle(Limits(iops=100, burst_s=0.02), loop)
        began_s = loop.time()

        async def write() -> None: ...

        async def read() -> bytes:
            return b""

        await asyncio.gather(*(throttle.write(0, write) for _ in range(10)), throttle.read(1, read))
        assert loop.time() - began_s >= 0.07

    asyncio.run(play())


def test_a_refusal_comes_when_it_is_begun() -> None:
    async def play() -> None:
        throttle = Throttle(Limits(iops=50, burst_s=0.01), asyncio.get_running_loop())

        async def write() -> None:
            raise NotPermitted("no")

        def refuse() -> "asyncio.Future[object]":
            raise NotPermitted("no")

        asked = [throttle.write(1, each) for each in (write, write, refuse)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers] == [NotPermitted] * 3

    asyncio.run(play())
