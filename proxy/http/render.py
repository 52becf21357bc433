"""The head of a response, values to bytes. No I/O.

Source: RFC 9112 §4, RFC 9110 §6.4 and §8.6. A value with a line break would split the response in
two; it is refused here, whatever an application let through.
"""

from functools import lru_cache
from http import HTTPStatus

from proxy.http.message import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@lru_cache(maxsize=128)
def _status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n"


def has_body(method: str, status: int) -> bool:
    """Tell whether a response to `method` may carry a body."""
    return method != "HEAD" and status >= 200 and status not in (204, 304)


def render_head(response: Response, date: str, framing: str) -> bytes:
    """Return the head. `framing` is what the server adds, as whole lines. Raise ValueError when it is unsafe."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
    text = f"{_status_line(response.status)}{fields}Date: {date}\r\n{framing}\r\n"
    lines = len(response.headers) + 3 + framing.count("\n")
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise ValueError("a header of the response has a line break in it")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
