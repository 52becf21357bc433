"""What both sides are given: 2^18 partitions x 3 replicas over 1000 devices of mixed weights in 5 zones."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

PART_POWER, REPLICAS, ZONES, NODES, DEVICES = 18, 3, 5, 100, 1000
WEIGHTS = (100.0, 150.0, 200.0, 200.0, 400.0)
REMOVED = 500
SEED = 1
PHASES = ("first", "nothing", "removed")  # rebalances: of nothing, of no change, of a device less
START_S, PAUSE_S = 1_700_000_000, 7200  # between rebalances, min_part_hours being 1
PREFIX, SUFFIX = b"changeme", b"changeme too"
ACCOUNT, CONTAINER = "AUTH_test", "photos"
LOOKUPS = 200_000
FILE_REPEATS = 5

Figures = dict[str, float]
_Result = TypeVar("_Result")


def device_fields(device_id: int) -> dict[str, Any]:
    """Return a device as keywords of `Device`, which are Swift's names too."""
    zone, node = device_id % ZONES, device_id % NODES
    ip = f"10.0.{zone}.{node}"
    return {
        "id": device_id,
        "region": 1,
        "zone": zone,
        "ip": ip,
        "port": 6200,
        "device": f"d{device_id // NODES}",
        "weight": WEIGHTS[device_id // ZONES % len(WEIGHTS)],
        "replication_ip": ip,
        "replication_port": 6200,
        "meta": "",
    }


class Clock:
    """Times what it is given, and keeps the median seconds by name."""

    def __init__(self) -> None:
        self.figures: Figures = {}

    def __call__(self, name: str, act: Callable[[], _Result], repeats: int = 1) -> _Result:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            result = act()
            times.append(time.perf_counter() - start)
        self.figures[name] = statistics.median(times)
        return result


def save_rows(path: Path, rows: Any) -> None:
    """Keep the placement `rows` for `quality`."""
    path.write_bytes(b"".join(row.tobytes() for row in rows))


def lookup_rates(of_name: Callable[[str], object], of_partition: Callable[[int], object]) -> Figures:
    """Return lookups a second, of names and of partitions in no order, and the memory that the process came to."""
    names = [f"{number * 7919 % LOOKUPS}.jpeg" for number in range(LOOKUPS)]
    partitions = [number * 7919 % (1 << PART_POWER) for number in range(LOOKUPS)]
    clock = Clock()
    clock("names_per_s", lambda: sum(1 for name in names if of_name(name)))
    clock("partitions_per_s", lambda: sum(1 for partition in partitions if of_partition(partition)))
    return {name: LOOKUPS / seconds for name, seconds in clock.figures.items()} | {"lookup_peak_mb": peak_mb()}


def megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def peak_mb() -> float:
    """Return the largest memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def run(program: Callable[[Path], Figures]) -> None:
    """Run `program` in the directory that the command line names, and print its figures."""
    print(json.dumps(program(Path(sys.argv[1]))))
