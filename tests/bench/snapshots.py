"""How long snapshots and clones take: `python -m tests.bench.snapshots`, of a cluster of its own.

Two volumes, one of 1 TiB that is sparse, and one that is written from its beginning to its end. Of each, snapshots are
taken while nobody has it open, while a client has, and while a client writes 4 KiB at a time, which is what makes the
gateway wait for what is under way; clones are made of the last one. Times are until the gateway has answered, as a
program that uses `blockgw.client` sees them. After the writes a snapshot that was taken before them is read whole, and
compared by its checksum with what was written then.
"""

import argparse
import hashlib
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blockgw.client import VolumeFile, Volumes
from tests.cluster import Cluster

MiB = 1 << 20
PIECE = 8 * MiB
BLOCK = 4096


def fill(volume: VolumeFile) -> str:
    """Write a volume from its beginning to its end; return the SHA-256 of that."""
    written, chance = hashlib.sha256(), random.Random(1)
    piece = bytearray(chance.randbytes(PIECE))
    for number in range(volume.size // PIECE):
        piece[:8] = number.to_bytes(8, "big")
        rest = memoryview(piece)
        while rest:
            rest = rest[volume.write(rest) :]
        written.update(piece)
    volume.flush()
    return written.hexdigest()


def checksum(volume: VolumeFile) -> str:
    """Return the SHA-256 of all that is in a volume."""
    found, buffer = hashlib.sha256(), bytearray(PIECE)
    while count := volume.readinto(buffer):
        found.update(memoryview(buffer)[:count])
    return found.hexdigest()


@contextmanager
def written_to(volumes: Volumes, name: str) -> Iterator[list[int]]:
    """Write small blocks to a volume all the while, over the whole of it; what is given tells how many."""
    count, ended = [0], threading.Event()

    def write() -> None:
        chance = random.Random(2)
        with volumes.open(name) as volume:
            while not ended.is_set():
                volume.seek(chance.randrange(volume.size // BLOCK) * BLOCK)
                volume.write(chance.randbytes(BLOCK))
                count[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield count
    finally:
        ended.set()
        writer.join()


class Bench:
    """Of one volume."""

    def __init__(self, volumes: Volumes, name: str, rounds: int) -> None:
        self._volumes = volumes
        self._name = name
        self._rounds = rounds
        self.worst_s = 0.0

    def snapshots(self, how: str) -> None:
        """Take snapshots."""
        word = how.replace(" ", "-")
        self._time(f"snapshot, {how}", lambda each: self._volumes.snapshot(self._name, f"{word}-{each}"))

    def clones(self, snapshot: str) -> None:
        """Make clones of a snapshot."""
        self._time("clone", lambda each: self._volumes.clone(self._name, snapshot, f"{self._name}-clone-{each}"))

    def _time(self, what: str, do: Callable[[int], object]) -> None:
        took_s = []
        for each in range(self._rounds):
            begun_s = time.perf_counter()
            do(each)
            took_s.append(time.perf_counter() - begun_s)
            time.sleep(0.2)
        self.worst_s = max(self.worst_s, *took_s)
        line = {"volume": self._name, "what": what, "median_ms": statistics.median(took_s) * 1e3}
        print(json.dumps({**line, "worst_ms": max(took_s) * 1e3, "rounds": self._rounds}), flush=True)


def measure(volumes: Volumes, name: str, rounds: int, written: str | None) -> float:
    """Take snapshots of a volume and clone them; return what took longest. `written`: the checksum of what it has."""
    bench = Bench(volumes, name, rounds)
    bench.snapshots("nobody has it open")
    with volumes.open(name):
        bench.snapshots("open")
    with written_to(volumes, name) as count:
        bench.snapshots("written to")
    if written is not None and checksum_of(volumes, f"{name}@nobody-has-it-open-0") != written:
        sys.exit(f"the first snapshot of {name} is not what was written before it")
    print(json.dumps({"volume": name, "writes_meanwhile": count[0], "first_snapshot": "exact" if written else ""}))
    bench.clones("written-to-0")
    return bench.worst_s


def checksum_of(volumes: Volumes, name: str) -> str:
    """Return the SHA-256 of all that is in a volume or snapshot."""
    with volumes.open(name) as volume:
        return checksum(volume)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.snapshots", description=__doc__.partition("\n")[0])
    parser.add_argument("--gib", type=int, default=10, help="of the volume that is written; three times that of disk")
    parser.add_argument("--rounds", type=int, default=20, help="of each kind (20)")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    cluster = Cluster(directory / "data")
    try:
        cluster.up()
        volumes = Volumes(cluster.directory)
        volumes.create("sparse", 1 << 40)
        volumes.create("full", arguments.gib << 30)
        with volumes.open("full") as volume:
            begun_s = time.perf_counter()
            written = fill(volume)
        print(json.dumps({"volume": "full", "gib": arguments.gib, "written_s": time.perf_counter() - begun_s}))
        of_sparse_s = measure(volumes, "sparse", arguments.rounds, None)
        worst_s = max(of_sparse_s, measure(volumes, "full", arguments.rounds, written))
    finally:
        cluster.holdfast("down", check=False)
        shutil.rmtree(directory, ignore_errors=True)
    print(f"the worst: {worst_s * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
