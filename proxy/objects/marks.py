"""One at a time: a mark on a small object of our own, put there and taken away by conditional writes.

Only who has put the mark may go on; the others wait. Nobody knows whether one that stays has lost its owner, so
whoever has seen the same mark for TAKE_OVER_S by its own clock takes it over; an owner that comes back after that
finds that its mark is gone when it ends its work. So it keeps apart those that are alive, and does not take
the place of checking what has been done.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from proxy.objects.errors import NameContended, Unavailable
from proxy.objects.model import NewObject, ObjectInfo, ObjectName
from proxy.objects.objects import Objects

TAKE_OVER_S = 10.0  # longer than the work that is done under a mark
WAIT_S = 15.0  # for the mark
_POLL_S = 0.05
_MARK = "mark"


def unmarked(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an object keeps of ours, without the mark."""
    return {key: value for key, value in system.items() if key != _MARK}


class _Changed(Exception):
    """The object is not what was marked."""


@dataclass(slots=True)
class Mark:
    """Ours, on `name`."""

    objects: Objects
    name: ObjectName
    token: bytes
    ended: bool = False

    async def end(self) -> None:
        """Delete the marked object. Raise NameContended when somebody has taken over."""

        try:
            await self.objects.delete(self.name, self._ours)
        except _Changed:
            raise NameContended("somebody else has taken over") from None
        self.ended = True

    def _ours(self, current: ObjectInfo | None) -> None:
        if current is None or current.metadata.system.get(_MARK) != self.token:
            raise _Changed


@asynccontextmanager
async def marked(objects: Objects, name: ObjectName, absent: Exception) -> AsyncIterator[Mark]:
    """Have the object `name` marked within the block. Raise `absent` when it is not there.

    The block ends the mark with the object, by `Mark.end`; else the object stays, unmarked.
    """
    mark = Mark(objects, name, os.urandom(8))
    await _put(mark, absent)
    try:
        yield mark
    finally:
        if not mark.ended:
            with suppress(_Changed, Unavailable):
                await _write(mark, await objects.find(name), b"")


async def _put(mark: Mark, absent: Exception) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_S
    seen: tuple[bytes, float] | None = None
    while True:
        current = await mark.objects.find(mark.name)
        if current is None:
            raise absent
        token = current.metadata.system.get(_MARK, b"")
        if seen is None or seen[0] != token:
            seen = token, loop.time()
        if not token or loop.time() - seen[1] > TAKE_OVER_S:
            with suppress(_Changed):
                await _write(mark, current, mark.token)
                return
        elif loop.time() > deadline:
            raise NameContended("others are at it, one after the other")
        else:
            await asyncio.sleep(_POLL_S)


async def _write(mark: Mark, current: ObjectInfo | None, token: bytes) -> None:
    """Put `token` on the object if it is `current` still."""
    if current is None:
        raise _Changed

    def unchanged(found: ObjectInfo | None) -> None:
        if found is None or found.metadata.system.get(_MARK, b"") != current.metadata.system.get(_MARK, b""):
            raise _Changed

    if not token:
        mark._ours(current)
    metadata = current.metadata
    system = unmarked(metadata.system)
    if token:
        system[_MARK] = token
    again = NewObject(
        metadata.content_type,
        metadata.headers,
        metadata.user,
        system,
        metadata.row,
        etag=metadata.etag,
        condition=unchanged,
        modified_us=metadata.modified_us,
    )
    await mark.objects.put_bytes(mark.name, b"", again, 0, metadata.size)
