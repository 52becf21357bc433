"""The gateway's memory has a bound, however large volumes are, and however many are open."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.telemetry.probe import memory_bytes
from tests.cluster import Cluster, running
from tests.nbd_disk import NbdDisk

LONG = os.environ.get("HOLDFAST_TEST_LONG", "") not in ("", "0")
LIMIT_BYTES = 256 << 20  # docs/volumes.md says so
VOLUMES = 100
SIZE = 1 << 40
READS, WRITES = (4096, 64) if LONG else (96, 4)  # of each volume, each in another chunk


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("memory") / "data")


def test_a_hundred_volumes_of_a_tebibyte_are_open_at_once(cluster: Cluster) -> None:
    gateway = cluster.processes()["gateway-0"]
    before = memory_bytes(gateway)
    names = [f"volume-{number}" for number in range(VOLUMES)]
    for name in names:
        cluster.ask_gateway("create", name=name, size=SIZE)
    disks = [NbdDisk("127.0.0.1", 10809 + cluster.offset, name) for name in names]
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, disks, range(VOLUMES)))
        after = memory_bytes(gateway)
        assert cluster.status()["gateways"][0]["health"]["volumes_open"] == VOLUMES
    finally:
        for disk in disks:
            disk.close()
    assert before is not None
    assert after is not None
    print(f"{before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after {VOLUMES * READS} chunks")
    assert after < LIMIT_BYTES


def use(disk: NbdDisk, seed: int) -> None:
    """Read and write here and there."""
    chance = random.Random(seed)
    chunks = chance.sample(range(SIZE >> 22), READS)
    for start in range(0, READS, 32):
        offsets = [number << 22 for number in chunks[start : start + 32]]
        assert not any(any(data) for data in disk.read(offsets, 4096).values())
    disk.write(dict.fromkeys([number << 22 for number in chunks[:WRITES]], b"x" * 4096), fua=True)
