"""The life of one supervised process: state and event -> state. Pure; time is an argument.

STOPPED -> RUNNING -> STOPPING -> STOPPED       as it was told
              |  ^
              v  |
            WAITING                             it died by itself; started again at `due_s`
"""

import dataclasses
import os
import signal
from dataclasses import dataclass
from enum import Enum

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
# a process that ran this long before it died has no startup problem: the delays begin anew
SETTLED_S = 10.0


# exit status of a process that ended of its own accord, to be started again at once (EX_TEMPFAIL of sysexits.h)
START_AGAIN = 75
STEADY_S = 1.0  # one that asks for it sooner than this after its start waits longer each time, as if it had died


class State(Enum):
    """What is so now; what is wanted follows from it."""

    STOPPED = "stopped"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Child:
    """What the supervisor knows of one process. Times are of the monotonic clock."""

    state: State = State.STOPPED
    pid: int = 0  # 0: there is none
    since_s: float = 0.0  # of the state
    due_s: float | None = None  # WAITING: when to start it; STOPPING: when to kill it
    deaths: int = 0  # unasked for, since the supervisor began
    delays: int = 0  # of them, those soon after one another
    last_exit: str = ""  # how it ended last, in words


def started(child: Child, pid: int, now_s: float) -> Child:
    """It was started."""
    return dataclasses.replace(child, state=State.RUNNING, pid=pid, since_s=now_s, due_s=None)


def could_not_start(child: Child, reason: str, now_s: float) -> Child:
    """There was no process, no memory or no space for it: it is tried again, as if it had died."""
    return dataclasses.replace(_waiting(child, now_s), last_exit=reason, deaths=child.deaths + 1)


def told_to_stop(child: Child, now_s: float, timeout_s: float) -> Child:
    """It is to stop and stay down; if it runs, it is being told so."""
    if child.state is State.RUNNING:
        return dataclasses.replace(child, state=State.STOPPING, since_s=now_s, due_s=now_s + timeout_s)
    if child.state is State.WAITING:
        return dataclasses.replace(child, state=State.STOPPED, since_s=now_s, due_s=None, delays=0)
    if child.state is State.STOPPING and child.due_s is not None:
        return dataclasses.replace(child, due_s=min(child.due_s, now_s + timeout_s))
    return child


def killed(child: Child) -> Child:
    """SIGKILL was sent: nothing is left but to wait."""
    return dataclasses.replace(child, due_s=None)


def exited(child: Child, status: int, now_s: float) -> Child:
    """It is gone, with the `status` that waitpid gave."""
    ended = dataclasses.replace(child, pid=0, last_exit=describe_exit(status))
    if child.state is State.STOPPING:
        return dataclasses.replace(ended, state=State.STOPPED, since_s=now_s, due_s=None, delays=0)
    asked = status == START_AGAIN << 8
    delays = 0 if now_s - child.since_s >= (STEADY_S if asked else SETTLED_S) else child.delays
    return dataclasses.replace(
        _waiting(dataclasses.replace(ended, delays=delays), now_s), deaths=child.deaths + (not asked)
    )


def _waiting(child: Child, now_s: float) -> Child:
    """It is to be started again, the later the more often that was so."""
    delay_s = min(FIRST_DELAY_S * 2**child.delays, LONGEST_DELAY_S)
    return dataclasses.replace(
        child, state=State.WAITING, since_s=now_s, due_s=now_s + delay_s, delays=min(child.delays + 1, 32)
    )


def describe_exit(status: int) -> str:
    """Return what a wait status says, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
