"""What devices copy from each other, from their metrics, although the daemons that count it are killed."""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator

from tests.cluster import Cluster

_INTERVAL_S = 0.4
_STARTED = "process_start_time_seconds"


class Traffic:
    """Sums of counters over all devices and all lives of their daemons."""

    def __init__(self, cluster: Cluster, *names: str) -> None:
        """`names` are those of metrics."""
        self._cluster = cluster
        self._names = names
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._seen: dict[int, dict[str, float]] = {}  # by device: what its daemon said last
        self._before: dict[str, float] = defaultdict(float)  # of lives that are over, and what was there at first

    def __repr__(self) -> str:
        return f"Traffic({self.totals()})"

    @contextlib.contextmanager
    def watched(self, *devices: int) -> Iterator[None]:
        """Watch these devices within the block. What is there when it begins does not count."""
        for device in devices:
            self._take(device)
            for name in self._names:
                self._before[name] -= self._seen.get(device, {}).get(name, 0.0)
        thread = threading.Thread(target=self._watch, args=(devices,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self.look(*devices)

    def look(self, *devices: int) -> None:
        """Ask now: before a daemon is killed, so that nothing is missed."""
        for device in devices:
            self._take(device)

    def totals(self) -> dict[str, float]:
        """Return the sums, by metric."""
        with self._lock:
            return {
                name: self._before[name] + sum(seen.get(name, 0.0) for seen in self._seen.values())
                for name in self._names
            }

    def _watch(self, devices: tuple[int, ...]) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self.look(*devices)

    def _take(self, device: int) -> None:
        found = self._cluster.metrics(device)
        if not found:
            return
        with self._lock:
            seen = self._seen.get(device, {})
            if seen and seen[_STARTED] != found[_STARTED]:
                for name in self._names:
                    self._before[name] += seen.get(name, 0.0)
            self._seen[device] = found
