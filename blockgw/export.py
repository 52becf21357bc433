"""An open volume, or a snapshot of one, as the NBD server serves it."""

from collections.abc import Awaitable, Sequence

from blockgw.errors import InvalidRequest, NotPermitted, NotSupported
from blockgw.extents import pieces
from blockgw.interfaces import BlockSizes, Extent, Pieces
from blockgw.volumes.volume import OpenVolume

ALLOCATION = "base:allocation"
_HOLE, _ZERO = 1, 2  # NBD_STATE_HOLE, NBD_STATE_ZERO


class VolumeExport:
    """Blocks of a volume. All connections of one volume share it, so a flush of any covers the writes of all."""

    block_sizes = BlockSizes()
    multi_conn = True
    contexts: Sequence[str] = (ALLOCATION,)

    def __init__(self, name: str, size: int, volume: OpenVolume, read_only: bool, description: str = "") -> None:
        self.name = name
        self.size = size
        self.volume = volume
        self.read_only = read_only
        self.description = description

    def __repr__(self) -> str:
        return f"VolumeExport({self.name}, {self.size} bytes{', read-only' if self.read_only else ''})"

    def read(self, offset: int, length: int) -> Awaitable[Pieces]:
        """Return `length` bytes."""
        return self.volume.read(offset, length)

    def write(self, offset: int, data: memoryview, fua: bool) -> Awaitable[object]:
        """Write; done when a quorum has it, with `fua` durably."""
        self._require_writable()
        return self.volume.write(offset, data, fua)

    def write_zeroes(self, offset: int, length: int, fua: bool, may_trim: bool, fast: bool) -> Awaitable[object]:
        """Have a range read as zeros."""
        self._require_writable()
        if fast and not may_trim:
            raise NotSupported("zeros that keep their space are written")
        return self.volume.zero(offset, length, fua, trim=may_trim)

    def trim(self, offset: int, length: int, fua: bool) -> Awaitable[object]:
        """Give space back."""
        self._require_writable()
        return self.volume.zero(offset, length, fua, trim=True)

    def flush(self) -> Awaitable[object]:
        """Make durable what was answered."""
        return self.volume.flush()

    async def cache(self, offset: int, length: int) -> None:
        """Expect reads: find out where the chunks are."""
        for piece in pieces(offset, length):
            await self.volume.ensure(self.volume.chunk(piece.chunk))

    async def block_status(self, context: str, offset: int, length: int) -> Sequence[Extent]:
        """Return where data are, and where holes: a hole reads as zeros."""
        if context != ALLOCATION:
            raise InvalidRequest(f"there is no context {context}")
        found: list[Extent] = []
        for piece in pieces(offset, length):
            for size, data in await self.volume.allocation(piece):
                found.append((size, 0 if data else _HOLE | _ZERO))
        return _merged(found)

    def _require_writable(self) -> None:
        if self.read_only:
            raise NotPermitted(f"{self.name} is read-only")


def _merged(extents: Sequence[Extent]) -> list[Extent]:
    merged: list[Extent] = []
    for size, flags in extents:
        if merged and merged[-1][1] == flags:
            merged[-1] = (merged[-1][0] + size, flags)
        else:
            merged.append((size, flags))
    return merged
