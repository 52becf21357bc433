"""A volume, or a snapshot of one, as the NBD server shows it, and, when it is open, serves it."""

from collections.abc import Awaitable, Sequence

from blockgw.catalog.volume import Snapshot, Volume
from blockgw.dirty import DirtySince, contexts_of
from blockgw.encryption import SECTOR, SectorCipher
from blockgw.errors import InvalidRequest, NotPermitted, NotSupported
from blockgw.extents import CHUNK, pieces
from blockgw.interfaces import BlockSizes, Description, Extent, Pieces
from blockgw.nbd.contexts import BASE_ALLOCATION, DIRTY_SINCE, HOLE, ZERO
from blockgw.nbd.extents import EXTENTS_LIMIT, add
from blockgw.throttle import Throttle
from blockgw.volumes.volume import OpenVolume
from blockgw.wide import WIDE, WideZero

LOOK = 1024 * CHUNK  # bytes that are looked at for one request, chunk by chunk; clients ask on behind them


def description_of(about: Volume, snapshot: Snapshot | None = None) -> Description:
    """Return what clients are told of a volume, or of a snapshot of it. Of an encrypted one they use whole sectors."""
    return Description(
        about.name if snapshot is None else f"{about.name}@{snapshot.name}",
        about.size if snapshot is None else snapshot.size,
        snapshot is not None,
        about.description,
        BlockSizes(minimum=SECTOR) if about.key else BlockSizes(),
        True,
        (BASE_ALLOCATION, *contexts_of(about)),
    )


class VolumeExport:
    """Blocks of a volume. All connections of one volume share it, so a flush of any covers the writes of all."""

    def __init__(self, told: Description, volume: OpenVolume, cipher: SectorCipher | None = None) -> None:
        """`told` is what clients are told of it; `cipher`: of an encrypted volume."""
        self.name, self.size, self.read_only = told.name, told.size, told.read_only
        self.description, self.block_sizes, self.multi_conn = told.description, told.block_sizes, told.multi_conn
        self.volume = volume
        self._cipher = cipher
        self.throttle: Throttle | None = None
        self.dirty: DirtySince | None = None
        self.wide: WideZero | None = None

    def __repr__(self) -> str:
        return f"VolumeExport({self.name}, {self.size} bytes{', read-only' if self.read_only else ''})"

    def read(self, offset: int, length: int) -> Pieces | Awaitable[Pieces]:
        """Return `length` bytes."""
        if self.throttle is None:
            return self._read(offset, length)
        found: Pieces | Awaitable[Pieces] = self.throttle.read(length, lambda: self._read(offset, length))
        return found

    def _read(self, offset: int, length: int) -> Pieces | Awaitable[Pieces]:
        found = self.volume.read_now(offset, length)
        if self._cipher is None:
            return found or self.volume.read(offset, length)
        if found:
            return self._cipher.decrypted(offset, found)
        return self._cipher.read(offset, self.volume.read(offset, length))

    def write(self, offset: int, data: memoryview, fua: bool) -> Awaitable[object]:
        """Write; done when a quorum has it, with `fua` durably."""
        self._require_writable()
        if self._cipher is not None:
            data = self._cipher.encrypted(offset, data)
        if self.throttle is None:
            return self.volume.write(offset, data, fua)
        return self.throttle.write(len(data), lambda: self.volume.write(offset, data, fua))

    def write_zeroes(self, offset: int, length: int, fua: bool, may_trim: bool, fast: bool) -> Awaitable[object]:
        """Have a range read as zeros."""
        self._require_writable()
        if fast and not may_trim:
            raise NotSupported("zeros that keep their space are written")
        return self._zero(offset, length, fua, may_trim)

    def trim(self, offset: int, length: int, fua: bool) -> Awaitable[object]:
        """Give space back."""
        self._require_writable()
        return self._zero(offset, length, fua, True)

    def _zero(self, offset: int, length: int, fua: bool, trim: bool) -> Awaitable[object]:
        """Zeros cost a request, and no bytes."""
        zero = self.volume.zero if self.wide is None or length < WIDE else self.wide.zero
        if self.throttle is None:
            return zero(offset, length, fua, trim)
        return self.throttle.write(0, lambda: zero(offset, length, fua, trim))

    def flush(self) -> Awaitable[object]:
        """Make durable what was answered."""
        return self.volume.flush()

    async def cache(self, offset: int, length: int) -> None:
        """Expect reads: find out where the chunks are."""
        for piece in pieces(offset, min(length, LOOK)):
            await self.volume.ensure(self.volume.chunk(piece.chunk))

    async def block_status(self, context: str, offset: int, length: int) -> Sequence[Extent]:
        """Return where data are, and where holes: a hole reads as zeros. At most of LOOK bytes, and few more extents
        than an answer has room for.
        """
        if context.startswith(DIRTY_SINCE) and self.dirty is not None:
            return await self.dirty.status(context.removeprefix(DIRTY_SINCE), offset, length)
        if context != BASE_ALLOCATION:
            raise InvalidRequest(f"there is no context {context}")
        found: list[Extent] = []
        for piece in pieces(offset, min(length, LOOK)):
            for size, data in await self.volume.allocation(piece):
                add(found, size, 0 if data else HOLE | ZERO)
            if len(found) > EXTENTS_LIMIT:
                break
        return found

    @property
    def contexts(self) -> Sequence[str]:
        """Where data are; and what was written to since each snapshot."""
        return (BASE_ALLOCATION, *(() if self.dirty is None else self.dirty.contexts()))

    def _require_writable(self) -> None:
        if self.read_only:
            raise NotPermitted(f"{self.name} is read-only")
