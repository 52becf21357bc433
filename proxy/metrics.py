"""What a proxy counts: requests by dialect, method and status, and how long they take to be answered."""

import time
from collections.abc import Awaitable, Callable

from cluster.telemetry.metrics import Counter, Registry
from proxy.http.message import Request, Response

Application = Callable[[Request], Awaitable[Response]]

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS"})


class Measured:
    """Wraps applications so that each request is counted."""

    def __init__(self, registry: Registry) -> None:
        self._requests = registry.counters(
            "holdfast_requests_total", "Requests answered.", ("dialect", "method", "status")
        )
        self._latency = registry.histograms(
            "holdfast_request_seconds", "From a request's head to its response's.", ("dialect", "method")
        )

    def application(self, dialect: str, inner: Application) -> Application:
        """Return `inner`, measured."""
        counters: dict[tuple[str, int], Counter] = {}
        latencies = {method: self._latency.child(dialect, method) for method in (*METHODS, "other")}

        async def measured(request: Request) -> Response:
            begin = time.perf_counter()
            response = await inner(request)
            method = request.method if request.method in METHODS else "other"
            latencies[method].observe(time.perf_counter() - begin)
            counter = counters.get((method, response.status))
            if counter is None:
                counter = self._requests.child(dialect, method, response.status)
                counters[method, response.status] = counter
            counter.value += 1
            return response

        return measured
