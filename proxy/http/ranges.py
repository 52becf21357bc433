"""Range requests: what a Range header asks for, and which bytes of a body those are.

Source: RFC 9110 §14.1.2. A header that is malformed, or of another unit than bytes, is ignored, as
§14.2 has it.
"""

import re

Range = tuple[int | None, int | None]  # first and last byte, inclusive, as sent; (None, n): the last n bytes

_MAX_RANGES = 64  # a longer list serves no reader and costs a hostile one nothing
_SPEC = re.compile(r"(\d{0,30})[ \t]*-[ \t]*(\d{0,30})", re.ASCII)  # Swift takes blanks anywhere, which harms nobody


def parse_range(value: str) -> list[Range] | None:
    """Return the ranges of a Range header in order, None when the header is to be ignored."""
    unit, equals, specs = value.partition("=")
    if not equals or unit.strip().lower() != "bytes" or specs.count(",") >= _MAX_RANGES:
        return None
    ranges = [_parse_spec(spec.strip(" \t")) for spec in specs.split(",")]
    parsed = [item for item in ranges if item is not None]
    return parsed if len(parsed) == len(ranges) else None


def _parse_spec(spec: str) -> Range | None:
    match = _SPEC.fullmatch(spec)
    if match is None or not (match[1] or match[2]):
        return None
    first = int(match[1]) if match[1] else None
    last = int(match[2]) if match[2] else None
    if first is not None and last is not None and last < first:
        return None
    return first, last


def resolve(wanted: Range, size: int) -> tuple[int, int] | None:
    """Return the half-open byte range of a body of `size` bytes, None when no byte of it is wanted."""
    first, last = wanted
    if first is None:
        start, end = max(0, size - (last or 0)), size
    else:
        start, end = first, size if last is None else min(last + 1, size)
    return (start, end) if start < end else None
