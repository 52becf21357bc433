"""Forms that browsers send (multipart/form-data): the fields before the file, then the file as it comes in.

Source: RFC 7578, RFC 2046 §5.1.1; Amazon S3 API Reference, "POST Object": the file is the last field, what follows it
is ignored. Fields are read whole and are small; the file is never held.
"""

import re
from dataclasses import dataclass

from proxy.http.message import Body, Buffer
from proxy.s3.errors import S3Error

MAX_FIELDS_SIZE = 64 * 1024  # bytes of all fields before the file; AWS takes 20 KB
_MAX_HEAD = 8 * 1024  # bytes of one field's header
_MAX_PADDING = 256  # bytes of blanks behind a boundary
_FILE = "file"

_BOUNDARY = re.compile(r'multipart/form-data\s*;.*\bboundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_NAME = re.compile(r';\s*name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILE_NAME = re.compile(r';\s*filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_DISPOSITION = re.compile(r"content-disposition:\s*form-data(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields by their names in lower case, and the file, whose bytes are still to come."""

    fields: dict[str, str]
    file_name: str
    file: Body


def boundary_of(content_type: str) -> str | None:
    """Return the boundary of a form, None of anything else."""
    match = _BOUNDARY.match(content_type)
    return None if match is None else match[1] or match[2]


async def read_form(body: Body, boundary: str) -> Form:
    """Read a form up to its file. Raise S3Error when it is none, has no file, or is too large."""
    parts = _Parts(body, boundary)
    fields: dict[str, str] = {}
    size = 0
    await parts.until(parts.delimiter, MAX_FIELDS_SIZE)
    while True:
        name, file_name = await parts.next_head()
        if name == _FILE:
            return Form(fields, file_name, _File(parts))
        value = await parts.until(parts.delimiter, MAX_FIELDS_SIZE)
        size += len(name) + len(value)
        if size > MAX_FIELDS_SIZE:
            raise S3Error("MaxPostPreDataLengthExceededError")
        if name in fields:
            raise malformed()
        fields[name] = _text(value)


def malformed() -> S3Error:
    """Return the error for a body that is no form."""
    return S3Error("MalformedPOSTRequest")


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed() from None


class _Parts:
    """The body, and what has been received of it and not been used."""

    def __init__(self, body: Body, boundary: str) -> None:
        self.delimiter = b"\r\n--" + boundary.encode("latin-1")
        self.received = bytearray(b"\r\n")  # a form may begin with a boundary: as if a line had ended before
        self._body = body

    async def fill(self) -> None:
        """Receive more. Raise S3Error when there is no more."""
        piece = await self._body.read()
        if not piece:
            raise malformed()
        self.received += piece

    async def until(self, mark: bytes, limit: int) -> bytes:
        """Return the bytes before `mark`, which is skipped. Raise S3Error when there are more than `limit`."""
        searched = 0
        while (at := self.received.find(mark, searched)) < 0:
            searched = max(0, len(self.received) - len(mark) + 1)
            if searched > limit:
                break
            await self.fill()
        if at < 0 or at > limit:
            raise S3Error("MaxPostPreDataLengthExceededError")
        found = bytes(memoryview(self.received)[:at])
        del self.received[: at + len(mark)]
        return found

    async def next_head(self) -> tuple[str, str]:
        """Return the name of the next field, in lower case, and of the file in it. Raise S3Error when there is none."""
        padding = await self.until(b"\r\n", _MAX_PADDING)
        if padding.strip(b" \t"):
            raise malformed()  # "--": the form ends without a file
        lines = _text(await self.until(b"\r\n\r\n", _MAX_HEAD)).split("\r\n")
        disposition = next((match[1] for line in lines if (match := _DISPOSITION.fullmatch(line))), "")
        name = _NAME.search(disposition)
        if name is None:
            raise malformed()
        file_name = _FILE_NAME.search(disposition)
        return name[1].lower(), "" if file_name is None else _base_name(file_name[1])


def _base_name(file_name: str) -> str:
    """Return the last part of a path as some browsers send it, with its escapes undone."""
    return re.sub(r"\\(.)", r"\1", re.sub(r'\\(?!["\\])', "/", file_name)).rpartition("/")[2]


class _File:
    """The bytes of the file, which ends where the boundary stands."""

    length: int | None = None

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._ended = False

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end. Raise S3Error when the form ends within the file."""
        delimiter, received = self._parts.delimiter, self._parts.received
        while not self._ended:
            at = received.find(delimiter)
            self._ended = at >= 0
            end = at if self._ended else len(received) - len(delimiter) + 1  # the rest may begin a boundary
            if end > 0:
                piece = bytes(memoryview(received)[:end])
                del received[:end]
                return piece
            if not self._ended:
                await self._parts.fill()
        return b""
