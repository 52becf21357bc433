"""HTTP requests and responses as the dialects see them: values, no sockets.

Source: RFC 9110. Header names are lower-case str, values are str decoded as Latin-1 and stripped;
the path and the query are kept raw, as the client sent them, because signatures cover them.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class Body(Protocol):
    """A request's body. It must be read once at most; what is left unread the server drains or cuts off."""

    @property
    def length(self) -> int | None:
        """Return how many bytes will come, None when the client has not said (chunked)."""

    async def read(self) -> Buffer:
        """Return the next piece (up to 1 MiB), empty at the end. The caller owns it.

        Raise `proxy.http.errors.BodyTruncated` when the client goes away before the end.
        """


class Headers:
    """Header fields, in the order sent; `get` joins repeated ones with a comma, as RFC 9110 §5.3 allows."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Sequence[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __getitem__(self, name: str) -> str:
        return ",".join(self._fields[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __repr__(self) -> str:
        return f"Headers({sorted(self._fields)})"

    def get(self, name: str, default: str = "") -> str:
        """Return the value of `name`, or `default`."""
        values = self._fields.get(name)
        if values is None:
            return default
        return values[0] if len(values) == 1 else ",".join(values)

    def get_all(self, name: str) -> list[str]:
        """Return the values of `name`, one an occurrence."""
        return self._fields.get(name, [])

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield each name with its joined value."""
        for name in self._fields:
            yield name, self.get(name)


@dataclass(slots=True, eq=False)
class Request:
    """One request. `id` is the transaction id that logs and answers carry."""

    method: str
    path: str  # raw, percent-encoded, without the query
    query: str  # raw, without the question mark
    headers: Headers
    body: Body
    id: str
    peer: str = ""  # the client's address
    secure: bool = False  # came by TLS


@dataclass(slots=True, eq=False)
class Response:
    """One answer. A body of buffers is sent as it is; of an iterator, `length` says how many bytes come.

    An iterator's `length` None: sent chunked. The server adds Date, Connection and Content-Length;
    to HEAD it sends the headers alone, with `length` as Content-Length.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Buffer | AsyncIterator[Buffer] = b""
    length: int | None = None  # of an iterator, or what HEAD says; buffers know theirs
