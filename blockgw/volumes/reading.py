"""Reads of an open volume: from a file of this host, from the cache, or from a replica that has what was acknowledged.

A chunk is *at rest* when nothing is on its way into it. Nobody but its volume's gateway changes it then, as long as the
right to write is certain; so what a file of a replica on this host was told to hold, or what was read of such a chunk
once, is what is there. A write takes both away before it is sent, for the range that it changes (cache) or the whole
chunk (file); so does finding out anew what is there, and a replica that has missed something. Where the right to write
is not certain, a quorum is asked first: it knows if somebody else has opened the volume, one replica may not.

At every await: the chunk may have been written, found anew, or be lost to us. What comes back is given to who asked,
for whom all that is at the same time; it is kept only when the chunk was at rest before and after, at one version.
"""

import asyncio
from typing import Protocol

from blockgw.errors import VolumeError
from blockgw.extents import CHUNK, Piece
from blockgw.interfaces import Pieces
from blockgw.volumes.cache import BLOCK, ReadCache
from blockgw.volumes.chunk import Chunk
from blockgw.volumes.readahead import ReadAhead
from blockgw.volumes.replica import Replica, ReplicaStale, ReplicaUnavailable, Source

PATIENCE_S = 30.0  # for a replica, before a client is told EIO
RETRY_S = 0.05


class NoReplica(VolumeError):
    """No replica of a chunk could be read for too long."""


class Owner(Protocol):
    """The volume."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def layer(self) -> int: ...
    @property
    def is_ours(self) -> bool:
        """Whether nobody else can have the right to write."""

    def check(self) -> None: ...
    async def ensure(self, chunk: Chunk) -> None: ...
    async def reopen(self, chunk: Chunk) -> None: ...
    def missed(self, chunk: Chunk, device: int) -> None: ...


class Reader:
    """Of one volume."""

    def __init__(self, owner: Owner, cache: ReadCache | None) -> None:
        self._owner = owner
        self._cache = ReadCache(0) if cache is None else cache
        self._read_ahead = ReadAhead()

    def from_file(self, chunk: Chunk, start: int, length: int) -> Pieces | None:
        """Read from a file of this host, at once; None when that cannot be."""
        if chunk.file is None or not self._owner.is_ours:
            return None
        found = chunk.file.read(start, length)
        if found is not None:
            return (found,)
        if not chunk.file.is_open:
            chunk.file = None
        return None

    def will_change(self, chunk: Chunk, start: int, length: int) -> None:
        """Forget a range that is about to be written."""
        self._cache.drop(chunk.content, start, length)

    async def read(self, chunk: Chunk, piece: Piece) -> Pieces:
        """Read a part of a chunk, whatever replica has it. Raise NoReplica."""
        deadline = self._owner.loop.time() + PATIENCE_S
        while True:
            if not self._owner.is_ours:
                await self._owner.reopen(chunk)
            elif not chunk.known or not chunk.members.reached(chunk.current):
                await self._owner.ensure(chunk)
            if chunk.empty:
                return (piece.length,)
            found = await self._near(chunk, piece)
            if found is not None:
                return found
            source = chunk.source(self._owner.layer)
            for device in sorted(filter(chunk.readable, chunk.current), key=lambda each: each != chunk.preferred):
                replica = chunk.members.replicas.get(device)
                if replica is None:
                    continue  # the rings have changed since the one before was asked
                try:
                    return await self._far(chunk, replica, source, piece)
                except (ReplicaUnavailable, ReplicaStale):
                    self._owner.missed(chunk, device)
            self._owner.check()
            if self._owner.loop.time() > deadline:
                raise NoReplica(f"no replica of chunk {chunk.number} answers")
            await asyncio.sleep(RETRY_S)

    async def _near(self, chunk: Chunk, piece: Piece) -> Pieces | None:
        """Read from this host's replica, if there is one that is current; later from its file, if it rests."""
        near = chunk.members.near
        if near is None or not chunk.readable(near.device):
            return None
        found = self.from_file(chunk, piece.start, piece.length)
        if found is not None:
            return found
        source = chunk.source(self._owner.layer)
        try:
            pieces, at_rest = await near.read(chunk.number, source, piece.start, piece.length)
        except (ReplicaUnavailable, ReplicaStale):
            self._owner.missed(chunk, near.device)
            return None
        if at_rest and chunk.file is None and self._is_at_rest(chunk, source) and chunk.readable(near.device):
            chunk.file = near.open(chunk.number, source)
        return pieces

    async def _far(self, chunk: Chunk, replica: Replica, source: Source, piece: Piece) -> Pieces:
        """Read from the cache or a replica: of a chunk at rest whole blocks, and more of what is read in order."""
        _number, start, length, _position = piece
        if not self._cache.limit or not self._owner.is_ours or not self._is_at_rest(chunk, source):
            return await replica.read(chunk.number, source, start, length)
        ahead = self._read_ahead.ahead(chunk.number * CHUNK + start, length)
        content, end = chunk.content, start + length
        cached = self._cache.find(content, start, length)
        if cached is not None:
            return cached
        first, last = start // BLOCK * BLOCK, min(-(-(end + ahead) // BLOCK) * BLOCK, CHUNK)
        (data,) = await replica.read(chunk.number, source, first, last - first)
        if isinstance(data, int):
            return (length,)
        if content is chunk.content and self._is_at_rest(chunk, source):
            self._cache.add(content, first, data)
        return (memoryview(data)[start - first : end - first],)

    def _is_at_rest(self, chunk: Chunk, source: Source) -> bool:
        """Tell whether a chunk's bytes are what `source` says, and nothing is on its way into it."""
        is_written = chunk.version != chunk.acknowledged or chunk.busy
        return not is_written and chunk.source(self._owner.layer) == source
