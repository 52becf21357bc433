"""What containers have to tell their accounts: filled by the database thread, emptied by the loop."""

import threading

from storage.messages import Row

Report = tuple[str, Row]  # account, row of the container


class Reports:
    """The newest report of each container whose statistics changed since the last one was taken."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Report] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_key)

    def put(self, key: bytes, report: Report) -> None:
        """Replace what the container had to report. Those that wait longest are taken first."""
        with self._lock:
            self._by_key[key] = report

    def drop(self, key: bytes) -> None:
        """Forget the report of a container that is deleted: its account hears that from the proxy."""
        with self._lock:
            self._by_key.pop(key, None)

    def keys(self) -> set[bytes]:
        """Return who has something to report."""
        with self._lock:
            return set(self._by_key)

    def take(self, limit: int) -> dict[bytes, Report]:
        """Return up to `limit` reports, and forget them."""
        with self._lock:
            keys = [key for _, key in zip(range(limit), self._by_key, strict=False)]
            return {key: self._by_key.pop(key) for key in keys}

    def put_back(self, reports: dict[bytes, Report]) -> None:
        """Take reports that could not be sent again, except where there is a newer one."""
        with self._lock:
            for key, report in reports.items():
                self._by_key.setdefault(key, report)
