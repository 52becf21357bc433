"""When keys are rotated: after a period since the last time, whoever of those that run notices it first.

The moment of the last rotation is kept in coordination under `identity/rotated`, as decimal microseconds. Who rotates
puts the new moment there first, over the one that it read: so one does it. One that dies in between leaves the keys as
they are for another period, which is safer than to rotate twice: tokens would end with keys that go too early.
"""

from collections.abc import Callable

from cluster.config.identity_service import PERIODS_KEPT
from cluster.coordination.errors import Conflict
from cluster.coordination.interface import ABSENT, Coordination
from cluster.telemetry.log import get_logger
from identity.keystone.tokens.keys import ACTIVE_LIMIT, KeyRepository

ROTATED = "identity/rotated"  # not under KEY_PREFIX, where keys alone are
assert PERIODS_KEPT == ACTIVE_LIMIT - 2, "all but the staged key and the primary are kept for tokens that they made"

_log = get_logger("identity")


class Rotation:
    """Rotates keys when it is time. `step` it now and then."""

    def __init__(
        self, coordination: Coordination, repository: KeyRepository, period_s: float, wall_us: Callable[[], int]
    ) -> None:
        self._coordination = coordination
        self._repository = repository
        self._period_us = int(period_s * 1_000_000)
        self._wall_us = wall_us

    def step(self) -> bool:
        """Rotate if it is time; tell whether it was. Raise CoordinationError."""
        now_us = self._wall_us()
        last = self._coordination.get(ROTATED)
        if last is not None and now_us < int(last.data) + self._period_us:
            return False
        try:
            self._coordination.put(ROTATED, b"%d" % now_us, ABSENT if last is None else last.version)
        except Conflict:
            return False
        if last is None:  # the keys are new
            return False
        keys = self._repository.rotate()
        _log.info("keys_rotated", primary=keys.primary_number, count=len(keys.texts))
        return True
