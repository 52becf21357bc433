"""What a service does beside: cluster/controlplane/chores.py."""

import threading

from cluster.controlplane.chores import Chore, Chores

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
