"""What the other devices are, followed in coordination.

It may be a moment behind. Where that matters (whose data counts as complete) coordination is read before and after, by
`members`: a device that lost data in between is another incarnation, or does not vote any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from cluster.coordination.errors import CoordinationError
from cluster.coordination.interface import Change, Coordination, Watch
from cluster.telemetry.log import get_logger
from storage.membership import store
from storage.membership.record import Member, voting

Members = Callable[[], Awaitable[Mapping[int, Member]]]  # reads coordination. Raises CoordinationError
RETRY_S = 2.0
_log = get_logger("storage.membership")


async def nobody() -> Mapping[int, Member]:
    """Know no members, so that all devices vote: for a cluster without coordination, as tests have one."""
    return {}


class Roster:
    """Of one process."""

    def __init__(self, coordination: Coordination, on_change: Callable[[], None] = lambda: None) -> None:
        self._coordination = coordination
        self._on_change = on_change
        self._watch: Watch | None = None
        self._again: asyncio.TimerHandle | None = None  # a read that failed is tried once more
        self.members: dict[int, Member] = {}

    def start(self) -> None:
        """Begin to follow, on the running loop."""
        self._watch = self._coordination.watch(store.PREFIX, self._changed)
        self._read()

    def votes(self, device_id: int) -> bool:
        """Tell whether a device votes."""
        return voting(self.members, device_id) is not None

    def close(self) -> None:
        """Follow no more."""
        if self._watch is not None:
            self._watch.cancel()
        if self._again is not None:
            self._again.cancel()

    def _changed(self, _changes: Sequence[Change]) -> None:
        self._read()

    def _read(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        try:
            members = store.read_all(self._coordination)
        except CoordinationError as error:
            _log.warning("members_unknown", reason=str(error))
            self._again = asyncio.get_running_loop().call_later(RETRY_S, self._read)
            return
        if members != self.members:
            self.members = members
            self._on_change()
