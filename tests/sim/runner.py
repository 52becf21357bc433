"""Runs seeds, each in a process of its own, as many at a time as there are cores.

A fresh fork per seed: nothing of one simulation reaches the next, and what a seed does depends on nothing but itself.
That needs strings to hash the same in every run, so the interpreter is started again with PYTHONHASHSEED=0.
"""

import contextlib
import os
import pickle
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator

from tests.sim.run import simulate
from tests.sim.simulation import Verdict

SEED_LIMIT_S = 900.0  # of wall time, on a machine that does other things, too
BROKEN = "the simulation did not end well"
_HASH_SEED = "PYTHONHASHSEED"


def with_fixed_hashes(module: str, arguments: list[str]) -> None:
    """Start the interpreter again unless strings hash alike in every run."""
    if os.environ.get(_HASH_SEED) != "0":
        os.environ[_HASH_SEED] = "0"
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


class _Child:
    """A seed that is being simulated."""

    def __init__(self, seed: int, work: Callable[[int], Verdict]) -> None:
        self.seed = seed
        self.deadline = time.monotonic() + SEED_LIMIT_S
        self._data = b""
        self.fd, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.fd)
            _simulate_and_leave(seed, work, writing)
        os.close(writing)

    def read(self) -> bool:
        """Take what it has to say; tell whether that was all."""
        piece = os.read(self.fd, 1 << 20)
        self._data += piece
        return not piece

    def verdict(self) -> Verdict:
        """Wait for its end."""
        os.close(self.fd)
        _pid, status = os.waitpid(self.pid, 0)
        if self._data:
            verdict: Verdict = pickle.loads(self._data)
            return verdict
        reason = f"{BROKEN}: status {status}"
        return Verdict(self.seed, [reason], f"seed {self.seed}: {reason}")

    def give_up(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)


def _simulate_and_leave(seed: int, work: Callable[[int], Verdict], writing: int) -> None:
    warnings.simplefilter("ignore")
    status = 1
    try:
        verdict = work(seed)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(verdict, pipe)
        status = 0
    except BaseException as error:
        import traceback

        traceback.print_exception(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # what is left of the dead processes of the simulation is not worth cleaning up


def verdicts(seeds: Iterator[int], jobs: int, work: Callable[[int], Verdict] = simulate) -> Iterator[Verdict]:
    """Yield the verdicts of `seeds`, as they come."""
    children: dict[int, _Child] = {}
    try:
        while True:
            while len(children) < jobs and (seed := next(seeds, None)) is not None:
                child = _Child(seed, work)
                children[child.fd] = child
            if not children:
                return
            ready, _, _ = select.select(list(children), [], [], 1.0)
            for fd in ready:
                if children[fd].read():
                    yield children.pop(fd).verdict()
            for child in children.values():
                if time.monotonic() > child.deadline:
                    child.give_up()
    finally:
        for child in children.values():
            with contextlib.suppress(ProcessLookupError):
                child.give_up()
            os.waitpid(child.pid, 0)
