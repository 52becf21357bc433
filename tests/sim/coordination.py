"""Coordination in memory, as the embedded one behaves: versioned keys, leases on the simulation's time, watches.

All processes share one `Registry`. During an outage every call fails, and a change that was asked for just then may
have been made nevertheless.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

from cluster.coordination import lease as leases
from cluster.coordination.errors import Conflict, Unavailable
from cluster.coordination.interface import ABSENT, Change, Entry, Value, WatchCallback
from cluster.coordination.lease import Lease
from tests.sim.process import Process

ResultT = TypeVar("ResultT")
POLL_S = 0.25  # as the embedded one looks for changes


class Registry:
    """What is kept: outlives all processes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.entries: dict[str, tuple[int, bytes | None]] = {}
        self.leases: dict[str, Lease] = {}
        self.version = 0
        self.down = False
        self.blind: set[str] = set()  # hosts that do not reach it
        self.watches: list[_Watch] = []

    def __repr__(self) -> str:
        return f"Registry({len(self.entries)} keys, version {self.version})"

    def is_away(self, process: Process | None) -> bool:
        """Tell whether a process gets no answer; None: an operator's command."""
        return self.down or (process is not None and process.host in self.blind)

    def connect(self, process: Process | None) -> "SimulatedCoordination":
        """Return a connection for a process."""
        return SimulatedCoordination(self, process)

    def observe(self) -> "SimulatedCoordination":
        """Return a connection for the simulation itself, which always gets an answer."""
        return SimulatedCoordination(self, None, observes=True)

    def changed(self, key: str) -> None:
        """Tell those who watch, within a poll."""
        for watch in self.watches:
            if key.startswith(watch.prefix) and not watch.cancelled:
                watch.wake()


class _Watch:
    def __init__(self, registry: Registry, process: Process | None, prefix: str, callback: WatchCallback) -> None:
        self._registry = registry
        self._process = process
        self._told = registry.version
        self._timer: asyncio.TimerHandle | None = None
        self.prefix, self._callback = prefix, callback
        self.cancelled = False

    def cancel(self) -> None:
        """Call back no more."""
        self.cancelled = True
        if self in self._registry.watches:
            self._registry.watches.remove(self)

    def wake(self) -> None:
        if self._timer is None:
            delay_s = POLL_S * self._registry.chance.random()
            context = self._process.callbacks if self._process is not None else None
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._look, context=context)

    def _look(self) -> None:
        self._timer = None
        registry = self._registry
        if self.cancelled:
            return
        if registry.is_away(self._process):
            self.wake()
            return
        found = [
            Change(key, version, data)
            for key, (version, data) in registry.entries.items()
            if version > self._told and key.startswith(self.prefix)
        ]
        self._told = registry.version
        if found:
            self._callback(sorted(found, key=lambda change: change.version))


class SimulatedCoordination:
    """`cluster.coordination.interface.Coordination`, of one process."""

    def __init__(self, registry: Registry, process: Process | None, observes: bool = False) -> None:
        self._registry = registry
        self._process = process
        self._observes = observes
        self._watches: list[_Watch] = []

    def get(self, key: str) -> Value | None:
        """See `interface.Coordination`."""
        self._reach()
        version, data = self._registry.entries.get(key, (ABSENT, None))
        return None if data is None else Value(version, data)

    def put(self, key: str, data: bytes, expect: int | None = None) -> int:
        """See `interface.Coordination`."""

        def store() -> int:
            self._expect(key, expect)
            return self._write(key, data)

        return self._change(store)

    def delete(self, key: str, expect: int | None = None) -> bool:
        """See `interface.Coordination`."""

        def remove() -> bool:
            there = self._expect(key, expect) != ABSENT
            if there:
                self._write(key, None)
            return there

        return self._change(remove)

    def range(self, prefix: str, after: int = 0) -> list[Entry]:
        """See `interface.Coordination`."""
        self._reach()
        return [
            Entry(key, version, data)
            for key, (version, data) in sorted(self._registry.entries.items())
            if data is not None and version > after and key.startswith(prefix)
        ]

    def watch(self, prefix: str, callback: WatchCallback) -> _Watch:
        """See `interface.Coordination`."""
        self._reach()
        watch = _Watch(self._registry, self._process, prefix, callback)
        self._registry.watches.append(watch)
        self._watches.append(watch)
        return watch

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease:
        """See `interface.Coordination`."""
        return self._change(
            lambda: self._keep(leases.acquired(self._registry.leases.get(name), name, holder, ttl_s, self._now_s()))
        )

    def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See `interface.Coordination`."""
        return self._change(
            lambda: self._keep(leases.renewed(self._registry.leases.get(lease.name), lease, ttl_s, self._now_s()))
        )

    def release(self, lease: Lease) -> None:
        """See `interface.Coordination`."""

        def let_go() -> None:
            remainder = leases.released(self._registry.leases.get(lease.name), lease)
            if remainder is not None:
                self._keep(remainder)

        self._change(let_go)

    def close(self) -> None:
        """See `interface.Coordination`."""
        for watch in list(self._watches):
            watch.cancel()

    def _now_s(self) -> float:
        return 1e6 + asyncio.get_running_loop().time()

    def _keep(self, lease: Lease) -> Lease:
        self._registry.leases[lease.name] = lease
        return lease

    def _reach(self) -> None:
        if not self._observes and self._registry.is_away(self._process):
            raise Unavailable("coordination does not answer")

    def _change(self, make: Callable[[], ResultT]) -> ResultT:
        registry = self._registry
        if registry.is_away(self._process):
            if registry.chance.random() < 0.1:
                make()
            raise Unavailable("coordination does not answer")
        return make()

    def _expect(self, key: str, expect: int | None) -> int:
        version, data = self._registry.entries.get(key, (ABSENT, None))
        actual = ABSENT if data is None else version
        if expect is not None and expect != actual:
            raise Conflict(key, expect, actual)
        return actual

    def _write(self, key: str, data: bytes | None) -> int:
        registry = self._registry
        registry.version += 1
        registry.entries[key] = (registry.version, data)
        registry.changed(key)
        return registry.version
