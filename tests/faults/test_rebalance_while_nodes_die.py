"""The rings change under load while nodes are killed and the network is cut in half: nothing is lost, nothing is stale.

Four nodes, each in a network of its own. Two are added and one is drained, by the commands that an operator uses;
meanwhile the network between them is cut in half for 30 s, twice, and each storage daemon is killed once. (The short
form adds one node and cuts once, for a few seconds; `make faults` runs the long one.) Clients keep working on both
sides, and check what they see (load). In the end every replica is where the rings say (replicas), and no more was
copied than the rings' differences ask for (traffic), but for a margin: what was half copied when somebody died, and
what clients wrote while a replica was away, which comes to it as a copy.

Coordination is one file that all nodes see also while they are cut apart; what is cut is all that daemons say to each
other.
"""

import hashlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from cluster.config import load as load_config
from ring.hashing import NameHash
from ring.lookup import Ring
from storage.rings.document import OBJECT
from tests.cluster import NetworkedCluster
from tests.faults.load import Load
from tests.faults.replicas import await_right, joining_bytes, rings_in_force
from tests.faults.traffic import Traffic

LONG = os.environ.get("HOLDFAST_TEST_LONG", "") not in ("", "0")
CUT_S = 30.0 if LONG else 4.0
ADDED = 2 if LONG else 1
SMALL, LARGE = ((20_000, 60) if LONG else (1000, 10))  # objects that are there before, besides what the load writes
SMALL_BYTES, LARGE_BYTES = 16_384, 5_000_000
CHANGE_LIMIT_S = 1200.0 if LONG else 180.0
MARGIN = 1.3
DEVICES = (0, 1, 2, 3, 4, 5)  # one a node
DRAINED = 1
HALVES = (("0", "1", "4"), ("0", "3", "5"))  # one side of each cut; nodes that are not there yet do not matter
MOVED, COPIED = "holdfast_device_bytes_copied_total", "holdfast_device_copies_bytes_total"  # for moves; for any reason
_TOLD_TO_CLIENTS = "SegmentChanged"  # a download in parts that is deleted meanwhile: it breaks off
BUCKET, FILLED = "moving", "filled"


class Operator:
    """Changes the rings, one command after the other, in a thread: those that fail are given again."""

    def __init__(self, cluster: NetworkedCluster) -> None:
        self._cluster = cluster
        self.changes: list[tuple[Ring, Ring]] = []  # before and after, of objects
        self.took_s: list[float] = []
        self.refusals: list[str] = []
        self.failure: Exception | None = None

    def work(self) -> None:
        try:
            for command in [("node", "add")] * ADDED + [("device", "drain", str(DRAINED))]:
                self._change(command)
        except Exception as error:
            self.failure = error

    def least_bytes(self, sizes: Mapping[bytes, int]) -> int:
        """Return how much the changes had to copy."""
        return sum(joining_bytes(before, after, sizes) for before, after in self.changes)

    def _change(self, command: tuple[str, ...]) -> None:
        begin, before = time.monotonic(), rings_in_force(self._cluster)[OBJECT]
        known = len(load_config(self._cluster.directory / "cluster.toml").devices)
        while not self._done(command, before, known):
            assert time.monotonic() < begin + CHANGE_LIMIT_S, f"{command}: {self.refusals[-1:]}"
            time.sleep(1)
        self.took_s.append(time.monotonic() - begin)
        self.changes.append((before, rings_in_force(self._cluster)[OBJECT]))

    def _done(self, command: tuple[str, ...], before: Ring, known: int) -> bool:
        """Give a command, unless it has been done by one that failed afterwards."""
        try:
            self._cluster.holdfast(*command, "--yes", timeout_s=CHANGE_LIMIT_S)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            self.refusals.append(str(error)[-300:])
            grown = len(load_config(self._cluster.directory / "cluster.toml").devices) > known
            return (command[0] == "node" and grown) and rings_in_force(self._cluster)[OBJECT].version > before.version
        return True


def _filled(cluster: NetworkedCluster) -> dict[str, int]:
    """Fill a bucket; return the names and sizes of what is in it."""
    names = {f"s{index:05}": SMALL_BYTES for index in range(SMALL)}
    names |= {f"l{index:03}": LARGE_BYTES for index in range(LARGE)}
    client = cluster.s3(retries={"max_attempts": 10}, max_pool_connections=8)
    client.create_bucket(Bucket=FILLED)
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda item: client.put_object(Bucket=FILLED, Key=item[0], Body=_body(*item)), names.items()))
    return names


