"""Byte ranges as clients ask for them, and the bytes that they mean."""

from proxy.objects.errors import RangeNotSatisfiable

# first and last byte, inclusive; (n, None) from n on; (None, n) the last n bytes
Range = tuple[int | None, int | None]


def bounds(wanted: Range | None, size: int) -> tuple[int, int]:
    """Return the half-open range that `wanted` means of `size` bytes. Raise RangeNotSatisfiable."""
    if wanted is None:
        return 0, size
    first, last = wanted
    if first is None:
        start, end = max(0, size - (last or 0)), size
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= end:
        raise RangeNotSatisfiable(size)
    return start, end


def asked_of_storage(wanted: Range | None) -> tuple[int, int | None]:
    """Return (start, end) for a replica, which knows the size when we do not yet."""
    if wanted is None:
        return 0, None
    first, last = wanted
    if first is None:
        return (-(last or 0), None) if last else (0, 0)
    return first, None if last is None else last + 1
