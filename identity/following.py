"""Follows what is kept under a prefix of coordination, for those who answer from memory.

Changes come through a watch, within a fraction of a second. What another process stored a moment ago can be asked for
as well: `read_new` reads what is new. That pays for what changed only, and may be done `REREADS_PER_S` times a second,
so guessing costs the cluster little.
"""

import time
from collections.abc import Callable, Sequence

from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Change, Coordination, Watch
from cluster.telemetry.log import get_logger

REREADS_PER_S = 20  # also how many may come at once

_log = get_logger("identity")

Take = Callable[[str, bytes | None], None]  # a name (the key without its prefix) and what it has now; None: nothing


class Follower:
    """Calls `take` for all that is there, and for each change. `start` it on the event loop."""

    def __init__(
        self, coordination: Coordination, prefix: str, take: Take, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._coordination = coordination
        self._prefix = prefix
        self._take = take
        self._monotonic_s = monotonic_s
        self._versions: dict[str, int] = {}  # by name; of removed ones too: what is older is no news
        self._newest = 0  # version up to which all is known
        self._rereads = float(REREADS_PER_S)  # that are allowed now
        self._refilled_at_s = monotonic_s()
        self._watch: Watch | None = None

    def __repr__(self) -> str:
        return f"Follower({self._prefix}, at {self._newest})"

    def start(self) -> None:
        """Read all there is, and follow it. Raise `coordination.errors.Unavailable`."""
        self._watch = self._coordination.watch(self._prefix, self._apply)
        self._read()

    def close(self) -> None:
        """Follow no more."""
        if self._watch is not None:
            self._watch.cancel()

    def read_new(self) -> bool:
        """Read what is new unless that was done too often; tell whether it was read."""
        now_s = self._monotonic_s()
        grown = self._rereads + (now_s - self._refilled_at_s) * REREADS_PER_S
        self._rereads, self._refilled_at_s = min(float(REREADS_PER_S), grown), now_s
        if self._rereads < 1:
            return False
        self._rereads -= 1
        try:
            self._read()
        except CoordinationError as error:
            self._rereads = 1.0 - REREADS_PER_S  # for a second, do not ask again
            _log.warning("users_not_read", prefix=self._prefix, error=error)
            return False
        return True

    def _read(self) -> None:
        self._apply([Change(*entry) for entry in self._coordination.range(self._prefix, self._newest)])

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            name = change.key.removeprefix(self._prefix)
            if change.version > self._versions.get(name, 0):
                self._versions[name] = change.version
                self._take(name, change.data)
            self._newest = max(self._newest, change.version)
