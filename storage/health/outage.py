"""The daemon of a device that cannot be opened: refuses what it is asked, explains itself, and waits for the disk.

A process that ended instead would be started again and again, and would tell nobody why.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any

from cluster.clock import wall_us
from cluster.telemetry.log import get_logger
from cluster.wire import RemoteError, Reply, Request
from storage.health.condition import Condition, Health
from storage.health.judgement import Verdict
from storage.messages import Operation, Refusal

LOOK_S = 1.0  # between two looks at the disk
HANG_LIMIT_S = 10.0  # after which a look that hangs is left alone, and the next one begins
ABANDONED_LIMIT = 6

_log = get_logger("storage.health")


class Outage:
    """What is left of a device."""

    def __init__(self, device_id: int, verdict: Verdict, look: Callable[[], Verdict]) -> None:
        """`look` examines the directory; it may block for ever."""
        self._device_id = device_id
        self._look = look
        self._state = Health(verdict.condition, verdict.reason, wall_us())
        self._abandoned = 0

    def __repr__(self) -> str:
        return f"Outage(device {self._device_id}: {self._state.condition.label})"

    def handle(self, request: Request) -> Reply:
        """Refuse a request, unless it asks for the state."""
        if request.operation == Operation.STATUS:
            return Reply((dict(self.status()),))
        raise RemoteError(Refusal.DEVICE_FAILED, self._state.sentence())

    def status(self) -> Mapping[str, Any]:
        """Return the state, with the names that a device's status has."""
        sentence = self._state.sentence()
        return {
            "device": self._device_id,
            "failed": sentence,
            "failure": sentence,
            "health": self._state.facts(),
        }

    def health(self) -> tuple[bool, Mapping[str, Any]]:
        """Return it as /healthz wants it."""
        return False, self.status()

    async def over(self, pause_s: float) -> None:
        """Return when the device may be tried again, not before `pause_s`."""
        _log.error("out_of_service", device=self._device_id, reason=self._state.sentence())
        not_before = asyncio.get_running_loop().time() + pause_s
        while True:
            await asyncio.sleep(LOOK_S)
            if self._abandoned >= ABANDONED_LIMIT:
                continue  # an operator restarts the daemon once the disk is replaced
            verdict = await looked(self._look, HANG_LIMIT_S)
            if verdict is None:
                self._abandoned += 1
                verdict = Verdict(Condition.HANGING, "the directory cannot be looked at: the disk does not answer")
            if not verdict.condition.is_out:
                if asyncio.get_running_loop().time() >= not_before:
                    return
            elif verdict.condition is not self._state.condition:
                self._state = Health(verdict.condition, verdict.reason, wall_us())


async def looked(look: Callable[[], Verdict], limit_s: float) -> Verdict | None:
    """Run `look` in a thread of its own; None when the disk does not answer in time."""
    found: Future[Verdict] = Future()

    def work() -> None:
        try:
            found.set_result(look())
        except Exception as error:  # whatever it is, it is about this disk
            found.set_result(Verdict(Condition.UNREADABLE, repr(error)))

    Thread(target=work, name="examination", daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(found)), limit_s)
    except TimeoutError:
        return None