def _body(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


def _lost(cluster: NetworkedCluster, names: Mapping[str, int]) -> list[str]:
    """Return what of the filled bucket is not there, or not as it was, or not listed."""
    client = cluster.s3(retries={"max_attempts": 10}, max_pool_connections=8)

    def is_whole(item: tuple[str, int]) -> bool:
        body = client.get_object(Bucket=FILLED, Key=item[0])["Body"].read()
        return hashlib.md5(body).digest() == hashlib.md5(_body(*item)).digest()

    with ThreadPoolExecutor(max_workers=8) as pool:
        whole = list(pool.map(is_whole, names.items()))
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=FILLED)
    listed = {item["Key"] for page in pages for item in page.get("Contents", ())}
    return [name for name, fits in zip(names, whole, strict=True) if not fits] + sorted(names.keys() ^ listed)


def _sizes(cluster: NetworkedCluster) -> dict[bytes, int]:
    """Return the size of every object that clients see, by the key that places it."""
    secrets = load_config(cluster.directory / "cluster.toml").cluster
    hashes = NameHash(secrets.hash_prefix.encode(), secrets.hash_suffix.encode())
    client = cluster.s3(retries={"max_attempts": 6})
    return {
        hashes.key("AUTH_admin", bucket, item["Key"]): item["Size"]
        for bucket in (FILLED, BUCKET)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for item in page.get("Contents", ())
    }


def _cut(cluster: NetworkedCluster, side: tuple[str, ...]) -> None:
    cluster.network.cut(side)
    time.sleep(CUT_S)
    cluster.network.join()


def _kill(cluster: NetworkedCluster, device: int, traffic: Traffic) -> None:
    """kill -9 a storage daemon once it serves, and return when it has come back."""
    name, deadline = f"storage-{device}", time.monotonic() + CHANGE_LIMIT_S
    ready = cluster.directory / "run" / f"{name}.ready"
    while name not in cluster.processes() or not ready.exists():
        assert time.monotonic() < deadline, f"{name} does not serve"
        time.sleep(0.1)
    pid = cluster.processes()[name]
    traffic.look(device)
    os.kill(pid, signal.SIGKILL)
    while cluster.processes().get(name, pid) == pid or not ready.exists():
        assert time.monotonic() < deadline, f"{name} does not come back"
        time.sleep(0.05)
    time.sleep(2)  # the others connect to it: one is down at a time


def test_rings_change_while_nodes_die_and_the_network_is_cut(networked: NetworkedCluster) -> None:
    cluster = networked
    names = _filled(cluster)
    cluster.s3().create_bucket(Bucket=BUCKET)
    load, operator = Load(cluster, BUCKET, writers=4, readers=2), Operator(cluster)
    traffic = Traffic(cluster, MOVED, COPIED)
    changing = threading.Thread(target=operator.work, daemon=True)
    began = time.monotonic()
    with traffic.watched(*DEVICES):
        with load.running():
            time.sleep(1)
            changing.start()
            time.sleep(2)
            _cut(cluster, HALVES[0])
            for device in DEVICES[:5]:
                _kill(cluster, device, traffic)
            if LONG:
                _cut(cluster, HALVES[1])
                _kill(cluster, DEVICES[5], traffic)
            changing.join(CHANGE_LIMIT_S * 3)
        assert not changing.is_alive(), operator.refusals
        if operator.failure is not None:
            raise operator.failure
        cluster.await_connected(60)
        load.check_everything()
        load.check_rows()
        found = await_right(cluster)
    took_s = time.monotonic() - began
    least, bytes_of = operator.least_bytes(_sizes(cluster)), traffic.totals()
    print(load.report())
    print(
        f"{len(operator.changes)} changes in {took_s:.0f} s ({', '.join(f'{each:.0f}' for each in operator.took_s)}); "
        f"{bytes_of[MOVED] / 1e6:.0f} MB moved, {bytes_of[COPIED] / 1e6:.0f} MB copied in all, {least / 1e6:.0f} MB at "
        f"least: {bytes_of[MOVED] / least:.2f} and {bytes_of[COPIED] / least:.2f} times; {found.counts()}"
    )
    assert not load.violations, load.report()
    assert not _lost(cluster, names)
    assert bytes_of[MOVED] < least * MARGIN, (bytes_of, least, operator.refusals)
    assert bytes_of[COPIED] < least * MARGIN + load.sent_bytes, (bytes_of, least, load.sent_bytes)
    complaints = cluster.log_lines("Traceback", "level=error component=storage", "level=error component=proxy")
    assert not [line for line in complaints if _TOLD_TO_CLIENTS not in line]


def test_the_drained_node_holds_nothing(networked: NetworkedCluster) -> None:
    """By its own account too; it can be taken away."""
    cluster = networked
    deadline = time.monotonic() + 60
    while cluster.metrics(DRAINED)["holdfast_device_versions"] and time.monotonic() < deadline:
        time.sleep(0.5)
    assert cluster.metrics(DRAINED)["holdfast_device_versions"] == 0
    cluster.holdfast("device", "remove", str(DRAINED), "--yes", timeout_s=CHANGE_LIMIT_S)
    assert cluster.status()["state"] == "healthy"
