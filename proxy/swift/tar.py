"""Tar archives as they come in: plain, gzip or bzip2 -> files and their bytes, without a seek or a copy on disk.

Headers are read by the standard library's `tarfile`; the stream around them is ours, because `tarfile` blocks.
GNU long names and pax attributes are understood (POSIX.1-2001, "pax Interchange Format"); whatever
is no regular file is passed over.
"""

import asyncio
import bz2
import tarfile
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.http.message import Body, Buffer

COMPRESSIONS = {"tar": "", "tar.gz": "gz", "tar.bz2": "bz2"}

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1 << 16  # bytes decompressed at a time: the event loop waits for them
_MAX_ATTRIBUTES = 1 << 20  # bytes of a long name, or of pax attributes: of one header, and of all that count for a file
_MAX_RECORDS = 1000  # pax attributes that count for a file
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class BadArchive(Exception):
    """What came is no tar archive, or only the beginning of one."""


class _Decompressor(Protocol):
    """The interface of `bz2.BZ2Decompressor`."""

    @property
    def needs_input(self) -> bool: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int) -> bytes: ...


class _Gzip:
    """The same for gzip."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: Buffer, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + bytes(data), max_length)


_DECOMPRESSORS: Mapping[str, Callable[[], _Decompressor]] = {"gz": _Gzip, "bz2": bz2.BZ2Decompressor}


class Stream:
    """The bytes of the archive, decompressed; several compressed streams in a row count as one."""

    def __init__(self, body: Body, compression: str) -> None:
        self._body = body
        self._new_decompressor = _DECOMPRESSORS.get(compression)
        self._decompressor = self._new_decompressor and self._new_decompressor()
        self._piece = memoryview(b"")

    async def read_some(self, limit: int) -> memoryview:
        """Return up to `limit` bytes, none at the end."""
        if not self._piece:
            self._piece = memoryview(await self._next())
        found, self._piece = self._piece[:limit], self._piece[limit:]
        return found

    async def _next(self) -> Buffer:
        if self._decompressor is None or self._new_decompressor is None:
            return await self._body.read()
        piece = b""
        while not piece:
            data: Buffer = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data or await self._body.read()
                if not data:
                    return b""
                self._decompressor = self._new_decompressor()
            elif self._decompressor.needs_input:
                data = await self._body.read()
                if not data:
                    raise BadArchive("unexpected end of data")
            try:
                piece = self._decompressor.decompress(data, _PIECE)
            except (zlib.error, OSError) as error:
                raise BadArchive(str(error)) from None
            await asyncio.sleep(0)  # one piece of a body may become a thousand of these, and nothing else waits
        return piece

    async def read_exactly(self, count: int) -> bytes:
        """Return `count` bytes. Raise BadArchive when there are fewer, but for none at all."""
        found = bytearray()
        while len(found) < count:
            piece = await self.read_some(count - len(found))
            if not piece:
                if found:
                    raise BadArchive("unexpected end of data")
                break
            found += piece
        return bytes(found)

    async def skip(self, count: int) -> None:
        """Pass over `count` bytes. Raise BadArchive when there are fewer."""
        while count:
            piece = await self.read_some(count)
            if not piece:
                raise BadArchive("unexpected end of data")
            count -= len(piece)


@dataclass(slots=True, eq=False)
class Member:
    """A file of the archive; its bytes are read as a request's body is."""

    name: str
    size: int
    attributes: Mapping[str, str]
    _stream: Stream
    left: int

    @property
    def length(self) -> int | None:
        """Return the file's size."""
        return self.size

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end. Raise BadArchive when the archive ends before."""
        if not self.left:
            return b""
        piece = await self._stream.read_some(self.left)
        if not piece:
            raise BadArchive("unexpected end of data")
        self.left -= len(piece)
        return piece


async def files(stream: Stream) -> AsyncGenerator[Member, None]:
    """Yield the regular files of an archive; what is not read of one is passed over."""
    everywhere: dict[str, str] = {}
    own: dict[str, str] = {}
    while (header := await _header(stream)) is not None:
        kind, size = header.type, header.size
        if kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE):
            _add(everywhere if kind == tarfile.XGLTYPE else own, _attributes(await _content(stream, size)))
            continue
        if kind == tarfile.GNUTYPE_LONGNAME:
            own["path"] = (await _content(stream, size)).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            continue
        attributes = {**everywhere, **own}
        own = {}
        size = _size(attributes, size)
        member = Member(attributes.get("path", header.name), size, attributes, stream, size)
        if kind in _FILES:
            yield member
        await stream.skip(member.left + -size % _BLOCK)


async def _header(stream: Stream) -> tarfile.TarInfo | None:
    """Return the next header, None at the end of the archive."""
    block = await stream.read_exactly(_BLOCK)
    if not block:
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if block.count(0) == _BLOCK:
            return None
        raise BadArchive(str(error)) from None


async def _content(stream: Stream, size: int) -> bytes:
    """Return the content of a header's extension."""
    if size > _MAX_ATTRIBUTES:
        raise BadArchive("attributes are too long")
    content = await stream.read_exactly(size + -size % _BLOCK)
    return content[:size]


def _attributes(content: bytes) -> dict[str, str]:
    """Return pax records: "LENGTH KEY=VALUE\\n", LENGTH in decimal and counting all of the record."""
    found = {}
    position = 0
    while position < len(content):
        digits = content[position : position + 20].split(b" ", 1)[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[position + len(digits) + 1 : position + length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not equals or position + length > len(content):
            raise BadArchive("invalid attributes")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        position += length
    return found


def _add(attributes: dict[str, str], more: Mapping[str, str]) -> None:
    """Add pax records to those that are known. Raise BadArchive when they grow without an end."""
    attributes.update(more)
    if len(attributes) > _MAX_RECORDS or sum(map(len, attributes.values())) > _MAX_ATTRIBUTES:
        raise BadArchive("too many attributes")


def _size(attributes: Mapping[str, str], size: int) -> int:
    """Return the size that counts: the attributes', for files too large for the header."""
    told = attributes.get("size", "")
    if told.isascii() and told.isdigit() and len(told) < 20:
        size = int(told)
    if size < 0:
        raise BadArchive("negative size")
    return size
