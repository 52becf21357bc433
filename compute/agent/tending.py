"""Looks after guests between calls: whenever something became of one, and again while something is under way.

A guest is tended by one thread at a time; one whose hypervisor hangs keeps only that. All are looked at now and then,
for what nobody told of.
"""

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from cluster.telemetry.log import get_logger
from compute.stored import BackendError

WORKERS = 8
FAILED_S = 5.0  # until what failed is tried again
_log = get_logger("agent")


class Tending:
    """Of all guests of a host."""

    def __init__(
        self, guests: Callable[[], Iterable[str]], tend: Callable[[str], float | None], workers: int = WORKERS
    ) -> None:
        """`tend` does what is to be done about a guest, and returns when to do so again."""
        self._guests, self._tend = guests, tend
        self._pool = ThreadPoolExecutor(workers, "tend")
        self._wake = threading.Condition()
        self._due: list[tuple[float, str]] = []  # a heap
        self._at_work: dict[str, bool] = {}  # those being tended; True: once more, as something became of them
        self._failing: set[str] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="tending", daemon=True)

    def start(self) -> None:
        """Begin, with all guests."""
        self.poke("")
        self._thread.start()

    def poke(self, guest_id: str) -> None:
        """Have a guest looked after at once; with "", all."""
        self._later(guest_id, 0.0)

    def close(self) -> None:
        """Begin nothing any more."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _later(self, guest_id: str, in_s: float) -> None:
        with self._wake:
            heapq.heappush(self._due, (time.monotonic() + in_s, guest_id))
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and not (self._due and self._due[0][0] <= time.monotonic()):
                    self._wake.wait(max(0.0, self._due[0][0] - time.monotonic()) if self._due else None)
                if self._stopping:
                    return
                _when, guest_id = heapq.heappop(self._due)
            for each in [guest_id] if guest_id else list(self._guests()):
                self._begin(each)

    def _begin(self, guest_id: str) -> None:
        with self._wake:
            if self._stopping:
                return
            if guest_id in self._at_work:
                self._at_work[guest_id] = True
                return
            self._at_work[guest_id] = False
        try:
            self._pool.submit(self._work, guest_id)
        except RuntimeError:
            return  # it is being stopped

    def _work(self, guest_id: str) -> None:
        again_s: float | None = FAILED_S
        try:
            again_s = self._tend(guest_id)
            self._failing.discard(guest_id)
        except BackendError as error:
            if guest_id not in self._failing:  # once, not each time
                self._failing.add(guest_id)
                _log.warning("guest_not_as_wished", guest=guest_id, error=error, retry_s=FAILED_S)
        except Exception as error:
            _log.error("tending_failed", guest=guest_id, error=error, retry_s=FAILED_S)
        with self._wake:
            once_more = self._at_work.pop(guest_id, False)
        if once_more:
            again_s = 0.0
        if again_s is not None:
            self._later(guest_id, again_s)
