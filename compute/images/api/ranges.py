"""Which bytes of an image a download asks for. Source: RFC 9110, section 14; one range at a time, as Glance."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """There are no such bytes, or it is not said which; status 416."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The range is not one of the {size} bytes that there are.")
        self.size = size


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `begin` up to `end`."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """Return how many there are."""
        return self.end - self.begin


def span_of(header: str | None, size: int) -> Span | None:
    """Return what a Range header asks for of `size` bytes; None: everything. Raise Unsatisfiable."""
    if header is None:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        raise Unsatisfiable(size)
    first, last = match.groups()
    if first:
        begin, end = int(first), min(int(last) + 1, size) if last else size
    else:
        begin, end = max(0, size - int(last)), size
    if begin >= end:
        raise Unsatisfiable(size)
    return Span(begin, end)
