"""Runs the programs in turns, and prints medians of the rounds side by side."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.ring import quality, setting
from tests.bench.ring.setting import Figures


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. `goal`: how many times as good as Swift's ours should be."""

    name: str
    label: str
    unit: str
    more_is_better: bool = False
    goal: float = 1.0


LINES = (
    Line("first_s", "first rebalance", "s", goal=5),
    Line("first_balance", "  balance", "%"),
    Line("first_dispersion", "  dispersion", "%"),
    Line("nothing_s", "rebalance that changes nothing", "s", goal=5),
    Line("nothing_balance", "  balance", "%"),
    Line("nothing_dispersion", "  dispersion", "%"),
    Line("nothing_moved", "  moved", "% of replicas"),
    Line("removed_s", "rebalance after removing a device", "s", goal=5),
    Line("removed_balance", "  balance", "%"),
    Line("removed_dispersion", "  dispersion", "%"),
    Line("removed_moved", "  moved", "% of replicas"),
    Line("peak_mb", "  peak memory of the three", "MB"),
    Line("builder_save_s", ".builder file, save", "s"),
    Line("builder_load_s", "  load", "s"),
    Line("builder_mb", "  size", "MB"),
    Line("own_save_s", ".ring file (Swift: .ring.gz), save", "s"),
    Line("own_load_s", "  load, ready for lookups", "s"),
    Line("own_mb", "  size", "MB"),
    Line("gz_save_s", ".ring.gz file, save", "s"),
    Line("gz_load_s", "  load, ready for lookups", "s"),
    Line("gz_mb", "  size", "MB"),
    Line("names_per_s", "name -> devices", "lookups/s", more_is_better=True),
    Line("partitions_per_s", "partition -> devices", "lookups/s", more_is_better=True),
    Line("lookup_peak_mb", "  peak memory of files and lookups", "MB"),
)
SIDES = ("ours", "swift")


def measure(rounds: int) -> dict[str, Figures]:
    """Return the medians of `rounds`, by side. The sides take turns: a busy machine is busy for both."""
    found: dict[str, list[Figures]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side, figures in found.items():
            print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix="holdfast-bench-ring-") as name:
                directory = Path(name)
                measured = _run(f"build_{side}", directory) | _run(f"look_up_{side}", directory)
                figures.append(measured | quality.judge(directory, side))
    return {
        side: {line.name: statistics.median(each[line.name] for each in figures) for line in LINES}
        for side, figures in found.items()
    }


def _run(program: str, directory: Path) -> Figures:
    command = [sys.executable, "-m", f"tests.bench.ring.{program}", str(directory)]
    figures: Figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def ratio(line: Line, ours: float, swift: float) -> float | None:
    """Return how many times as good as Swift's ours is; None when ours is nothing, than which nothing is better."""
    better, worse = (ours, swift) if line.more_is_better else (swift, ours)
    return better / worse if worse else None


def table(found: dict[str, Figures]) -> str:
    """Return the figures as text."""
    rows = [f"{'':38}{'Holdfast':>12}{'Swift':>12}  {'':14}{'ratio':>7}  goal"]
    for line in LINES:
        ours, swift = (found[side][line.name] for side in SIDES)
        times = ratio(line, ours, swift)
        verdict = "" if times is None else f"{times:7.2f}  {line.goal:g}{'' if times >= line.goal else '  missed'}"
        rows.append(f"{line.label:38}{_figure(ours):>12}{_figure(swift):>12}  {line.unit:14}{verdict}".rstrip())
    return "\n".join(rows)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ring", description=setting.__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    if arguments.json:
        ratios = {line.name: ratio(line, *(found[side][line.name] for side in SIDES)) for line in LINES}
        print(json.dumps({**found, "ratio": ratios}, indent=2))
    else:
        print(table(found))


if __name__ == "__main__":
    main()
