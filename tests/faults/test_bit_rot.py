"""Flipped bits in what one node has stored, while it runs and while it is down: nobody sees one, and all are healed.

HOLDFAST_TEST_ROT: how many records and files are damaged (1000).
"""

import http.client
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPMessage
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import pytest

from blockgw.extents import CHUNK
from tests.cluster import Cluster, running
from tests.faults.rot import Stored, spoil_databases, spoil_file, spoil_record, stored_objects
from tests.nbd_disk import NbdDisk

DAMAGED = int(os.environ.get("HOLDFAST_TEST_ROT", "1000"))
LARGE_COUNT = max(4, DAMAGED // 33)
SMALL_COUNT = DAMAGED + DAMAGED // 4
LARGE_BYTES = 1_300_000  # more than a record of the log takes
VICTIM = 1
BUCKET = "rot"
CHUNKS = 20  # of a volume
PAUSE_S = 0.005  # of a reader between two requests: the readers shall look on, not be the load
NAMES = [f"small-{n}" for n in range(SMALL_COUNT)] + [f"large-{n}" for n in range(LARGE_COUNT)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes: each holds every object."""
    yield from running(tmp_path_factory.mktemp("rot") / "data", nodes=3)


def body_of(name: str) -> bytes:
    chance = random.Random(name)
    return chance.randbytes(LARGE_BYTES if name.startswith("large") else chance.randrange(1, 5000))


class Client:
    """Swift over plain connections, one a thread: a tenth of what an SDK costs, for requests by the thousand."""

    def __init__(self, cluster: Cluster) -> None:
        where = urlsplit(cluster.env["ST_AUTH"])
        self._host, self._port = str(where.hostname), where.port
        self._local = threading.local()
        user, key = cluster.env["ST_USER"], cluster.env["ST_KEY"]
        _, headers, _ = self._asked("GET", where.path, {"X-Auth-User": user, "X-Auth-Key": key})
        self._path = urlsplit(headers["X-Storage-Url"]).path
        self._token = {"X-Auth-Token": headers["X-Auth-Token"]}

    def put(self, name: str, body: bytes) -> None:
        status, _, answer = self._asked("PUT", f"{self._path}/{BUCKET}/{name}", self._token, body)
        assert status == 201, (status, answer)

    def get(self, name: str, headers: Mapping[str, str] = MappingProxyType({})) -> tuple[int, bytes]:
        status, _, body = self._asked("GET", f"{self._path}/{BUCKET}/{name}", {**self._token, **headers})
        return status, body

    def _asked(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, HTTPMessage, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (http.client.HTTPException, OSError):
            connection.close()  # the next request makes it anew
            raise


def fill(cluster: Cluster) -> None:
    cluster.s3().create_bucket(Bucket=BUCKET)
    client = Client(cluster)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: client.put(name, body_of(name)), NAMES))


class Readers:
    """Threads that read objects at random, whole or a range of them, and check every byte."""

    def __init__(self, cluster: Cluster, count: int = 2) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in range(count)]
        self.wrong: list[str] = []
        self.failed: list[str] = []
        self.count = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _read(self, number: int) -> None:
        client, chance = Client(self._cluster), random.Random(number)
        while not self._stop.is_set():
            name = chance.choice(NAMES)
            try:
                self._check(client, name, chance)
            except (http.client.HTTPException, OSError) as error:
                self.failed.append(f"{name}: {error!r}")
            self.count += 1
            time.sleep(PAUSE_S)

    def _check(self, client: Client, name: str, chance: random.Random) -> None:
        body = body_of(name)
        first, last = 0, len(body) - 1
        headers = {}
        if chance.random() < 0.3:
            first = chance.randrange(len(body))
            last = chance.randrange(first, len(body))
            headers = {"Range": f"bytes={first}-{last}"}
        status, found = client.get(name, headers)
        if status not in (200, 206):
            self.failed.append(f"{name}: {status}")
        elif found != body[first : last + 1]:
            self.wrong.append(name)


def damage(device: Path, chosen: list[Stored], chance: random.Random) -> None:
    for stored in chosen:
        (spoil_file if stored.data_id else spoil_record)(device, stored, chance)


def told_of(cluster: Cluster) -> dict[str, Any]:
    """Return what status says of the device that is damaged."""
    devices = [device for node in cluster.status()["nodes"] for device in node["devices"]]
    return next(device for device in devices if device["id"] == VICTIM)


def directory_of(cluster: Cluster) -> Path:
    """Return where it keeps what it stores."""
    return Path(told_of(cluster)["directory"])


def scrubbed(cluster: Cluster) -> dict[str, Any]:
    """Have the node scrubbed until everything is healed; return what it says then."""
    told: dict[str, Any] = json.loads(
        cluster.holdfast("scrub", str(VICTIM), "--now", "--json", timeout_s=120)
    )[str(VICTIM)]
    assert told["quarantined"] == 0, told
    return told


def figures(cluster: Cluster) -> tuple[int, int]:
    """Return how much was found damaged by the process that runs now, and how much was healed."""
    metrics = cluster.metrics(VICTIM)
    return tuple(int(metrics[f"holdfast_device_damage_{what}_total"]) for what in ("found", "healed"))  # type: ignore[return-value]


def check_everything(cluster: Cluster) -> None:
    client = Client(cluster)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(client.get, NAMES)
        assert [name for name, answer in zip(NAMES, found, strict=True) if answer != (200, body_of(name))] == []
    pages = cluster.s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    listed = {item["Key"]: item["Size"] for page in pages for item in page["Contents"]}
    assert listed == {name: len(body_of(name)) for name in NAMES}


@pytest.mark.timeout(600)
def test_nobody_sees_a_flipped_bit_and_scrub_finds_and_heals_them_all(cluster: Cluster) -> None:
    chance = random.Random(11)
    fill(cluster)
    device = directory_of(cluster)
    stored = list(stored_objects(device).values())
    assert len(stored) >= len(NAMES)  # and what we keep for ourselves
    files = [item for item in stored if item.data_id]
    records = [item for item in stored if not item.data_id]
    chance.shuffle(records)
    chosen = files + records[: DAMAGED - len(files)]
    chance.shuffle(chosen)
    while_up, while_down = chosen[: DAMAGED * 2 // 3], chosen[DAMAGED * 2 // 3 :]

    readers = Readers(cluster)
    with readers.running():
        damage(device, while_up, chance)
        told = scrubbed(cluster)
        assert told["lost"] == 0
        assert figures(cluster) == (len(while_up), len(while_up))
        assert scrubbed(cluster)["last"]["found"] == 0

        cluster.holdfast("node", "stop", node_of(cluster))
        now = stored_objects(device)
        damage(device, [now[item.key] for item in while_down], chance)
        databases = spoil_databases(device, chance)
        assert databases >= 2  # the bucket's, and its account's
        cluster.holdfast("node", "start", node_of(cluster))
        cluster.await_connected()
        assert scrubbed(cluster)["databases_damaged"] == 0
        assert figures(cluster) == (len(while_down) + databases, len(while_down) + databases)
        assert scrubbed(cluster)["last"]["found"] == 0
    assert readers.wrong == []
    assert readers.failed == []
    assert readers.count > 100
    assert told_of(cluster)["health"]["quarantined"] == 0

    for node in other_nodes(cluster):  # now the node's own copies are needed for every quorum
        cluster.holdfast("node", "stop", node)
        check_everything(cluster)
        cluster.holdfast("node", "start", node)
        cluster.await_connected()


def node_of(cluster: Cluster) -> str:
    return next(
        str(node["node"])
        for node in cluster.status()["nodes"]
        if VICTIM in [device["id"] for device in node["devices"]]
    )


def other_nodes(cluster: Cluster) -> list[str]:
    own = node_of(cluster)
    return [str(node["node"]) for node in cluster.status()["nodes"] if node["node"] != own]


def test_what_rots_of_a_volume_is_found_by_comparison_and_healed(cluster: Cluster) -> None:
    """Each node has every chunk; one of them has each with a bit that has turned over."""
    chance = random.Random(12)
    cluster.holdfast("volume", "create", "rot", f"{CHUNKS * CHUNK}")
    data = {index * CHUNK + 4096 * index: chance.randbytes(4096) for index in range(CHUNKS)}
    with NbdDisk("127.0.0.1", 10809 + cluster.offset, "rot") as disk:
        disk.write(data)
        disk.flush()
    files = await_chunks(cluster)
    for paths in files.values():
        flip_bit(paths[VICTIM], chance.randrange(CHUNK), chance)
    assert damaged_chunks(files) == CHUNKS
    before = [counted(cluster, device) for device in range(3)]
    cluster.holdfast("scrub", "--now", timeout_s=120)
    after = [counted(cluster, device) for device in range(3)]
    assert [sum(column) for column in zip(*after, strict=True)] == [
        sum(column) + CHUNKS for column in zip(*before, strict=True)
    ]
    assert damaged_chunks(files) == 0
    other = str((int(node_of(cluster)) + 1) % 3)
    cluster.holdfast("node", "stop", other)  # now the copies that were put in place are needed for every quorum
    with NbdDisk("127.0.0.1", 10809 + cluster.offset, "rot") as disk:
        found = disk.read(list(data), 4096)
    assert found == data
    cluster.holdfast("node", "start", other)
    cluster.await_connected()


def counted(cluster: Cluster, device: int) -> tuple[int, int]:
    """Return how much a device has found damaged, and how much was healed."""
    metrics = cluster.metrics(device)
    return (
        int(metrics["holdfast_device_damage_found_total"]),
        int(metrics["holdfast_device_damage_healed_total"]),
    )


def await_chunks(cluster: Cluster) -> dict[str, dict[int, Path]]:
    """Return the files of each chunk, by device, once each has all of them."""
    devices = {
        device["id"]: Path(device["directory"])
        for node in cluster.status()["nodes"]
        for device in node["devices"]
    }
    deadline = time.monotonic() + 30
    while True:
        found: dict[str, dict[int, Path]] = {}
        for device_id, directory in devices.items():
            for path in directory.glob("chunks/*/*.*"):
                found.setdefault(f"{path.parent.name}/{path.name}", {})[device_id] = path
        if len(found) == CHUNKS and damaged_chunks(found) == 0:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def damaged_chunks(files: Mapping[str, Mapping[int, Path]]) -> int:
    """Return how many chunks are not the same on three devices."""
    return sum(len({path.read_bytes() for path in paths.values()}) != 1 or len(paths) != 3 for paths in files.values())


def flip_bit(path: Path, offset: int, chance: random.Random) -> None:
    """Turn over a bit on the disk."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1 << chance.randrange(8),)))
        os.fsync(file.fileno())
