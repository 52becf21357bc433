"""How much background copying a device does, so that clients hardly notice.

One budget a device, in bytes per second, paid by all that it copies, to itself and for others. Its rate follows what
clients would feel, which is measured here and not at them: how late the event loop wakes up, and how long a commit of
the log takes. Compared is with the same when nothing is copied (the quiet value). Too slow: the rate falls at once by a
part of itself; else it grows by a small step (additive increase, multiplicative decrease: Chiu and Jain 1989), which
finds the rate that clients leave over, and shares fairly with other devices that copy on the same machine. While no
client asks for anything it doubles instead. Now and then copying pauses for a moment, so that the quiet value is known
of a machine whose other work changes, and of a process that has copied since it was started.

`steer` decides, without a clock; `Budget` waits; `Gauge` measures.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from storage.copying import UNLIMITED
from storage.copying import Budget as Waiting

__all__ = ["UNLIMITED", "Both", "Budget", "Gauge", "Steering", "Waiting", "steer"]

_BURST_S = 0.05  # what was not used for longer than this is not made up for
_GIVEN_S = 5.0  # that we wait for what others took: they go by budgets of their own, together beyond ours for hours
MiB = 1 << 20
CEILING = 1 << 40  # bytes/s: no limit
SAMPLE_S = 0.05
SAMPLES_PER_TURN = 5  # between two decisions: 0.25 s
IDLE_PAUSE_S = 0.5  # between samples while nothing is copied: they only keep the quiet value up to date
_TOLERATED = 1.6  # times the quiet value, which leaves room for what a request waits for besides
_TOLERATED_S = 0.002  # beyond the quiet value: what is shorter is noise of the machine
_FALL = 0.6
_RISE = 0.05  # of the rate, at least _STEP
_STEP = 1 * MiB
_QUIET_WEIGHT = 0.1  # of a new value in the quiet one, while nothing is copied anyway
_PROBE_WEIGHT = 0.3  # the same of a pause, of which there are fewer
PROBE_TURNS = 30  # between two pauses
PROBE_SETTLE_S = 0.1  # from the beginning of a pause until what is under way has come to its end


@dataclass(frozen=True, slots=True)
class Steering:
    """Where the rate is, and what it is judged by."""

    floor: float  # bytes/s
    ceiling: float
    rate: float
    quiet_s: float = 0.001  # latency while nothing is copied

    @property
    def tolerated_s(self) -> float:
        """The latency up to which copying goes faster."""
        return max(self.quiet_s * _TOLERATED, self.quiet_s + _TOLERATED_S)


def learn(now: Steering, latency_s: float, weight: float) -> Steering:
    """Return the steering after a turn in which nothing was copied."""
    return replace(now, quiet_s=now.quiet_s + weight * (latency_s - now.quiet_s))


def steer(now: Steering, latency_s: float, copying: bool, clients: bool) -> Steering:
    """Return the steering after a turn in which the latency was so, with or without copying and clients."""
    if not copying:
        return learn(now, latency_s, _QUIET_WEIGHT)
    if not clients:
        rate = now.rate * 2
    elif latency_s > now.tolerated_s:
        rate = now.rate * _FALL
    else:
        rate = now.rate + max(_STEP, now.rate * _RISE)
    return replace(now, rate=min(max(rate, now.floor), now.ceiling))


class Both:
    """Within two budgets at once."""

    def __init__(self, first: Waiting, second: Waiting) -> None:
        self._first, self._second = first, second

    async def took(self, size: int) -> None:
        """Wait for both."""
        await self._first.took(size)
        await self._second.took(size)


class Budget:
    """Paid for after the fact: a large object is not held up, what comes after it waits."""

    def __init__(
        self,
        floor: float,
        ceiling: float = 0,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`floor` and `ceiling` in bytes per second; 0 as a ceiling: none."""
        limit = ceiling or CEILING
        self._steering = Steering(min(floor, limit), limit, min(4 * floor, limit))
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._paid_until = 0.0
        self._taken = 0  # bytes since the last decision
        self.took_bytes = 0
        self._open = asyncio.Event()
        self._open.set()

    def __repr__(self) -> str:
        return f"Budget({self.rate / MiB:.1f} MiB/s, quiet {self._steering.quiet_s * 1e3:.2f} ms)"

    @property
    def rate(self) -> float:
        """Bytes per second that are allowed now."""
        return self._steering.rate

    @property
    def copied_lately(self) -> bool:
        """Tell whether anything was copied since the last decision."""
        return self._taken > 0

    @property
    def steering(self) -> Steering:
        """What the last decision was."""
        return self._steering

    async def took(self, size: int) -> None:
        """Wait until `size` bytes, which were moved just now, are within the budget."""
        self._paid_until = self._paid_with(size)
        left_s = self._paid_until - self._now()
        if left_s > 0:
            await self._sleep(left_s)
        if not self._open.is_set():
            await self._open.wait()

    def spend(self, size: int) -> None:
        """Count `size` bytes, which another device was given, without waiting; others wait for it, for a while."""
        limit = max(self._paid_until, self._now() + _GIVEN_S)
        self._paid_until = min(self._paid_with(size), limit)

    def _paid_with(self, size: int) -> float:
        """Count `size` bytes; return when they are paid for."""
        self._taken += size
        self.took_bytes += size
        return max(self._paid_until, self._now() - _BURST_S) + size / self._steering.rate

    def pause(self) -> None:
        """Let nobody go on who takes something from now on."""
        self._open.clear()

    def resume(self, quiet_latency_s: float | None = None) -> None:
        """Let them go on; the latency meanwhile was so."""
        self._open.set()
        self._taken = 0
        if quiet_latency_s is not None:
            self._steering = learn(self._steering, quiet_latency_s, _PROBE_WEIGHT)

    def judge(self, latency_s: float, clients: bool) -> None:
        """Decide how to go on, after a turn in which the latency was so."""
        self._steering = steer(self._steering, latency_s, self._taken > 0, clients)
        self._taken = 0


