"""Zeroing a range of very many chunks, most of which there are not: a discard of a whole sparse volume, say.

A chunk that is in no layer reads as zeros already, so nothing is sent for it. That there is none is taken from what
devices list (blockgw.inventory), and only when all of them have answered: what a writer before us has left on a few
replicas would be found later, and must be zeroed, too. If somebody is away each chunk is looked at by itself, a bounded
number at a time. A write that is asked for while this is under way comes before or after it, as NBD has it.
"""

import asyncio
from collections.abc import Sequence

from blockgw.extents import CHUNK
from blockgw.inventory import Inventory
from blockgw.volumes.volume import OpenVolume
from storage.client import Placement

WIDE = 64 * CHUNK  # bytes: from here on it is worth asking what there is
WINDOW = 32  # chunks under way


class WideZero:
    """Of one volume."""

    def __init__(self, placement: Placement, family: str, volume: OpenVolume) -> None:
        self._placement = placement
        self._family = bytes.fromhex(family)
        self._volume = volume

    async def zero(self, offset: int, length: int, fua: bool, trim: bool) -> None:
        """Have a range read as zeros. Raise VolumeError."""
        end = offset + length
        first, last = offset // CHUNK, -(-end // CHUNK)
        inventory = Inventory(self._placement, self._family)
        at = first
        async for rows in inventory.pages(self._volume.chain, first):
            numbers = [row.number for row in rows if row.number < last]
            if not inventory.unanimous:
                break
            await self._zero(numbers, offset, end, fua, trim)
            at = max(at, numbers[-1] + 1) if numbers else at
            if len(numbers) < len(rows):
                return
        else:
            return
        await self._zero(range(at, last), offset, end, fua, trim)

    async def _zero(self, numbers: Sequence[int], start: int, end: int, fua: bool, trim: bool) -> None:
        """Zero what is between two offsets of some chunks."""
        for at in range(0, len(numbers), WINDOW):
            spans = [
                (max(number * CHUNK, start), min((number + 1) * CHUNK, end)) for number in numbers[at : at + WINDOW]
            ]
            await asyncio.gather(*(self._volume.zero(begin, stop - begin, fua, trim) for begin, stop in spans))
