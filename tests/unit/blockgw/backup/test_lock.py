"""One at a time."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from blockgw.backup import lock as locks
from blockgw.backup.errors import Busy
from blockgw.backup.lock import Lock
from tests.unit.blockgw.backup.places import MemoryTarget

NAME = "v/lock"


class Sleeps:
    """Sleeps that take no time; `then` is done in each."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        self.then: Any = lambda: None

    def __call__(self, seconds: float) -> None:
        self.slept_s += seconds
        self.then()


def leave(target: MemoryTarget, **about: Any) -> dict[str, Any]:
    """Have a lock on the target, as somebody left it."""
    found = {"holder": "other", "host": "far away", "processes": "far away", "process": 1, "renewed": 0, **about}
    target.objects[NAME] = json.dumps(found).encode()
    return found


def test_a_lock_is_there_as_long_as_it_is_held() -> None:
    target = MemoryTarget()
    with Lock(target, NAME, "a test") as held:
        held.check()
        assert json.loads(target.objects[NAME])["doing"] == "a test"
    assert NAME not in target.objects


def test_who_is_alive_keeps_others_out() -> None:
    target, sleeps = MemoryTarget(), Sleeps()
    left = leave(target, doing="a backup")

    def renew() -> None:
        leave(target, **{**left, "renewed": 1})

    sleeps.then = renew
    with pytest.raises(Busy, match="a backup"), Lock(target, NAME, "a test", sleeps):
        pass
    assert json.loads(target.objects[NAME])["holder"] == "other"
    assert sleeps.slept_s <= locks.DEAD_S


def test_a_process_of_this_host_that_is_gone_holds_nothing() -> None:
    target, sleeps = MemoryTarget(), Sleeps()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    leave(target, processes=locks._processes(), process=int(gone.stdout))
    with Lock(target, NAME, "a test", sleeps) as held:
        held.check()
    assert sleeps.slept_s <= locks.SETTLE_S


@pytest.mark.parametrize("about", [{}, {"processes": locks._processes(), "process": os.getpid()}])
def test_who_does_not_renew_it_is_dead_after_a_while(about: dict[str, Any]) -> None:
    target, sleeps = MemoryTarget(), Sleeps()
    leave(target, **about)
    with Lock(target, NAME, "a test", sleeps) as held:
        held.check()
    assert sleeps.slept_s >= locks.DEAD_S


def test_a_lock_that_cannot_be_read_is_broken_after_a_while() -> None:
    target, sleeps = MemoryTarget(), Sleeps()
    target.objects[NAME] = b"?"
    with Lock(target, NAME, "a test", sleeps) as held:
        held.check()
    assert sleeps.slept_s >= locks.DEAD_S


def test_who_lost_it_is_told_so_and_takes_nothing_away() -> None:
    target = MemoryTarget()
    with Lock(target, NAME, "a test") as held:
        leave(target)
        with pytest.raises(Busy, match="others"):
            held.check()
    assert json.loads(target.objects[NAME])["holder"] == "other"


def test_it_is_renewed_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_S", 0.001)
    target = MemoryTarget()
    with Lock(target, NAME, "a test"):
        while json.loads(target.objects[NAME])["renewed"] < 3:
            time.sleep(0.001)
    assert not target.objects, "it is not renewed any more, and was given back"
