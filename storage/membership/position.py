"""Tells coordination, now and then, how far the log has come, so that an older or shorter one is noticed at a start."""

from collections.abc import Callable

from cluster.coordination.errors import CoordinationError
from cluster.telemetry.log import get_logger
from storage.membership.membership import Membership

INTERVAL_S = 30.0  # less: coordination has more to write; more: a copy that is so old is taken for the device
_log = get_logger("storage.membership")


class TellPosition:
    """The housekeeping task."""

    name = "tell how far the log is"

    def __init__(self, membership: Membership, position: Callable[[], int]) -> None:
        self._membership = membership
        self._position = position
        self._told = 0

    async def step(self) -> float:
        """Tell it, if there is anything new."""
        position = self._position()
        if position > self._told:
            try:
                await self._membership.report_position(position)
                self._told = position
            except CoordinationError as error:
                _log.info("position_not_told", reason=str(error))
        return INTERVAL_S
