"""Bodies of several parts, as browsers send forms (multipart/form-data): part after part, none of them held.

Source: RFC 7578; RFC 2046, §5.1.1. A part is read before the next one is asked for; what is left of it is skipped.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from proxy.http.message import Body, Buffer

_MAX_HEAD = 8 * 1024  # bytes of one part's header
_BOUNDARY = re.compile(r'multipart/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([\w*-]+)=(?:"([^"]*)"|([^";\s]*))')


class BadForm(Exception):
    """The body is not what its Content-Type says."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its header fields by their names in lower case, and its bytes, which are still to come."""

    fields: Mapping[str, str]
    body: Body

    @property
    def parameters(self) -> Mapping[str, str]:
        """What Content-Disposition says of a field of a form (name, filename); nothing of anything else."""
        kind, semicolon, rest = self.fields.get("content-disposition", "").partition(";")
        if kind.strip().lower() != "form-data":
            return {}
        found = _PARAMETER.finditer(semicolon + rest)
        return {match[1].lower(): match[2] if match[2] is not None else match[3] for match in found}


def boundary_of(content_type: str) -> str | None:
    """Return the boundary of a form, None of anything else."""
    match = _BOUNDARY.match(content_type)
    return None if match is None else match[1] or match[2]


async def read_parts(body: Body, boundary: str) -> AsyncGenerator[Part, None]:
    """Yield the parts. Raise BadForm when there is something else."""
    received = _Received(body, b"\r\n--" + boundary.encode("latin-1"))
    await received.skip_start()
    while await received.begins_part():
        content = _PartBody(received)
        yield Part(_fields(await received.take_until(b"\r\n\r\n", _MAX_HEAD)), content)
        while await content.read():
            pass


def _fields(head: bytes) -> dict[str, str]:
    try:
        lines = head.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines if line]
    return {name.strip().lower(): value.strip() for name, _colon, value in pairs}


class _Received:
    """The body, and what has been received of it and not been used."""

    def __init__(self, body: Body, delimiter: bytes) -> None:
        self.delimiter = delimiter
        self.data = bytearray(b"\r\n")  # a form may begin with a boundary: as if a line had ended before
        self._body = body

    async def fill(self) -> None:
        """Receive more. Raise BadForm when there is no more."""
        piece = await self._body.read()
        if not piece:
            raise BadForm("the form has no end")
        self.data += piece

    async def take(self, count: int) -> bytes:
        """Return the next bytes, which are gone from here."""
        while len(self.data) < count:
            await self.fill()
        found = bytes(self.data[:count])
        del self.data[:count]
        return found

    async def skip_start(self) -> None:
        """Skip blank lines, and the first boundary behind them."""
        wanted = self.delimiter
        while (found := await self.take(len(wanted))) != wanted:
            if not found.startswith(b"\r\n\r\n"):
                raise BadForm("invalid starting boundary")
            self.data[:0] = found[2:]

    async def begins_part(self) -> bool:
        """Tell whether the boundary that was just passed begins a part, and is not the last."""
        end = await self.take(2)
        if end == b"--":
            return False
        if end != b"\r\n":
            raise BadForm("invalid boundary")
        self.data[:0] = end  # a part without a header begins with an empty line
        return True

    async def take_until(self, mark: bytes, limit: int) -> bytes:
        """Return the bytes before `mark`, which is skipped. Raise BadForm when there are more than `limit`."""
        while (at := self.data.find(mark)) < 0 and len(self.data) <= limit:
            await self.fill()
        if at < 0 or at > limit:
            raise BadForm("the header of a part is too long")
        found = bytes(self.data[:at])
        del self.data[: at + len(mark)]
        return found


class _PartBody:
    """The bytes of a part, which ends where the boundary stands."""

    length: int | None = None

    def __init__(self, received: _Received) -> None:
        self._received = received
        self._ended = False

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end. Raise BadForm when the form ends within the part."""
        delimiter, data = self._received.delimiter, self._received.data
        while not self._ended:
            at = data.find(delimiter)
            self._ended = at >= 0
            end = at if self._ended else len(data) - len(delimiter) + 1  # the rest may begin a boundary
            if end > 0:
                piece = bytes(memoryview(data)[:end])
                del data[: end + (len(delimiter) if self._ended else 0)]
                return piece
            if self._ended:
                del data[: len(delimiter)]
            else:
                await self._received.fill()
        return b""
