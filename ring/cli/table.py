"""Tables for people to read. Pure."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: frozenset[str] = frozenset()) -> str:
    """Return `rows` under their `heads`, in columns as wide as they need; those in `left` are aligned to the left."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [str.ljust if head in left else str.rjust for head in heads]
    return "\n".join(
        " ".join(align(cell, width) for align, cell, width in zip(aligned, line, widths, strict=True)).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """Return a time span as people read it: 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
