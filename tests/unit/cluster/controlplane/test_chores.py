"""What a service does beside: cluster/controlplane/chores.py."""

import contextlib
import threading
from typing import cast

from cluster.controlplane.chores import Chore, Chores, WhenChanged
from cluster.controlplane.database import Database

WAIT_S = 10.0


def test_a_chore_that_fails_is_done_again_and_stops_in_the_end() -> None:
    chores, done = Chores(), threading.Event()
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count < 3:
            raise RuntimeError("not yet")
        done.set()

    chores.start(Chore("test", 0.001, step))
    assert done.wait(WAIT_S)
    chores.stop(WAIT_S)
    after = count
    assert not threading.Event().wait(0.02)
    assert count == after


def test_a_stop_does_not_wait_for_the_next_time() -> None:
    chores, done = Chores(), threading.Event()
    chores.start(Chore("test", 3600, done.set))
    assert done.wait(WAIT_S)
    chores.stop(WAIT_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "test"]


class Counted:
    """A database whose changes a test makes up."""

    def __init__(self) -> None:
        self.count: int | None = 1

    def changes(self) -> int | None:
        return self.count


def test_a_step_is_left_out_while_nothing_changes() -> None:
    database, now_s, steps = Counted(), 1000.0, 0
    failing = False

    def step() -> None:
        nonlocal steps
        steps += 1
        if failing:
            raise ZeroDivisionError

    chore = WhenChanged(cast(Database, database), step, 60.0, lambda: now_s)

    def steps_after(changes: int | None, seconds: float) -> int:
        nonlocal now_s
        database.count, now_s = changes, now_s + seconds
        with contextlib.suppress(ZeroDivisionError):
            chore()
        return steps

    assert [steps_after(1, 10.0) for _ in range(3)] == [1, 1, 1]
    assert steps_after(2, 10.0) == 2
    assert [steps_after(2, 50.0), steps_after(2, 10.0)] == [2, 3], "time passes, too"
    failing = True
    assert [steps_after(3, 1.0), steps_after(3, 1.0)] == [4, 5], "what failed is done again"
    failing = False
    assert [steps_after(3, 1.0), steps_after(3, 1.0)] == [6, 6]
    assert [steps_after(None, 1.0), steps_after(None, 1.0)] == [7, 8], "who cannot tell is looked at each time"
