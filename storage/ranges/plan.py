"""What is due for a container: to be split, a range of it to be split, ranges to be merged. Pure.

A range is split into parts of a quarter of the size that it may have, and neighbours are merged when an eighth of that
is left of them together: so what was split is not merged again soon, nor the other way round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.ranges.pointers import Pointer, Span

PART_SHARE = 4  # a part has 1/4 of the rows at which it is split: they are copied again when it has four times as many
MERGE_SHARE = 8  # what is merged has less than 1/8 of them
PARTS_LIMIT = 16  # that a database is split into at once


@dataclass(frozen=True, slots=True)
class Split:
    """Split this range; None: the root, which has the rows itself."""

    span: Span | None
    rows: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge these neighbours into one."""

    spans: tuple[Span, ...]


def due(spans: Sequence[Span], counts: Mapping[str, int], split_rows: int) -> Split | Merge | None:
    """Return what is to be done next to the ranges of a container; `counts`: rows by range id."""
    if split_rows <= 0:
        return None
    for span in spans:
        if counts.get(span.range_id, 0) > split_rows:
            return Split(span, counts[span.range_id])
    return _mergeable(spans, counts, split_rows // MERGE_SHARE)


def _mergeable(spans: Sequence[Span], counts: Mapping[str, int], limit: int) -> Merge | None:
    """Return the first run of two or more neighbours that have less than `limit` rows together."""
    run: list[Span] = []
    total = 0
    for span in spans:
        count = counts.get(span.range_id)
        if count is not None and total + count < limit:
            run.append(span)
            total += count
            continue
        if len(run) > 1:
            break
        run, total = ([span], count) if count is not None and count < limit else ([], 0)
    return Merge(tuple(run)) if len(run) > 1 else None


def boundaries(sample: Sequence[str], rows: int, split_rows: int, above: str = "") -> list[str]:
    """Return the names at which to cut a database of `rows`, of which `sample` is one, in order."""
    names = [name for name in sample if name > above]
    parts = max(2, min(PARTS_LIMIT, round(rows * PART_SHARE / split_rows)))
    picked = {names[len(names) * part // parts] for part in range(1, parts)} if names else set()
    return sorted(picked)


def pointers_at(low: str, cuts: Sequence[str], range_ids: Sequence[str]) -> list[Pointer]:
    """Return the pointers of a range from `low` on that is cut at names."""
    return [Pointer(name, range_id) for name, range_id in zip([low, *cuts], range_ids, strict=True)]
