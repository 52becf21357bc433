"""Metrics in Prometheus' text format, made so that counting costs one addition.

    registry = Registry()
    puts = registry.counters("holdfast_requests_total", "Requests answered.", ("dialect", "operation"))
    s3_puts = puts.child("s3", "put")  # once, at set-up
    s3_puts.value += 1  # on the hot path

For one thread: the event loop's. Another thread hands its figures over, or is read through a gauge's
function. Source: prometheus.io, "Text-based format" 0.0.4; units and suffixes as its "Naming" page says.
"""

import math
import os
import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# from a memory hit to a timeout; two buckets per factor of about five
LATENCY_BUCKETS_S = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
SIZE_BUCKETS = tuple(float(1 << power) for power in range(10, 34, 3))  # bytes: 1 KiB to 2 GiB

_NAME = re.compile(r"[a-z_][a-z0-9_]*")


class Sample(NamedTuple):
    """A line to be: what follows the metric's name, a label beside the family's, and the value."""

    suffix: str
    label: str
    value: float


class Metric(Protocol):
    """What a family consists of."""

    kind: ClassVar[str]

    def samples(self) -> Iterator[Sample]:
        """Yield what it shows now."""


class _Single:
    """One number: `value`, unless a `read` function is set, which is called when somebody looks."""

    __slots__ = ("read", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.read: Callable[[], float] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value})"

    def samples(self) -> Iterator[Sample]:
        """Yield what it shows now."""
        yield Sample("", "", self.value if self.read is None else self.read())


class Counter(_Single):
    """Only grows: `counter.value += count`."""

    __slots__ = ()
    kind: ClassVar[str] = "counter"


class Gauge(_Single):
    """Goes up and down: `gauge.value = level`."""

    __slots__ = ()
    kind: ClassVar[str] = "gauge"


class Histogram:
    """Counts observations by size. `bounds` are the upper ends of buckets, included, ascending."""

    __slots__ = ("_bounds", "_counts", "_sum")
    kind: ClassVar[str] = "histogram"

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds of a histogram ascend"
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)  # by bucket; the last one has no bound
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value`."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._counts)

    def quantile(self, share: float) -> float:
        """Return the bound below which `share` of the values lie; 0 without values."""
        wanted = share * self.count
        seen = 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            seen += count
            if seen >= wanted:
                return bound if seen else 0.0
        return float("inf")

    def samples(self) -> Iterator[Sample]:
        """Yield what it shows now."""
        seen = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            seen += count
            yield Sample("_bucket", f'le="{_number(bound)}"', seen)
        yield Sample("_sum", "", self._sum)
        yield Sample("_count", "", seen)


MetricT = TypeVar("MetricT", bound=Metric)


class Family(Generic[MetricT]):
    """All metrics of one name, told apart by the values of their labels."""

    __slots__ = ("_children", "_make", "labels", "meaning", "name")

    def __init__(self, name: str, meaning: str, labels: Sequence[str], make: Callable[[], MetricT]) -> None:
        assert all(_NAME.fullmatch(part) for part in (name, *labels)), name
        self.name, self.meaning, self.labels = name, meaning, tuple(labels)
        self._make = make
        self._children: dict[tuple[str, ...], MetricT] = {}

    def __repr__(self) -> str:
        return f"Family({self.name}, {len(self._children)} children)"

    def child(self, *values: object) -> MetricT:
        """Return the metric with these label values, in the order of `labels`. Keep it: this is slow.

        Values must come from a small, closed set, never from clients: each one lives for ever.
        """
        key = tuple(map(str, values))
        assert len(key) == len(self.labels), f"{self.name} has the labels {self.labels}"
        if key not in self._children:
            self._children[key] = self._make()
        return self._children[key]

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        yield f"# HELP {self.name} {_escaped(self.meaning)}"
        yield f"# TYPE {self.name} {self._make().kind}"
        for values, metric in self._children.items():
            pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(self.labels, values, strict=True)]
            for suffix, additional, value in metric.samples():
                inside = ",".join([*pairs, additional] if additional else pairs)
                yield f"{self.name}{suffix}{'{' + inside + '}' if inside else ''} {_number(value)}"


class Registry:
    """The metrics of one process. Asking again for a name returns what is there."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Any]] = {}

    def counter(self, name: str, meaning: str, read: Callable[[], float] | None = None) -> Counter:
        """Return a counter without labels. Its name ends in `_total`; `read` is called to see it."""
        counter = self.counters(name, meaning, ()).child()
        counter.read = read
        return counter

    def counters(self, name: str, meaning: str, labels: Sequence[str]) -> Family[Counter]:
        """Return a family of counters."""
        assert name.endswith("_total"), name
        return self._family(name, meaning, labels, Counter)

    def gauge(self, name: str, meaning: str, read: Callable[[], float] | None = None) -> Gauge:
        """Return a gauge without labels; `read` is called to see it."""
        gauge = self.gauges(name, meaning, ()).child()
        gauge.read = read
        return gauge

    def gauges(self, name: str, meaning: str, labels: Sequence[str]) -> Family[Gauge]:
        """Return a family of gauges."""
        return self._family(name, meaning, labels, Gauge)

    def histogram(self, name: str, meaning: str, bounds: Sequence[float] = LATENCY_BUCKETS_S) -> Histogram:
        """Return a histogram without labels."""
        return self.histograms(name, meaning, (), bounds).child()

    def histograms(
        self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float] = LATENCY_BUCKETS_S
    ) -> Family[Histogram]:
        """Return a family of histograms, all with the same buckets."""
        return self._family(name, meaning, labels, lambda: Histogram(bounds))

    def render(self) -> str:
        """Return all of it in the text format."""
        lines = (line for name in sorted(self._families) for line in self._families[name].lines())
        return "\n".join(lines) + "\n"

    def _family(
        self, name: str, meaning: str, labels: Sequence[str], make: Callable[[], MetricT]
    ) -> Family[MetricT]:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(name, meaning, labels, make)
        assert family.labels == tuple(labels), f"{name} has the labels {family.labels}"
        return cast(Family[MetricT], family)


def register_process(registry: Registry, version: str) -> None:
    """Add what every process tells of itself, under the names that Prometheus' own clients use."""
    registry.gauges("holdfast_build_info", "Always 1; the label says the release.", ("version",)).child(
        version
    ).value = 1
    started_s = time.time()
    registry.gauge("process_start_time_seconds", "Start, since 1970.").value = started_s
    registry.gauge("process_resident_memory_bytes", "Memory that is in RAM.", _resident_bytes)
    registry.gauge("process_open_fds", "Open file descriptors.", _open_descriptors)
    registry.counter("process_cpu_seconds_total", "CPU time, user and system.", time.process_time)


def _resident_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open_descriptors() -> float:
    return len(os.listdir("/proc/self/fd")) - 1  # without the one that lists them


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
