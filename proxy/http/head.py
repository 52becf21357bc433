"""The head of a request: request line and header fields, bytes to values. No I/O.

Source: RFC 9112 §3, §5 and §6. llhttp (by httptools), which is strict, refuses what could be framed
in two ways: bare CR or LF, NUL, folded lines, names that are no tokens, a repeated Content-Length,
Content-Length beside Transfer-Encoding. What it leaves open is refused here. The caller finds the end of
the head (`head_size`) and its body by itself; llhttp never sees a byte of those.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import httptools

from proxy.http.errors import BadRequest
from proxy.http.limits import Limits
from proxy.http.message import Headers

_END = b"\r\n\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(slots=True, eq=False)
class Head:
    """What a head says. Of the two framings of a body, `length` is None when `chunked`."""

    method: str
    path: str
    query: str
    headers: Headers
    http_1_0: bool
    keep_alive: bool
    length: int | None
    chunked: bool
    expects_continue: bool


class _Collector:
    """What llhttp calls back."""

    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[str, str]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((_field_name(name), value.decode("latin-1").rstrip(" \t")))


@lru_cache(maxsize=1024)
def _field_name(raw: bytes) -> str:
    return raw.decode("ascii").lower()


@lru_cache(maxsize=32)
def _method_name(raw: bytes) -> str:
    return raw.decode("ascii")


def head_size(buffer: bytearray, end: int, scanned: int, limits: Limits) -> int:
    """Return the size of the head that `buffer[:end]` begins with, 0 when it is not whole yet.

    `scanned` bytes were there in an earlier call that returned 0. Raise BadRequest past the limits.
    """
    at = buffer.find(_END, max(scanned - 3, 0), end)
    size = at + len(_END) if at >= 0 else 0
    seen = size or end
    line_room = limits.request_line_bytes + len(b"\r\n")
    if seen > line_room and buffer.find(b"\r\n", 0, line_room) < 0:
        raise BadRequest(414, "the request line is too long")
    if seen > limits.head_bytes:
        raise BadRequest(431, "the header fields are too large")
    if size and buffer.count(b"\r\n", 0, size) > limits.header_count + 2:
        raise BadRequest(431, "too many header fields")
    if not size and _BARE_LF.search(buffer, scanned, end):
        raise BadRequest(400, "malformed request: a line does not end with CRLF")
    return size


def parse_head(data: bytes) -> Head:
    """Decode a whole head, its empty line included. Raise BadRequest when it is not one, or is ambiguous."""
    http_1_0 = _is_http_1_0(data[: data.index(b"\r\n")])
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # an offer of another protocol, which a server may ignore (RFC 9110 §7.8)
    except httptools.HttpParserInvalidMethodError:
        raise BadRequest(501, "unknown method") from None
    except httptools.HttpParserError as error:
        raise BadRequest(400, f"malformed request: {error}") from None
    method = _method_name(parser.get_method())
    headers = Headers(collector.fields)
    path, query = _split_target(method, collector.target.decode("latin-1"))
    if len(headers.get_all("host")) != 1 and not (http_1_0 and "host" not in headers):
        raise BadRequest(400, "exactly one Host is needed")
    chunked, length = _framing(headers, http_1_0)
    return Head(
        method,
        path,
        query,
        headers,
        http_1_0=http_1_0,
        keep_alive=_keep_alive(headers, http_1_0),
        length=length,
        chunked=chunked,
        expects_continue=_expects_continue(headers, http_1_0),
    )


def _is_http_1_0(line: bytes) -> bool:
    """Tell the version of a request line, which llhttp reads more leniently than we do."""
    if line.count(b" ") != 2:
        raise BadRequest(400, "malformed request line")
    if line.endswith(b" HTTP/1.1"):
        return False
    if line.endswith(b" HTTP/1.0"):
        return True
    raise BadRequest(505, "only HTTP/1.1 and HTTP/1.0 are supported")


def _keep_alive(headers: Headers, http_1_0: bool) -> bool:
    """Tell whether the connection persists (RFC 9112 §9.3)."""
    if "connection" not in headers:
        return not http_1_0
    options = {option.strip() for option in headers.get("connection").lower().split(",")}
    return "close" not in options and ("keep-alive" in options or not http_1_0)


def _split_target(method: str, target: str) -> tuple[str, str]:
    """Return path and query of a request target in origin, absolute or asterisk form (RFC 9112 §3.2)."""
    if not target.startswith("/"):
        if target == "*" and method == "OPTIONS":
            return target, ""
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise BadRequest(400, "unsupported form of request target")
        authority_end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
        target = rest[authority_end:]
        if not target.startswith("/"):
            target = "/" + target
    if "#" in target:
        raise BadRequest(400, "a request target has no fragment")
    path, _mark, query = target.partition("?")
    return path, query


def _framing(headers: Headers, http_1_0: bool) -> tuple[bool, int | None]:
    """Return whether the body is chunked, else its length."""
    if "transfer-encoding" not in headers:
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise BadRequest(400, "malformed Content-Length")
        return False, int(length)
    if http_1_0 or "content-length" in headers:
        raise BadRequest(400, "Transfer-Encoding has no place in this request")
    if headers["transfer-encoding"].lower() != "chunked":
        raise BadRequest(501, "no transfer coding but chunked is supported")
    return True, None


def _expects_continue(headers: Headers, http_1_0: bool) -> bool:
    """Tell whether the client waits for an interim response. Expectations that nobody knows are ignored, as S3 does."""
    return not http_1_0 and headers.get("expect").lower() == "100-continue"
