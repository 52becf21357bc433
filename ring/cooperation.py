"""Rebalancing the components of a composite ring together, so that each partition has one component move it at a time.

To min_part_hours the components are one ring: a partition that rests in one of them rests in all. A component
is told so by moves that are not its own and that it forgets afterwards. Pure.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ring.builder import HOUR_S, Report, RingBuilder
from ring.errors import RingError

_LATEST_S = (1 << 32) - 1  # of a last move


def rebalance(builders: Sequence[RingBuilder], seed: int, now_s: float) -> list[tuple[RingBuilder, Report]]:
    """Return each builder rebalanced, and how that went, so that together they move a partition once.

    A partition that rests in one of them rests in all, and what one has moved just now the others leave in
    place. Whose turn is first is up to `seed`. Raise RingError.
    """
    if len({builder.part_power for builder in builders}) > 1:
        raise RingError("the builders are not of one part power")
    results: dict[int, tuple[RingBuilder, Report]] = {}
    rests_until_s = np.max([_rests_until_s(builder) for builder in builders], axis=0)
    for turn in random.Random(seed).sample(range(len(builders)), len(builders)):
        own = builders[turn]
        held_back = replace(own, moved_s=_as_own_moves(rests_until_s, own, now_s))
        rebalanced, report = held_back.rebalance(seed, now_s)
        moved = _moved(own, rebalanced)
        moved_s = np.where(moved, np.uint32(now_s), _moved_s(own))
        results[turn] = (replace(rebalanced, moved_s=moved_s), report)
        rests_until_s[moved] = np.maximum(rests_until_s[moved], int(now_s) + max(own.min_part_hours * HOUR_S, 1))
    return [results[turn] for turn in range(len(builders))]


def _moved_s(builder: RingBuilder) -> NDArray[np.uint32]:
    return np.zeros(builder.partition_count, np.uint32) if builder.moved_s is None else builder.moved_s


def _rests_until_s(builder: RingBuilder) -> NDArray[np.int64]:
    """Return by partition until when its last move in `builder` keeps it in place; 0 if it never moved."""
    moved_s = _moved_s(builder).astype(np.int64)
    return np.where(moved_s > 0, moved_s + builder.min_part_hours * HOUR_S, 0)


def _as_own_moves(rests_until_s: NDArray[np.int64], own: RingBuilder, now_s: float) -> NDArray[np.uint32]:
    """Return the moves of its own that would make partitions rest in `own` for as long as they are to rest."""
    moved_s = np.clip(rests_until_s - own.min_part_hours * HOUR_S, 1, _LATEST_S)
    return np.where(rests_until_s > now_s, moved_s, 0).astype(np.uint32)


def _moved(before: RingBuilder, after: RingBuilder) -> NDArray[np.bool_]:
    """Tell which partitions had a replica moved. A replica's first place is no move."""
    moved = np.zeros(before.partition_count, np.bool_)
    for old, new in zip(before.rows or (), after.rows or (), strict=False):
        both = min(len(old), len(new))
        moved[:both] |= old[:both] != new[:both]
    return moved
