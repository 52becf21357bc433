"""How long a write waits for others that are at the same name or container."""

import asyncio
import random

from proxy.objects.errors import NameContended, QuorumNotReached
from proxy.objects.rounds import STALE_TRIES, Refused, StaleRings, catch_up
from storage.client import Placement
from storage.messages import Refusal

CONTENTION_S = 5.0  # how long a write tries to get past others
_FIRST_DELAY_S, _LAST_DELAY_S = 0.002, 0.1
_GROWTH = 1.6


class Patience:
    """Of one write: waits a little longer each time."""

    __slots__ = ("_deadline", "_delay_s", "_loop", "_placement", "_stale_count")

    def __init__(self, loop: asyncio.AbstractEventLoop, placement: Placement) -> None:
        self._loop = loop
        self._placement = placement
        self._stale_count = 0
        self._deadline = loop.time() + CONTENTION_S
        self._delay_s = _FIRST_DELAY_S

    async def again(self, refused: Refused) -> None:
        """Sleep before the next try, or take newer rings. Raise when trying again can't help or has taken too long."""
        if isinstance(refused, StaleRings) and self._stale_count < STALE_TRIES:
            self._stale_count += 1
            await catch_up(self._placement, refused)
            return
        if refused.code is Refusal.BAD_REQUEST:
            raise QuorumNotReached(0, 0, {-1: refused})
        await self.wait(refused.code.name)

    async def wait(self, reason: str) -> None:
        """Sleep before the next try. Raise NameContended when it has taken too long."""
        if self._loop.time() > self._deadline:
            raise NameContended(f"{reason}, still, after {CONTENTION_S} s")
        await asyncio.sleep(self._delay_s * random.uniform(0.5, 1.5))
        self._delay_s = min(self._delay_s * _GROWTH, _LAST_DELAY_S)
