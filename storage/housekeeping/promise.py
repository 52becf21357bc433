"""The first phase of a write that is decided upon what is there (proxy.objects.decision), for housekeeping.

A read quorum promises to take nothing below a new timestamp any more, and tells what it has. So a write that was
acknowledged is among that, whichever replicas have it, and one that is concurrent comes before, and is seen, or after,
with a higher timestamp. Promises alone change nothing that is read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.clock import HybridClock, Timestamp
from cluster.wire import RemoteError
from storage.asking import Answers, ask
from storage.client import Placement, Replicas
from storage.messages import NEWER, BlobPromise, Operation, Refusal, Version, parse
from storage.quorum import timestamp_of
from storage.rings.document import OBJECT


@dataclass(frozen=True, slots=True)
class Promised:
    """What may be written upon now, under `timestamp`."""

    replicas: Replicas
    timestamp: Timestamp
    versions: Mapping[int, Version | None]  # with metadata, of those who have promised

    @property
    def newest(self) -> Version | None:
        """The version to decide upon."""
        return max(self.versions.values(), key=timestamp_of)


class Promises:
    """Asks for promises, and writes what was decided. `clock` is no other process's."""

    def __init__(self, placement: Placement, clock: HybridClock) -> None:
        self._placement = placement
        self._clock = clock

    async def ask(self, key: bytes, above: Timestamp) -> Promised | None:
        """Have a read quorum of `key` promise, at a timestamp above that; None: too few have."""
        replicas = self._placement.replicas(OBJECT, key)
        timestamp = self._clock.after(above)
        answers = await self._heard(replicas, replicas.readers, Operation.BLOB_PROMISE, BlobPromise(key, timestamp))
        versions = {
            device_id: None if answer.metadata is None else parse(Version, answer.metadata)
            for device_id, answer in answers.items()
            if not isinstance(answer, BaseException)
        }
        return Promised(replicas, timestamp, versions) if replicas.read_quorum.reached(versions) else None

    async def write(self, promised: Promised, operation: Operation, message: Any) -> Answers:
        """Send what was decided to all replicas; return what each says."""
        return await self._heard(promised.replicas, promised.replicas.members, operation, message)

    async def _heard(
        self, replicas: Replicas, members: Iterable[tuple[int, Any]], operation: Operation, message: Any
    ) -> Answers:
        """Ask, and be above what somebody has seen the next time."""
        answers = await ask(self._placement, replicas, members, operation, message)
        for answer in answers.values():
            if isinstance(answer, RemoteError) and (answer.code in NEWER or answer.code == Refusal.PROMISED):
                self._clock.observe(answer.detail)
        return answers


def taken_by(answers: Answers) -> list[int]:
    """Return the devices that have done what they were told."""
    return [device_id for device_id, answer in answers.items() if not isinstance(answer, BaseException)]
