"""What was written to since a snapshot, as a metadata context of NBD: by whole chunks."""

from collections.abc import Callable, Sequence

from blockgw.catalog.errors import NoSuchSnapshot
from blockgw.catalog.volume import Volume
from blockgw.errors import InvalidRequest
from blockgw.extents import CHUNK
from blockgw.interfaces import Extent
from blockgw.inventory import Inventory, between
from blockgw.nbd.contexts import DIRTY, DIRTY_SINCE
from blockgw.nbd.extents import add
from storage.client import Placement

SPAN = 16_384 * CHUNK  # bytes that one answer is about; clients ask on behind them


def contexts_of(about: Volume) -> list[str]:
    """Return the names of the contexts of a volume, and of its snapshots: one for each snapshot."""
    return [DIRTY_SINCE + snapshot.name for snapshot in about.snapshots]


class DirtySince:
    """Of one export."""

    def __init__(self, placement: Placement, about: Callable[[], Volume], chain: Callable[[], Sequence[int]]) -> None:
        """`about` gives the volume as it is now, `chain` the layers that the export reads through."""
        self._placement = placement
        self._about = about
        self._chain = chain

    def contexts(self) -> list[str]:
        """Return their names."""
        return contexts_of(self._about())

    async def status(self, snapshot: str, offset: int, length: int) -> list[Extent]:
        """Return extents that cover the range, or its first SPAN bytes: DIRTY, or 0.

        Raise InvalidRequest, VolumeError.
        """
        length = min(length, SPAN)
        about = self._about()
        try:
            since = about.snapshot(snapshot).chain
        except NoSuchSnapshot as error:
            raise InvalidRequest(str(error)) from error
        dirty = await self._chunks(about.family, between(self._chain(), since), offset, offset + length)
        found: list[Extent] = []
        position, end = offset, offset + length
        for number in dirty:
            start = max(number * CHUNK, position)
            if start > position:
                add(found, start - position, 0)
            position = min((number + 1) * CHUNK, end)
            add(found, position - start, DIRTY)
        if position < end:
            add(found, end - position, 0)
        return found

    async def _chunks(self, family: str, layers: Sequence[int], start: int, end: int) -> list[int]:
        """Return the chunks between two offsets that any of the layers has."""
        numbers: list[int] = []
        last = (end - 1) // CHUNK
        async for rows in Inventory(self._placement, bytes.fromhex(family)).pages(layers, start // CHUNK):
            numbers += [row.number for row in rows if row.number <= last]
            if rows and rows[-1].number > last:
                break
        return numbers
