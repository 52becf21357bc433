"""cluster.supervision.child"""

import signal

from cluster.supervision.child import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    SETTLED_S,
    START_AGAIN,
    STEADY_S,
    Child,
    State,
    could_not_start,
    describe_exit,
    exited,
    killed,
    started,
    told_to_stop,
)

RUNNING = started(Child(), pid=7, now_s=100.0)
EXIT_1 = 1 << 8  # as waitpid reports it


def test_one_that_dies_waits_to_be_started_again() -> None:
    dead = exited(RUNNING, EXIT_1, now_s=101.0)
    assert (dead.state, dead.pid, dead.deaths) == (State.WAITING, 0, 1)
    assert dead.due_s == 101.0 + FIRST_DELAY_S


def test_one_that_dies_again_and_again_waits_twice_as_long_up_to_a_bound() -> None:
    child, delays = RUNNING, []
    for _ in range(8):
        child = exited(child, EXIT_1, now_s=200.0)
        assert child.due_s is not None
        delays.append(round(child.due_s - 200.0, 1))
        child = started(child, pid=8, now_s=200.0)
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert child.deaths == 8


def test_the_delay_stays_bounded_after_very_many_deaths() -> None:
    child = RUNNING
    for _ in range(2000):
        child = started(exited(child, EXIT_1, 0.0), 8, 0.0)
    assert exited(child, EXIT_1, 0.0).due_s == LONGEST_DELAY_S


def test_one_that_ran_well_before_it_died_is_started_soon() -> None:
    child = started(exited(exited(RUNNING, EXIT_1, 101.0), EXIT_1, 101.0), 8, 102.0)
    dead = exited(child, EXIT_1, 102.0 + SETTLED_S)
    assert dead.due_s == 102.0 + SETTLED_S + FIRST_DELAY_S


def test_one_that_was_told_to_stop_stays_down() -> None:
    stopping = told_to_stop(RUNNING, 101.0, timeout_s=15.0)
    assert (stopping.state, stopping.due_s) == (State.STOPPING, 116.0)
    stopped = exited(stopping, signal.SIGTERM, 102.0)
    assert (stopped.state, stopped.due_s, stopped.deaths) == (State.STOPPED, None, 0)


def test_stopping_one_that_waits_cancels_its_restart() -> None:
    stopped = told_to_stop(exited(RUNNING, EXIT_1, 101.0), 102.0, 15.0)
    assert (stopped.state, stopped.due_s) == (State.STOPPED, None)


def test_told_to_stop_sooner_it_gets_less_time() -> None:
    assert told_to_stop(told_to_stop(RUNNING, 101.0, 15.0), 102.0, 0.0).due_s == 102.0
    assert told_to_stop(told_to_stop(RUNNING, 101.0, 1.0), 101.5, 15.0).due_s == 102.0


def test_nothing_is_due_once_it_was_killed() -> None:
    assert killed(told_to_stop(RUNNING, 101.0, 15.0)).due_s is None


def test_stopping_what_is_stopped_changes_nothing() -> None:
    assert told_to_stop(Child(), 101.0, 15.0) == Child()


def test_how_it_ended_is_told_in_words() -> None:
    assert describe_exit(3 << 8) == "exited with status 3"
    assert describe_exit(signal.SIGKILL) == "killed by SIGKILL"


def test_one_that_asks_to_be_started_again_has_not_died() -> None:
    """storage.daemon, when its disk is well again."""
    asked = exited(RUNNING, START_AGAIN << 8, now_s=100.0 + STEADY_S)
    assert asked.deaths == 0
    assert asked.due_s == 100.0 + STEADY_S + FIRST_DELAY_S
    child = RUNNING
    for _ in range(3):  # over and over, at once: something is wrong with it
        child = started(exited(child, START_AGAIN << 8, now_s=100.1), pid=8, now_s=100.0)
    assert child.delays == 3


def test_one_that_could_not_be_started_is_tried_again_as_if_it_had_died() -> None:
    child = could_not_start(Child(), "no space", now_s=10.0)
    assert (child.state, child.due_s, child.deaths, child.last_exit) == (
        State.WAITING,
        10.0 + FIRST_DELAY_S,
        1,
        "no space",
    )
    again = could_not_start(child, "no space", now_s=20.0)
    assert again.due_s == 20.0 + 2 * FIRST_DELAY_S
    assert told_to_stop(again, 21.0, 5.0).state is State.STOPPED
