"""A steady load of small GETs and PUTs: each request at its time, whatever came of the one before."""

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tools.bench.client import Client

_TIMEOUT_S = 30.0
_OBJECT_BYTES = 4096
_KEYS = 500  # of the objects that are read
BUCKET = "clients"


@dataclass(slots=True)
class Latencies:
    """Of one phase: seconds that answers took, by method."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "PUT": []})
    failures: int = 0

    def percentile(self, method: str, percent: float) -> float:
        """Return the time, in seconds, within which so many of the answers came."""
        ordered = sorted(self.seconds[method])
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


class Clients:
    """Threads that ask, so many requests a second together, half of each method."""

    def __init__(self, client: Client, requests_per_s: float, connections: int = 8) -> None:
        self._client = client
        self._pause_s = connections / requests_per_s
        self._connections = connections
        self._latencies = Latencies()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def prepare(self) -> None:
        """Store what is read."""
        self._client.create_bucket(BUCKET)
        self._client.put(BUCKET, _keys(), bytes(_OBJECT_BYTES))

    def begin_phase(self) -> None:
        """Count anew."""
        self.end_phase()

    def end_phase(self) -> Latencies:
        """Return what was measured since the last call."""
        with self._lock:
            found, self._latencies = self._latencies, Latencies()
        return found

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask within the block."""
        threads = [
            threading.Thread(target=self._work, args=(index,), daemon=True) for index in range(self._connections)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(_TIMEOUT_S)

    def _work(self, index: int) -> None:
        chance, method = random.Random(index), ("GET", "PUT")[index % 2]
        body = bytes(_OBJECT_BYTES) if method == "PUT" else b""
        targets = [
            self._client.presigner.target(method, f"/{BUCKET}/{key}")
            for key in (_keys() if method == "GET" else _keys(f"put-{index}-"))
        ]
        connection = http.client.HTTPConnection(self._client.system.host, timeout=_TIMEOUT_S)
        due = time.monotonic() + chance.random() * self._pause_s
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            begin = time.monotonic()
            works = _ask(connection, method, chance.choice(targets), body)
            took_s = time.monotonic() - begin
            with self._lock:
                self._latencies.seconds[method].append(took_s)
                self._latencies.failures += not works
            due = max(due + self._pause_s, time.monotonic())
        connection.close()


def _ask(connection: http.client.HTTPConnection, method: str, target: str, body: bytes) -> bool:
    """Send a request and take its answer; tell whether it was a good one."""
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return False
    return response.status < 300


def _keys(prefix: str = "get-") -> Sequence[str]:
    return [f"{prefix}{index:05}" for index in range(_KEYS)]
