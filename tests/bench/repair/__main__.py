"""`python -m tests.bench.repair OPTION…`: see the package."""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from storage.client import connected_placement
from storage.messages import Operation
from storage.rings.document import OBJECT
from storage.rings.moves import held_partitions
from storage.rings.store import RingStore
from tests.bench.repair.clients import Clients, Latencies
from tests.cluster import Cluster
from tests.faults.replicas import await_right
from tools.bench.client import Client, System
from tools.progress import Progress

KiB, MiB = 1 << 10, 1 << 20
NODES, LOST = 4, 3
SMALL_BYTES, LARGE_BYTES = 4 * KiB, 16 * MiB
LIMIT = 3.0  # times the quiet p99 that clients may wait while a device is made whole
_BUCKET = "filled"
_LOOK_S = 3.0  # between looks at how far it is: each costs half a second of CPU, which clients feel
_PATIENCE_S = 3600.0
_PARTITIONS_PER_MESSAGE = 64
_NEARLY_ALL = 0.995  # what clients write meanwhile is copied too, one by one, for as long as they do
_OBJECTS, _BYTES = "holdfast_device_copies_total", "holdfast_device_copies_bytes_total"
Course = list[tuple[float, int, int]]  # seconds since the device was started; objects and bytes that it had copied


@dataclass(frozen=True, slots=True)
class Phase:
    """What clients saw in it."""

    name: str
    requests: int
    failures: int
    get_p50_ms: float
    get_p99_ms: float
    put_p50_ms: float
    put_p99_ms: float


@dataclass(frozen=True, slots=True)
class Repair:
    """What the device did."""

    objects: int
    bytes: int
    copying_s: float  # from its start until nearly all was there
    whole_s: float  # until it voted again
    clients: tuple[Phase, ...]
    comparison_messages: int  # to compare all devices with each other when nothing differs
    comparison_ms: float

    @property
    def ratio(self) -> float:
        """How many times longer the slowest in a hundred took, of the method that suffered more."""
        quiet, busy = self.clients
        return max(busy.get_p99_ms / quiet.get_p99_ms, busy.put_p99_ms / quiet.put_p99_ms)