class Gauge:
    """The housekeeping task that measures what clients feel, and lets the budget know. No request pays for it."""

    name = "measure what clients feel"

    def __init__(
        self,
        budget: Budget,
        settled: Callable[[], Awaitable[None]],
        queued_bytes: Callable[[], int],
        client_requests: Callable[[], int],
    ) -> None:
        """`settled` waits for what is on its way into the log, `client_requests` counts them since the start."""
        self._budget = budget
        self._settled = settled
        self._queued_bytes = queued_bytes
        self._client_requests = client_requests
        self._counted = client_requests()
        self._turns = 0  # since the last pause

    async def step(self) -> float:
        """Take some samples, and let the budget decide."""
        if not self._budget.copied_lately:
            self._turns = PROBE_TURNS  # begin with a pause, as soon as something is copied
            self._judge(await self._latency(IDLE_PAUSE_S))
            return 0.0
        if self._turns >= PROBE_TURNS:
            self._turns = 0
            await self._probe()
        self._turns += 1
        self._judge(await self._latency())
        return 0.0

    def _judge(self, latency_s: float) -> None:
        before, self._counted = self._counted, self._client_requests()
        self._budget.judge(latency_s, self._counted > before)

    async def _probe(self) -> None:
        """Learn how it is without copying."""
        self._budget.pause()
        latency_s: float | None = None
        try:
            await asyncio.sleep(PROBE_SETTLE_S)
            latency_s = await self._latency()
        finally:
            self._budget.resume(latency_s)

    async def _latency(self, pause_s: float = 0.0) -> float:
        """Return the mean of some samples."""
        total_s = 0.0
        for _ in range(SAMPLES_PER_TURN):
            total_s += await self._sample()
            if pause_s and not self._budget.copied_lately:
                await asyncio.sleep(pause_s)
        return total_s / SAMPLES_PER_TURN

    async def _sample(self) -> float:
        """Return how long the loop, and the log if it has something to do, kept somebody waiting just now."""
        loop = asyncio.get_running_loop()
        due = loop.time() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        woken = loop.time()
        if self._queued_bytes():
            await self._settled()
        return loop.time() - woken + max(0.0, woken - due)
