"""Extents of a BLOCK_STATUS, made fit for the wire: bounded, and no two neighbours alike. No I/O."""

from collections.abc import Iterable

from blockgw.interfaces import Extent

EXTENTS_LIMIT = 1 << 13  # in one answer; the client asks again behind them


def add(extents: list[Extent], size: int, flags: int) -> None:
    """Put an extent behind others; to the last one, if it is alike."""
    if extents and extents[-1][1] == flags:
        extents[-1] = (extents[-1][0] + size, flags)
    else:
        extents.append((size, flags))


def fit(extents: Iterable[Extent], length: int, only_one: bool = False) -> list[Extent]:
    """Return `extents` up to `length` bytes, neighbours that are alike put together; the first alone if asked."""
    fitted: list[Extent] = []
    left = length
    for size, flags in extents:
        assert size > 0, "an extent of nothing"
        taken = min(size, left)
        if len(fitted) == (1 if only_one else EXTENTS_LIMIT) and fitted[-1][1] != flags:
            break
        add(fitted, taken, flags)
        left -= taken
        if not left:
            break
    assert fitted, "no extent"
    return fitted
