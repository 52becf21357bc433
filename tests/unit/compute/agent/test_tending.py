"""Guests are looked after one by one, and one that hangs keeps nobody from the others."""

import threading
import time
from collections import Counter

import pytest

from compute.agent.locks import WAITING, Locks
from compute.agent.tending import Tending
from compute.stored import Unreachable

WAIT_S = 60.0


def test_a_guest_that_hangs_keeps_nobody_from_the_others() -> None:
    tended: Counter[str] = Counter()
    going_on, changed = threading.Event(), threading.Condition()

    def tend(guest_id: str) -> float | None:
        with changed:
            tended[guest_id] += 1
            changed.notify_all()
        if guest_id == "hangs":
            going_on.wait(WAIT_S)
        if guest_id == "fails":
            raise Unreachable("away")
        return None

    tending = Tending(lambda: ["hangs", "fails", "web"], tend, workers=2)
    tending.start()
    for _ in range(20):
        tending.poke("hangs")
    with changed:
        assert changed.wait_for(lambda: tended["web"] and tended["fails"], WAIT_S)
        tending.poke("web")
        assert changed.wait_for(lambda: tended["web"] >= 2, WAIT_S)
        assert tended["hangs"] == 1
    going_on.set()
    with changed:
        assert changed.wait_for(lambda: tended["hangs"] >= 2, WAIT_S)  # once more, not twenty times
    time.sleep(0.1)
    assert tended["hangs"] == 2
    tending.close()


def test_what_is_to_be_done_again_is() -> None:
    enough, count = threading.Event(), Counter[str]()

    def tend(guest_id: str) -> float | None:
        count[guest_id] += 1
        if count[guest_id] == 3:
            enough.set()
            return None
        return 0.01

    tending = Tending(lambda: ["web"], tend)
    tending.start()
    assert enough.wait(WAIT_S)
    tending.close()


def test_no_more_than_a_few_wait_for_a_guest() -> None:
    locks, going_on, held = Locks(), threading.Event(), threading.Event()

    def hold() -> None:
        with locks.holding("web", WAIT_S):
            held.set()
            going_on.wait(WAIT_S)

    threads = [threading.Thread(target=hold) for _ in range(WAITING + 1)]
    for thread in threads:
        thread.start()
    assert held.wait(WAIT_S)
    until_s = time.monotonic() + WAIT_S
    while locks._of["web"].users <= WAITING:
        assert time.monotonic() < until_s
    with pytest.raises(Unreachable), locks.holding("web", WAIT_S):
        pass
    with locks.holding("other", 0.1), locks.holding("other", 0.1):  # again by who has it
        pass
    going_on.set()
    for thread in threads:
        thread.join()
    assert not locks._of


def test_a_lock_that_is_not_to_be_had_in_time_is_told_of() -> None:
    locks, going_on, held = Locks(), threading.Event(), threading.Event()

    def hold() -> None:
        with locks.holding("web", 1):
            held.set()
            going_on.wait(WAIT_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(WAIT_S)
    with pytest.raises(Unreachable), locks.holding("web", 0.01):
        pass
    going_on.set()
    thread.join()
