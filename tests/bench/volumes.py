"""Volumes by fio's nbd engine: `python -m tests.bench.volumes`, beside a peer with `--peer nbd://HOST:PORT/NAME`.

A cluster of its own with one gateway (or that of `--uri`), a volume of it written once from beginning to end, then each
work in turn, on ours and on the peer's alternately, `--rounds` times. A line of JSON for each run, then a table of
medians. The peer's volume is written over.

CPU time is what the daemons of our own cluster have used for an operation, all replicas together: it says more than the
rest on a machine that others use, too.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import Cluster

OURS, PEER = "ours", "peer"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Work:
    """What fio does."""

    name: str
    options: tuple[str, ...]
    in_megabytes: bool = False  # what counts is MB/s, not operations


WORKS = (
    Work("write 4k, depth 1", ("--rw=randwrite", "--bs=4k", "--iodepth=1")),
    Work("write 4k, depth 32", ("--rw=randwrite", "--bs=4k", "--iodepth=32")),
    Work("write 4k, flush each", ("--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1")),
    Work("read 4k, depth 1", ("--rw=randread", "--bs=4k", "--iodepth=1")),
    Work("read 4k, depth 32", ("--rw=randread", "--bs=4k", "--iodepth=32")),
    Work("70 % reads 4k, depth 32", ("--rw=randrw", "--rwmixread=70", "--bs=4k", "--iodepth=32")),
    Work("write 1M in order, depth 8", ("--rw=write", "--bs=1M", "--iodepth=8"), in_megabytes=True),
    Work("read 1M in order, depth 8", ("--rw=read", "--bs=1M", "--iodepth=8"), in_megabytes=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run."""

    system: str
    work: str
    iops: float
    megabytes_per_s: float
    p50_us: float  # until an operation is answered; of the kind that there is more of
    p99_us: float
    cpu_us: float | None  # of our daemons, for an operation

    def line(self) -> str:
        """Return it as JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def fio(uri: str, size: str, options: Sequence[str]) -> dict[str, Any]:
    """Run fio; return what it tells of its job."""
    command = ["fio", "--name=x", "--ioengine=nbd", f"--uri={uri}", "--direct=1", f"--size={size}", *options]
    done = subprocess.run([*command, "--output-format=json"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"fio has failed: {done.stderr or done.stdout}")
    told: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    return told


def daemons(data: Path) -> list[Path]:
    """Return the processes of a cluster that serve volumes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
        except OSError:  # it has ended
            continue
        if {"storage.daemon", "blockgw.daemon"} & set(words) and str(data / "cluster.toml") in words:
            found.append(process)
    return found


def cpu_s(processes: Sequence[Path]) -> float:
    """Return the CPU time that processes have used."""
    ticks = 0
    for process in processes:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def run(system: str, work: Work, uri: str, arguments: argparse.Namespace, processes: Sequence[Path]) -> Outcome:
    """Have one work done on one system."""
    before = cpu_s(processes)
    told = fio(uri, arguments.size, (f"--runtime={arguments.seconds}", "--time_based", *work.options))
    used = cpu_s(processes) - before
    main = max(told["read"], told["write"], key=lambda kind: kind["total_ios"])
    percentiles = main["clat_ns"].get("percentile", {})
    count = told["read"]["total_ios"] + told["write"]["total_ios"]
    return Outcome(
        system,
        work.name,
        round(told["read"]["iops"] + told["write"]["iops"], 1),
        round((told["read"]["bw_bytes"] + told["write"]["bw_bytes"]) / 1e6, 1),
        round(percentiles.get("50.000000", 0) / 1e3),
        round(percentiles.get("99.000000", 0) / 1e3),
        round(used / count * 1e6, 1) if processes else None,
    )


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of a table of medians."""
    yield f"{'work':<28}{'ours':>12}{'peer':>12}{'ratio':>8}{'our CPU us':>12}"
    for work in WORKS:
        figures = {}
        for system in (OURS, PEER):
            mine = [each for each in outcomes if (each.system, each.work) == (system, work.name)]
            if mine:
                of_each = [each.megabytes_per_s if work.in_megabytes else each.iops for each in mine]
                figures[system] = statistics.median(of_each)
        if not figures:
            continue
        unit = " MB/s" if work.in_megabytes else " /s"
        ours, peer = figures[OURS], figures.get(PEER)
        used = [each.cpu_us for each in outcomes if each.work == work.name and each.cpu_us is not None]
        yield (
            f"{work.name:<28}{f'{ours:.0f}{unit}':>12}{'' if peer is None else f'{peer:.0f}{unit}':>12}"
            f"{'' if not peer else f'{ours / peer:.2f}':>8}{f'{statistics.median(used):.0f}' if used else '':>12}"
        )


@contextmanager
def volume(arguments: argparse.Namespace) -> Iterator[tuple[str, list[Path]]]:
    """Give the URI of a volume to measure, and the processes that serve it."""
    if arguments.uri:
        yield arguments.uri, []
        return
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    cluster = Cluster(directory / "data")
    try:
        cluster.up()
        cluster.holdfast("volume", "create", "bench", arguments.size)
        yield cluster.nbd("bench"), daemons(cluster.directory)
    finally:
        cluster.holdfast("down", check=False)
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.volumes", description=__doc__.partition("\n")[0])
    parser.add_argument("--uri", default="", help="a volume to measure, instead of one in a cluster of its own")
    parser.add_argument("--peer", default="", help="another NBD server's export, to compare with; it is written over")
    parser.add_argument("--size", default="1G", help="of the volumes (1G)")
    parser.add_argument("--seconds", type=int, default=5, help="of each run (5)")
    parser.add_argument("--rounds", type=int, default=3, help="of each work (3)")
    parser.add_argument("--works", default="", help="only those whose names have this in them")
    arguments = parser.parse_args()
    works = [work for work in WORKS if arguments.works in work.name]
    if not works or not shutil.which("fio"):
        sys.exit("no such work" if not works else "fio is missing: apt-get install fio")
    outcomes = []
    with volume(arguments) as (uri, processes):
        systems = [(OURS, uri, processes)] + ([(PEER, arguments.peer, [])] if arguments.peer else [])
        for _system, each, _processes in systems:
            fio(each, arguments.size, ("--rw=write", "--bs=1M", "--iodepth=8"))
        for work in works:
            for _round in range(arguments.rounds):
                for system, each, used_by in systems:
                    outcome = run(system, work, each, arguments, used_by)
                    outcomes.append(outcome)
                    print(outcome.line(), flush=True)
    print("\n".join(table(outcomes)))


if __name__ == "__main__":
    main()