def main() -> int:
    """Measure; return 1 when clients waited too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.repair")
    parser.add_argument("--objects", type=int, default=10_000, help="small ones on the lost device (default: 10000)")
    parser.add_argument("--large-mib", type=int, default=256, help="of large ones there, in MiB (default: 256)")
    parser.add_argument("--rate", type=float, default=120, help="requests of clients per second (default: 120)")
    parser.add_argument("--quiet-s", type=float, default=15, help="for which clients are measured first (default: 15)")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-repair-") as directory, Progress() as progress:
        cluster = Cluster(Path(directory) / "data", NODES)
        progress.show("starting a cluster")
        cluster.up()
        cluster.await_connected(60)
        try:
            found = measure(cluster, arguments, progress)
        finally:
            cluster.holdfast("down", check=False)
    print(json.dumps({**asdict(found), "ratio": found.ratio}) if arguments.json else "\n".join(_table(found)))
    return int(found.ratio > LIMIT)


def measure(cluster: Cluster, arguments: argparse.Namespace, progress: Progress) -> Repair:
    """Fill, lose a device, and watch."""
    env = cluster.env
    keys = (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_DEFAULT_REGION"])
    client = Client(System("holdfast", cluster.s3_endpoint, *keys))
    _fill(client, arguments, progress)
    _await_calm(cluster, progress)
    clients = Clients(client, arguments.rate)
    clients.prepare()
    messages, comparison_s = asyncio.run(_compare(cluster))
    with clients.running():
        progress.show("measuring clients while nothing else happens")
        time.sleep(2)
        clients.begin_phase()
        time.sleep(arguments.quiet_s)
        quiet = clients.end_phase()
        progress.show(f"device {LOST} is lost")
        cluster.holdfast("node", "kill", str(LOST))
        device = load(cluster.directory / "cluster.toml").device(LOST)
        shutil.rmtree(cluster.directory / device.directory)
        (cluster.directory / device.directory).mkdir(mode=0o700)
        cluster.holdfast("node", "start", str(LOST))
        clients.begin_phase()
        course = _await_whole(cluster, progress)
        busy = clients.end_phase()
    progress.show("looking at all replicas")
    await_right(cluster, 300)
    whole_s, objects, copied_bytes = course[-1]
    return Repair(
        objects=objects,
        bytes=copied_bytes,
        copying_s=next(at_s for at_s, count, _bytes in course if count >= objects * _NEARLY_ALL),
        whole_s=whole_s,
        clients=(_phase("quiet", quiet), _phase("while it is rebuilt", busy)),
        comparison_messages=messages,
        comparison_ms=comparison_s * 1000,
    )


def _fill(client: Client, arguments: argparse.Namespace, progress: Progress) -> None:
    """Store so much that the lost device has its share of it: replicas lie on three of four devices."""
    client.create_bucket(_BUCKET)
    small, large = arguments.objects * NODES // 3, arguments.large_mib * MiB * NODES // 3 // LARGE_BYTES
    step = 2000
    for first in range(0, small, step):
        progress.show(f"filling: {first} of {small} small objects")
        client.put(_BUCKET, [f"s{index:07}" for index in range(first, min(small, first + step))], bytes(SMALL_BYTES))
    for first in range(0, large, 8):
        progress.show(f"filling: {first} of {large} large objects")
        client.put(_BUCKET, [f"l{index:05}" for index in range(first, min(large, first + 8))], bytes(LARGE_BYTES))


def _await_calm(cluster: Cluster, progress: Progress) -> None:
    progress.show("waiting until replicas agree")
    deadline = time.monotonic() + _PATIENCE_S
    while cluster.missing_replicas():
        assert time.monotonic() < deadline, cluster.status()
        time.sleep(_LOOK_S)


def _await_whole(cluster: Cluster, progress: Progress) -> Course:
    """Watch until the device votes again: it has everything then, by its own account."""
    course: Course = []
    begin = time.monotonic()
    while time.monotonic() - begin < _PATIENCE_S:
        time.sleep(_LOOK_S)
        metrics, health = cluster.metrics(LOST), _health(cluster)
        if not metrics or not health:
            continue
        course.append((time.monotonic() - begin, *(int(metrics[name]) for name in (_OBJECTS, _BYTES))))
        progress.show(f"rebuilding: {course[-1][1]} objects in {course[-1][0]:.0f} s")
        if course[-1][1] and not health["rebuilding"]:
            return course
    raise AssertionError(f"not whole after {_PATIENCE_S:.0f} s: {_health(cluster)}")


def _health(cluster: Cluster) -> dict[str, Any]:
    devices = [device for node in cluster.status()["nodes"] for device in node["devices"]]
    return dict(next(device["health"] for device in devices if device["id"] == LOST))


async def _compare(cluster: Cluster) -> tuple[int, float]:
    """Ask what replication asks when nothing differs: of each device, for each other, digests of what both hold.

    Return the number of messages, and the time that they took one after the other.
    """
    layout = Layout(cluster.directory)
    coordination = EmbeddedCoordination(layout.coordination)
    store = RingStore(coordination)
    rings = store.rings_of(store.document())
    coordination.close()
    ring, placement = rings.current[OBJECT], connected_placement(load(layout.config), layout, rings)
    placement.start()
    await asyncio.gather(*(peer.ready(10) for peer in placement.peers.values()))
    held = {device: set(held_partitions(ring, device)) for device in placement.peers}
    messages, begin = 0, time.monotonic()
    for device in held:
        for other, peer in placement.peers.items():
            shared = sorted(held[device] & held[other]) if other != device else []
            for first in range(0, len(shared), _PARTITIONS_PER_MESSAGE):
                asked = shared[first : first + _PARTITIONS_PER_MESSAGE]
                await peer.call(Operation.BLOB_DIGESTS, (ring.part_power, asked), b"", 30.0, rings.version)
                messages += 1
    took_s = time.monotonic() - begin
    await placement.close()
    return messages, took_s


def _phase(name: str, found: Latencies) -> Phase:
    def ms(method: str, percent: float) -> float:
        return round(found.percentile(method, percent) * 1000, 2)

    count = sum(len(seconds) for seconds in found.seconds.values())
    return Phase(name, count, found.failures, ms("GET", 50), ms("GET", 99), ms("PUT", 50), ms("PUT", 99))


def _table(found: Repair) -> list[str]:
    megabytes = found.bytes / 1e6
    rates = f"{found.objects / found.copying_s:.0f} objects/s, {megabytes / found.copying_s:.0f} MB/s"
    lines = [
        f"rebuilt: {found.objects} objects, {megabytes:.0f} MB in {found.copying_s:.1f} s: {rates}",
        f"the device votes again after {found.whole_s:.1f} s",
        "",
        f"{'clients':<22} {'requests':>9} {'failed':>7} {'GET p50':>9} {'p99':>9} {'PUT p50':>9} {'p99':>9}   ms",
    ]
    lines += [
        f"{each.name:<22} {each.requests:>9} {each.failures:>7} {each.get_p50_ms:>9} {each.get_p99_ms:>9} "
        f"{each.put_p50_ms:>9} {each.put_p99_ms:>9}"
        for each in found.clients
    ]
    verdict = "within" if found.ratio <= LIMIT else "MORE THAN"
    lines += [
        "",
        f"p99 is {found.ratio:.1f} times its quiet value: {verdict} {LIMIT:.0f} times",
        f"comparing all when nothing differs: {found.comparison_messages} messages, {found.comparison_ms:.0f} ms",
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
