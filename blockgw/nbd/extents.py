"""Extents of a BLOCK_STATUS, made fit for the wire: bounded, and no two neighbours alike. No I/O."""

from collections.abc import Iterable

from blockgw.interfaces import Extent

EXTENTS_LIMIT = 1 << 13  # in one answer; the client asks again behind them


def fit(extents: Iterable[Extent], length: int, only_one: bool = False) -> list[Extent]:
    """Return `extents` up to `length` bytes, neighbours that are alike put together; the first alone if asked."""
    fitted: list[Extent] = []
    left = length
    for size, flags in extents:
        assert size > 0, "an extent of nothing"
        taken = min(size, left)
        if fitted and fitted[-1][1] == flags:
            fitted[-1] = (fitted[-1][0] + taken, flags)
        elif len(fitted) == (1 if only_one else EXTENTS_LIMIT):
            break
        else:
            fitted.append((taken, flags))
        left -= taken
        if not left:
            break
    assert fitted, "no extent"
    return fitted
