"""Work that is spread over threads."""

import threading
import time
from collections.abc import Iterator

import pytest

from blockgw.backup.workers import spread


def test_all_is_done_once() -> None:
    assert sorted(spread(lambda number: number * 2, range(100), 3)) == list(range(0, 200, 2))


def test_no_more_is_under_way_than_was_asked_for_and_items_are_taken_as_they_are_needed() -> None:
    mutex, under_way, most, taken = threading.Lock(), 0, 0, 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    def work(number: int) -> int:
        nonlocal under_way, most
        with mutex:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.001)
        with mutex:
            under_way -= 1
        return number

    for done, _number in enumerate(spread(work, items(), 3), 1):
        assert taken <= done + 6
    assert most <= 3


def test_what_was_done_is_told_before_a_failure_is() -> None:
    began, failing = threading.Barrier(3), threading.Event()

    def work(number: int) -> int:
        if number < 3:
            began.wait(5)
        if number == 1:
            failing.set()
            raise ValueError("one")
        failing.wait(5)  # nobody gets far before
        if number == 2:
            time.sleep(0.05)
        return number

    results: list[int] = []

    def collect() -> None:
        for each in spread(work, range(1000), 3):
            results.append(each)

    with pytest.raises(ValueError, match="one"):
        collect()
    assert {0, 2} <= set(results)
    assert len(results) < 20
