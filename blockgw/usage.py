"""What volumes take up, and where two snapshots differ, at the cost of the chunks that exist, or were changed."""

from collections.abc import AsyncGenerator, Awaitable, Iterator, Sequence
from dataclasses import dataclass

from blockgw.catalog.family import Family
from blockgw.catalog.volume import Volume
from blockgw.errors import VolumeError
from blockgw.extents import CHUNK, chunk_count
from blockgw.holding import Holder
from blockgw.interfaces import Client, Export
from blockgw.inventory import Inventory, Row, between

SECTOR = 512  # differences are told by multiples of it
_STRIDE = 64 * 1024  # compared at a time, before it is looked at by sectors
_OURSELVES = Client("")
Difference = tuple[int, Sequence[tuple[int, int]]]  # a chunk, and the (offset, length) in the volume that differ


@dataclass(slots=True)
class Share:
    """What belongs to a snapshot, to the volume as it is now, or to the parent of a clone."""

    snapshot: str | None  # None: the volume, or its parent
    inherited: bool = False
    chunks: int = 0
    data: int = 0  # bytes of one replica
    stored: int = 0  # bytes of all replicas that could be asked

    def add(self, row: Row, layers: Sequence[int]) -> None:
        """Count a chunk."""
        for layer in layers:
            held = row.layers.get(layer)
            if held is not None:
                self.chunks += 1
                self.data += held.data
                self.stored += held.stored


async def of_volume(gateway: Holder, name: str) -> list[Share]:
    """Return what a volume takes up: by snapshot from the oldest on, by itself, and shared with its parent.

    A layer is counted once: for the oldest snapshot that reads it. Raise CatalogError, VolumeError.
    """
    about = await gateway.catalog(lambda catalog: catalog.find(name))
    owned = _owned(about, await gateway.catalog(lambda catalog: catalog.family(about.family)))
    layers = [layer for _share, each in owned for layer in each]
    async for rows in Inventory(gateway.placement, bytes.fromhex(about.family)).pages(layers):
        for row in rows:
            for share, each in owned:
                share.add(row, each)
    return [share for share, _layers in owned]


def _owned(about: Volume, family: Family) -> list[tuple[Share, list[int]]]:
    """Return whose the layers of a volume are."""
    foreign = family.inherited(about)
    left = {layer for chain in about.chains for layer in chain} - foreign
    owned = []
    for snapshot in about.snapshots:
        own = [layer for layer in snapshot.chain if layer in left]
        left -= set(own)
        owned.append((Share(snapshot.name), own))
    owned.append((Share(None), sorted(left)))
    if foreign:
        owned.append((Share(None, inherited=True), sorted(foreign)))
    return owned


async def changed(
    gateway: Holder, name: str, snapshot: str | None, since: str | None, first: int
) -> AsyncGenerator[Sequence[int], None]:
    """See Gateway.changed."""
    about = await gateway.catalog(lambda catalog: catalog.find(name))
    now = about if snapshot is None else about.snapshot(snapshot)
    end = chunk_count(now.size)
    layers = between(now.chain, None if since is None else about.snapshot(since).chain)
    async for rows in Inventory(gateway.placement, bytes.fromhex(about.family)).pages(layers, first):
        yield [row.number for row in rows if row.number < end]
        if rows and rows[-1].number >= end:
            return


async def diff(
    gateway: Holder, name: str, snapshot: str, other: str | None, fast: bool, first: int
) -> AsyncGenerator[Difference, None]:
    """See Gateway.diff. Differences are told by sectors."""
    exports: list[Export] = []
    try:
        for each in (snapshot, other):
            exports.append(await gateway.open(name if each is None else f"{name}@{each}", _OURSELVES))
        end = min(export.size for export in exports)
        async for numbers in changed(gateway, name, other, snapshot, first):
            for number in numbers:
                start, length = number * CHUNK, min(CHUNK, end - number * CHUNK)
                if length <= 0:
                    return
                if fast:
                    yield number, ((start, length),)
                    continue
                one, two = [await _content(export, start, length) for export in exports]
                yield number, [(start + at, size) for at, size in unequal(one, two)]
    finally:
        for export in exports:
            gateway.release(export)


async def _content(export: Export, offset: int, length: int) -> bytes:
    found = export.read(offset, length)
    pieces = await found if isinstance(found, Awaitable) else found
    content = b"".join([bytes(piece) for piece in pieces])  # a number is as many zeros
    if len(content) != length:
        raise VolumeError(f"{len(content)} bytes were read instead of {length}")
    return content


def unequal(one: bytes, other: bytes) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of the parts that differ, by sectors, in order and apart."""
    begin: int | None = None
    for stride in range(0, len(one), _STRIDE):
        same = one[stride : stride + _STRIDE] == other[stride : stride + _STRIDE]
        for start in (stride,) if same else range(stride, min(stride + _STRIDE, len(one)), SECTOR):
            if same or one[start : start + SECTOR] == other[start : start + SECTOR]:
                if begin is not None:
                    yield begin, start - begin
                    begin = None
            elif begin is None:
                begin = start
    if begin is not None:
        yield begin, len(one) - begin
