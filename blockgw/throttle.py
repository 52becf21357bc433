"""Keeps a volume's clients within limits: so many requests and bytes by second, with what was not used saved up.

By the generic cell rate algorithm (ITU-T I.371): a rate has a time up to which it is used up, each request moves that
time on by what it costs, and begins when the time has come. The time may lag behind now by the length of a burst.
Requests of a kind begin in the order in which they came.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from blockgw.catalog.volume import Limits


def throttle_of(limits: Limits) -> "Throttle | None":
    """Return what keeps to limits; nothing, if there are none."""
    return Throttle(limits, asyncio.get_running_loop()) if any(limits.rates) else None


class Rate:
    """So much by second."""

    __slots__ = ("_burst_s", "_cost_s", "_used_until_s")

    def __init__(self, by_second: int, burst_s: float, now_s: float) -> None:
        self._cost_s = 1 / by_second
        self._burst_s = burst_s
        self._used_until_s = now_s - burst_s

    def take(self, amount: int, now_s: float) -> float:
        """Use an amount; return when it may be used."""
        begin_s = max(self._used_until_s, now_s - self._burst_s)
        self._used_until_s = begin_s + amount * self._cost_s
        return begin_s


class _Queue:
    """Requests of a kind, of which each waits for its time and for those before it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[float, Callable[[], Any], asyncio.Future[Any]]] = deque()

    def add(self, begin_s: float, begin: Callable[[], Any]) -> Any:
        """Begin something at a time; return what is awaited for it."""
        if not self._waiting and begin_s <= self._loop.time():
            return begin()
        done: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((begin_s, begin, done))
        if len(self._waiting) == 1:
            self._loop.call_at(begin_s, self._begin_some)
        return done

    def _begin_some(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._loop.time():
            _begin_s, begin, done = self._waiting.popleft()
            _begin_one(begin, done)
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._begin_some)


def _begin_one(begin: Callable[[], Any], done: "asyncio.Future[Any]") -> None:
    if done.done():
        return  # nobody waits for it any more
    try:
        found = begin()
    except Exception as error:
        done.set_exception(error)
        return
    if not isinstance(found, Awaitable):
        done.set_result(found)
        return
    begun: asyncio.Future[Any] = asyncio.ensure_future(found)

    def ended(begun: "asyncio.Future[Any]") -> None:
        if done.done():
            return
        if begun.cancelled():
            done.cancel()
        elif (error := begun.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(begun.result())

    begun.add_done_callback(ended)


class Throttle:
    """Of one volume."""

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self._loop = loop
        requests, size = self._rates(limits.iops), self._rates(limits.bandwidth)  # of reads and writes together
        self._read_rates = requests + self._rates(limits.read_iops), size + self._rates(limits.read_bandwidth)
        self._write_rates = requests + self._rates(limits.write_iops), size + self._rates(limits.write_bandwidth)
        self._reads, self._writes = _Queue(loop), _Queue(loop)

    def _rates(self, by_second: int) -> list[Rate]:
        return [Rate(by_second, self.limits.burst_s, self._loop.time())] if by_second else []

    def read(self, length: int, begin: Callable[[], Any]) -> Any:
        """Begin a read of `length` bytes when it may; return what it gives, or what is awaited for that."""
        return self._reads.add(self._take(self._read_rates, length), begin)

    def write(self, length: int, begin: Callable[[], Awaitable[object]]) -> Awaitable[object]:
        """Begin a change when it may; `length`: bytes that come with it."""
        answer: Awaitable[object] = self._writes.add(self._take(self._write_rates, length), begin)
        return answer

    def _take(self, rates: tuple[list[Rate], list[Rate]], length: int) -> float:
        now_s = self._loop.time()
        begins = [rate.take(1, now_s) for rate in rates[0]]
        begins += [rate.take(length, now_s) for rate in rates[1] if length]
        return max(begins, default=now_s)
