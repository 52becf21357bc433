"""A simulated process: what the callbacks, tasks, descriptors and connections of one daemon belong to.

A context variable names the process that runs, so everything that is scheduled from within one belongs to it.
`stop` and `go_on` are SIGSTOP and SIGCONT; `kill` is SIGKILL: nothing of it runs any more. Its tasks and handles are
kept until the end of the simulation, because Python would run their `finally` clauses when it frees them.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class ProcessKilled(BaseException):
    """Raised where a process dies in the middle of what it does, to leave it."""


class Process:
    """One life of a daemon on a host. `host` tells who can reach whom, `name` which life."""

    def __init__(self, host: str, name: str) -> None:
        self.host = host
        self.name = name
        self.alive = True
        self.running = True  # neither stopped nor dead
        context = copy_context()
        context.run(PROCESS.set, self)
        self.callbacks = context  # for callbacks, which run one at a time; tasks get copies
        self._held: list[Any] = []  # handles of the loop
        self._graveyard: list[Any] = []
        self._on_death: list[Callable[[bool], None]] = []

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped" if self.alive else "dead"
        return f"Process({self.name}, {state})"

    def context(self) -> Context:
        """Return a context in which all that is scheduled belongs to this process."""
        return self.callbacks.copy()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call `function` as this process."""
        return self.context().run(function, *arguments)

    def spawn(self, coroutine: Any) -> "asyncio.Task[Any]":
        """Run a coroutine as a task of this process."""
        return asyncio.get_running_loop().create_task(coroutine, context=self.context())

    def hold(self, handle: Any) -> None:
        """Keep a callback that may not run now, or never."""
        (self._held if self.alive else self._graveyard).append(handle)

    def stop(self) -> None:
        """Let nothing of it run until `go_on`."""
        self.running = False

    def go_on(self) -> None:
        """Run what has waited, and go on."""
        if self.alive and not self.running:
            self.running = True
            loop = asyncio.get_running_loop()
            held, self._held = self._held, []
            loop._ready.extend(held)  # type: ignore[attr-defined]

    def on_death(self, callback: Callable[[bool], None]) -> None:
        """Have `callback(power_lost)` called when the process is killed."""
        self._on_death.append(callback)

    def kill(self, power_lost: bool = False) -> None:
        """End it here and now."""
        if not self.alive:
            return
        self.alive = self.running = False
        self._bury()
        for callback in self._on_death:
            callback(power_lost)

    def _bury(self) -> None:
        """Keep its tasks from being freed. (Those of others, too: nothing tells them apart, and it does no harm.)"""
        self._graveyard += self._held
        self._held = []
        self._graveyard += asyncio.all_tasks()


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process | None:
    """Return the process that runs."""
    return PROCESS.get()
