"""storage.overview.rings.pace"""

import dataclasses
from collections.abc import Mapping

import pytest

from storage.overview.rings.pace import pace
from storage.rings.conductor import Situation
from storage.rings.document import Stage, first
from storage.rings.moves import Moves
from storage.rings.reports import Progress

MOVES = Moves({4: {"object-0": tuple(range(100))}, 5: {"object-0": (1,), "account": tuple(range(99))}})
DIGEST = {"object-0": "0" * 64}


def situation(progress: Mapping[int, Progress], stage: Stage = Stage.JOINING, now_s: float = 10.0) -> Situation:
    document = dataclasses.replace(first(DIGEST, 0), stage=stage, version=3, floor=2, target=DIGEST)
    return Situation(document, MOVES, {}, progress, round(now_s * 1e6))


def copied(done: int, version: int = 3, started_s: float = 0.0) -> Progress:
    return Progress(version, done, 100, objects=10 * done, bytes=1000 * done, started_us=round(started_s * 1e6))


def test_nothing_can_be_told_before_all_have_begun() -> None:
    found = pace(situation({4: copied(50)}))
    assert (found.done_ratio, found.left_s) == (0.25, None)


def test_the_device_that_takes_longest_decides() -> None:
    found = pace(situation({4: copied(50), 5: copied(20)}))
    assert found.done_ratio == 0.35
    assert found.left_s == pytest.approx(40.0)
    assert (found.bytes_copied, found.objects_copied) == (70_000, 700)


def test_a_device_that_is_done_takes_no_more_time() -> None:
    assert pace(situation({4: copied(50), 5: copied(100)})).left_s == pytest.approx(10.0)


def test_what_was_told_of_an_earlier_change_does_not_count() -> None:
    found = pace(situation({4: copied(50), 5: copied(100, version=1)}))
    assert (found.done_ratio, found.left_s) == (0.25, None)


def test_a_rate_of_the_first_moments_says_nothing() -> None:
    assert pace(situation({4: copied(50), 5: copied(50)}, now_s=1.0)).left_s is None


def test_later_stages_have_all_data() -> None:
    found = pace(situation({4: copied(100)}, stage=Stage.SERVING))
    assert (found.done_ratio, found.left_s) == (1.0, 0.0)
