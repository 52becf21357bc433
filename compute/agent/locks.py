"""A lock for each guest: calls about one go one after the other, and never wait for another guest."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from compute.stored import Unreachable

WAITING = 3  # calls about one guest that may wait; more of a guest that hangs would take the threads of all


class Locks:
    """The locks of all guests of a host. One may be taken again by who has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, _Counted] = {}

    @contextmanager
    def holding(self, guest_id: str, wait_s: float) -> Iterator[None]:
        """Hold a guest's lock. Raise Unreachable when it is not to be had in time."""
        own = self._entered(guest_id)
        try:
            if not own.lock.acquire(timeout=wait_s):
                raise _busy(guest_id)
            try:
                yield
            finally:
                own.lock.release()
        finally:
            self._left(guest_id, own)

    def _entered(self, guest_id: str) -> "_Counted":
        with self._lock:
            own = self._of.setdefault(guest_id, _Counted())
            if own.users > WAITING:
                raise _busy(guest_id)
            own.users += 1
            return own

    def _left(self, guest_id: str, own: "_Counted") -> None:
        with self._lock:
            own.users -= 1
            if not own.users:
                self._of.pop(guest_id, None)


class _Counted:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users = 0


def _busy(guest_id: str) -> Unreachable:
    return Unreachable(f"the host is busy with guest {guest_id}")
