"""From samples to what is shown: medians over the rounds, ratios to the other systems, a table, JSON. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tools.bench.steps import Step
from tools.bench.wrk import Sample

Samples = dict[tuple[Step, str], list[Sample]]  # by step and name of the system, one a round


@dataclass(frozen=True, slots=True)
class Result:
    """What was found of one system in one step, over all rounds."""

    step: Step
    system: str
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    error_count: int  # of all rounds
    ratios: Mapping[str, float]  # this system's rate to another's, by its name; 0.0 where that has none
    samples: Sequence[Sample]

    @property
    def bytes_per_s(self) -> float | None:
        """Return the rate of objects' bytes; None where the size does not matter."""
        return None if self.step.size is None else self.requests_per_s * self.step.size


def summarize(samples: Samples, own: str, peers: Sequence[str]) -> list[Result]:
    """Return the results in the order of the steps, in each that of `own`, with its ratios, first."""
    steps = list(dict.fromkeys(step for step, _system in samples))
    return [
        _result(samples, step, system, peers if system == own else ())
        for step in steps
        for system in (own, *peers)
    ]


def _result(samples: Samples, step: Step, system: str, others: Sequence[str]) -> Result:
    found = samples[step, system]
    rate = _rate(found)
    rates = {other: _rate(samples[step, other]) for other in others}
    return Result(
        step=step,
        system=system,
        requests_per_s=rate,
        p50_ms=median(sample.p50_ms for sample in found),
        p99_ms=median(sample.p99_ms for sample in found),
        error_count=sum(sample.error_count for sample in found),
        ratios={other: rate / other_rate if other_rate else 0.0 for other, other_rate in rates.items()},
        samples=found,
    )


def _rate(samples: Sequence[Sample]) -> float:
    return median(sample.requests_per_s for sample in samples)


def table(results: Sequence[Result], peers: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the table; the system is named only where there are several."""
    system_titles = ["system"] if peers else []
    titles = ["operation", "size", "connections", *system_titles, "requests/s", "MB/s", "p50 ms", "p99 ms", "errors"]
    rows = [titles + [f"vs {peer}" for peer in peers]]
    shown = None
    for result in results:
        step = result.step
        names = ["", "", ""]
        if step != shown:
            names = [str(step.operation), "" if step.size is None else size_text(step.size), str(step.connections)]
        shown = step
        systems = [result.system] if peers else []
        rows.append([*names, *systems, *_figures(result), *(_ratio(result, peer) for peer in peers)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = {0, 3} if peers else {0}  # columns that are not numbers
    for row in rows:
        cells = [
            cell.ljust(width) if index in texts else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _figures(result: Result) -> list[str]:
    rate = result.bytes_per_s
    return [
        _rate_text(result.requests_per_s),
        "" if rate is None else f"{rate / 1e6:.1f}",
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        str(result.error_count),
    ]


def _ratio(result: Result, peer: str) -> str:
    ratio = result.ratios.get(peer)
    if ratio is None:
        return ""
    return f"{ratio:.1f}x" if ratio else "-"


def _rate_text(rate: float) -> str:
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"


def size_text(size: int) -> str:
    """Return a number of bytes as people write it."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def document(results: Sequence[Result], seconds: int, round_count: int) -> dict[str, Any]:
    """Return all of it for programs."""
    return {
        "seconds": seconds,
        "rounds": round_count,
        "results": [
            {
                "operation": str(result.step.operation),
                "size": result.step.size,
                "connections": result.step.connections,
                "system": result.system,
                "requests_per_s": round(result.requests_per_s, 2),
                "bytes_per_s": None if result.bytes_per_s is None else round(result.bytes_per_s),
                "p50_ms": result.p50_ms,
                "p99_ms": result.p99_ms,
                "errors": result.error_count,
                "ratios": {peer: round(ratio, 3) for peer, ratio in result.ratios.items()},
                "requests_per_s_by_round": [round(sample.requests_per_s, 2) for sample in result.samples],
            }
            for result in results
        ],
    }
