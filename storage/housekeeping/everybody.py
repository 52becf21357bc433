"""To ask every device of the rings: for what is safe only when nobody has anything to say against it.

Only while no change of the rings is under way, and all are up: also those that are no primaries, for they may stand in
for them, or not have dropped yet what has moved away.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from cluster.clock import Timestamp, pack
from cluster.wire import Peer, PeerUnavailable, RemoteError, Reply
from storage.client import Placement
from storage.messages import Operation, Refusal
from storage.rings.document import Stage

TIMEOUT_S = 30.0
FLOOR_STEPS = 8  # in which a floor rises within a reclaim age: each is a sync of a file on every device


class NotNow(Exception):
    """Somebody cannot be asked. The words are for the operator."""


class Everybody:
    """All devices, by the rings of the moment when this was made. Raise NotNow."""

    def __init__(self, placement: Placement, operation: Operation) -> None:
        self._placement = placement
        self._operation = operation
        rings = placement.rings
        if rings.stage is not Stage.STABLE or rings.floor < rings.version - 1:
            raise NotNow("the rings are being changed")
        self.peers: Mapping[int, Peer] = {device_id: placement.peers[device_id] for device_id in rings.devices()}
        self._version = rings.version
        down = sorted(device_id for device_id, peer in self.peers.items() if not peer.up)
        if down:
            raise NotNow(f"{_named(down)} down, and may have older versions")

    async def ask(self, message: Any) -> Mapping[int, Any]:
        """Return what each device says. Raise NotNow unless all say."""
        answers = await self._call(dict.fromkeys(self.peers, message))
        said: dict[int, Any] = {}
        for device_id, answer in answers.items():
            if isinstance(answer, BaseException):
                raise NotNow(f"device {device_id} does not say what it has: {answer}") from answer
            said[device_id] = answer.metadata
        return said

    async def tell(self, messages: Mapping[int, Any]) -> None:
        """Have devices forget. Raise NotNow unless all have: what is left is found again."""
        for device_id, answer in (await self._call(messages)).items():
            if isinstance(answer, BaseException):
                raise NotNow(f"device {device_id} may not have forgotten them: {answer}") from answer

    async def _call(self, messages: Mapping[int, Any]) -> Mapping[int, Reply | BaseException]:
        calls = {
            device_id: self.peers[device_id].call(self._operation, message, b"", TIMEOUT_S, self._version)
            for device_id, message in messages.items()
        }
        answers = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
        for answer in answers.values():
            if isinstance(answer, RemoteError) and answer.code == Refusal.STALE_RINGS:
                self._placement.refresh(answer.detail)
            elif isinstance(answer, BaseException) and not isinstance(answer, RemoteError | PeerUnavailable):
                raise answer
        return answers


def floor_at(now_us: int, age_s: float) -> Timestamp:
    """Return a timestamp above all that is older than `age_s`, which is the same for a while."""
    step_us = max(1, int(age_s * 1e6 / FLOOR_STEPS))
    due_us = now_us - int(age_s * 1e6)
    return pack((due_us // step_us + 1) * step_us, 0, 0)


def _named(device_ids: list[int]) -> str:
    """Return devices in words."""
    return f"device {device_ids[0]} is" if len(device_ids) == 1 else f"devices {', '.join(map(str, device_ids))} are"
