"""A budget of bytes per second, for work that must leave room for clients."""

import asyncio
from collections.abc import Awaitable, Callable

_BURST_S = 0.1  # what was not used for longer than this is not made up for


class Throttle:
    """Paid for after the fact: a large object is not held up, what comes after it waits."""

    def __init__(
        self,
        bytes_per_s: float,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bytes_per_s = bytes_per_s  # 0: no limit
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._sleep = sleep
        self._paid_until = 0.0

    async def took(self, size: int) -> None:
        """Wait until `size` bytes, which were moved just now, are within the budget."""
        if self._bytes_per_s <= 0:
            return
        now = self._now()
        self._paid_until = max(self._paid_until, now - _BURST_S) + size / self._bytes_per_s
        if self._paid_until > now:
            await self._sleep(self._paid_until - now)
