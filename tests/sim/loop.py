"""An asyncio event loop whose time is a number: when nothing is ready it jumps to the next timer.

No clock, thread, signal or socket is asked, so what runs when depends on the program alone. Callbacks run in the
order in which they became ready, timers of the same moment in the order in which they were set. Each turn of the
loop takes TURN_S, so that a program that polls does not stop time.

A callback belongs to the simulated process (`process.current`) in whose context it was scheduled. Those of a process
that is stopped wait until it goes on, those of one that was killed never run: no `finally`, no farewell.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from tests.sim.process import PROCESS, ProcessKilled

TURN_S = 1e-6
RESOLUTION_S = 1e-9


class Deadlock(Exception):
    """Nothing is ready, no timer is set, and what is awaited has not ended."""


class OutOfTime(Exception):
    """The simulation runs for longer than it may: something waits for ever, or goes in circles."""


class _Handle:
    """A callback that is due now or at a moment: asyncio.TimerHandle, leaner, as a seed has 100,000."""

    __slots__ = ("args", "at", "callback", "context", "dropped")

    def __init__(
        self, at: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self.at = at
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.dropped = False

    def __repr__(self) -> str:
        return f"<{self.callback} at {self.at:.6f}{' cancelled' * self.dropped}>"

    def cancel(self) -> None:
        """Do not call back. It is dropped when its time comes."""
        self.dropped = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        """Tell whether it has been cancelled."""
        return self.dropped

    def when(self) -> float:
        """Return when it is due, in seconds of the loop's time."""
        return self.at


def _nothing() -> None:
    """Be called instead of what was cancelled."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """loop.run_until_complete(main()), as any loop."""

    def __init__(self, time_limit_s: float = 3600.0, callbacks_limit: int = 20_000_000) -> None:
        super().__init__()
        self._now = 0.0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._sequence = 0  # of timers
        self._time_limit_s = time_limit_s
        self._callbacks_limit = callbacks_limit
        self._executors: dict[Any, float] = {}  # executor -> when it is idle again
        self.callback_count = 0
        self.errors: list[str] = []  # what callbacks and forgotten tasks raised
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        """Return how many seconds have passed since the beginning."""
        return self._now

    # scheduling: as BaseEventLoop's, without what it checks and measures

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """Call back in the next turn."""
        handle = _Handle(self._now, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """The same: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """Call back after `delay` seconds."""
        return self._set(self._now + delay, callback, args, context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """Call back at `when`."""
        return self._set(when, callback, args, context)

    def _set(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> _Handle:
        handle = _Handle(when, callback, args, context)
        self._sequence += 1
        heapq.heappush(self._timers, (when, self._sequence, handle))
        return handle

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Call `func` here, a moment later; calls of one executor come one after the other.

        What the simulator runs takes its threads from `tests.sim.threads`; this is for what does not.
        """
        future = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        at = max(self._now, self._executors.get(executor, 0.0)) + 1e-4
        self._executors[executor] = at
        self.call_at(at, call)
        return future

    # running

    def _run_once(self) -> None:
        """Run turns until the loop is to stop. In each what is ready runs; when nothing is, time jumps first."""
        ready, timers = self._ready, self._timers
        while True:
            now = self._now + TURN_S
            if not ready:
                now = self._next_moment(now)
            self._now = now
            until = now + RESOLUTION_S
            while timers and timers[0][0] <= until:
                handle = heapq.heappop(timers)[2]
                if not handle.dropped:
                    ready.append(handle)
            count = len(ready)
            self.callback_count += count
            if now > self._time_limit_s or self.callback_count > self._callbacks_limit:
                raise OutOfTime(f"after {now:.1f} s and {self.callback_count} callbacks")
            for _ in range(count):
                self._run_next(ready.popleft())
            if self._stopping:  # type: ignore[attr-defined]
                return

    def _run_next(self, handle: _Handle) -> None:
        if handle.dropped:
            return
        context = handle.context
        process = context.get(PROCESS)
        if process is not None and not process.running:
            process.hold(handle)
            return
        try:
            context.run(handle.callback, *handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": f"Exception in callback {handle!r}", "exception": error})

    def _next_moment(self, now: float) -> float:
        """Return when the next timer goes off, or `now` if that is over."""
        timers = self._timers
        while timers and timers[0][2].dropped:
            heapq.heappop(timers)
        if timers:
            return max(now, timers[0][0])
        if not self._stopping:  # type: ignore[attr-defined]
            raise Deadlock(f"at {now:.6f} s")
        return now

    def _note_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ProcessKilled):
            return
        self.errors.append(f"{context['message']}: {error!r}")

    def _process_events(self, event_list: Any) -> None:  # pragma: no cover
        raise NotImplementedError

    def _write_to_self(self) -> None:
        """Do nothing: nobody sleeps."""

    def close(self) -> None:
        """Forget what was scheduled."""
        self._ready.clear()
        self._timers.clear()
        super().close()
