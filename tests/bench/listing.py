"""One container of millions of rows, on storage daemons of its own: `python -m tests.bench.listing --rows N`.

Rows go in as INDEX_ROWS in bulk, without objects, by the proxy's own code, while the container is split. Then pages
of 1000 are read in several ways, each many times at random places, and single rows are inserted, as PUTs do, into
this container and into an empty one in turn. What a client's request costs besides (HTTP, signature, XML) is not in it.
"""

import argparse
import asyncio
import dataclasses
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from cluster.allocator import calm_collector, keep_buffers
from cluster.clock import HybridClock, wall_us
from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from proxy.objects.databases import Database
from proxy.objects.directory import Directory
from proxy.objects.errors import Unavailable
from proxy.objects.model import ListingQuery
from storage.client import Placement, connected_placement
from storage.messages import Row
from storage.ranges.decision import Named, Undecidable, follow, look
from storage.ranges.plan import due
from storage.rings.store import RingStore
from tests.bench.volumes import cpu_s, daemons
from tests.cluster import Cluster
from tools import creation

ACCOUNT = "AUTH_bench"
BATCH = 2000  # rows of a message while it is built
WRITERS = 6  # such messages at a time
CLIENTS = 16  # inserting single rows
PAGE = 1000
TELL_S = 15.0  # between two lines about how far it is
REST_S, REST_CORES = 10.0, 0.2  # daemons that use no more for so long have nothing to do but scrub, which never ends
SETTLE_S = 3600.0  # until it is split as far as is due, at most
ETAG = "d41d8cd98f00b204e9800998ecf8427e"
CLOCK = HybridClock(int.from_bytes(os.urandom(4), "big"))


FOLDERS, ALBUMS = 1500, 20_011


def name_of(number: int, count: int) -> str:
    """Return the name of a row, in order: six tenths under one prefix, three in many folders, the others in none."""
    logs, photos = count * 6 // 10, count * 3 // 10
    if number < logs:
        return f"logs/{number * FOLDERS // logs:04}/{number:09}.gz"
    if number < logs + photos:
        return f"photos/{(number - logs) * ALBUMS // photos:05}/picture-{number:09}.jpeg"
    return f"z{number:09}"


def row(name: str) -> Row:
    """Return the row of a small object."""
    return Row(name, CLOCK.now(), False, 4096, ETAG, "application/octet-stream", wall_us())


def shapes(count: int, chance: random.Random) -> dict[str, Callable[[], ListingQuery]]:
    """Return ways to list, each at another place every time."""

    def some() -> str:
        return name_of(chance.randrange(count), count)

    def query(**fields: Any) -> ListingQuery:
        return ListingQuery(limit=PAGE, **fields)

    return {
        "from the start": lambda: query(),
        "after any name": lambda: query(marker=some()),
        "before any name, reversed": lambda: query(marker=some(), reverse=True),
        "under one prefix of millions, after any name": lambda: query(
            prefix="logs/", marker=f"logs/{chance.randrange(FOLDERS):04}/"
        ),
        "in any folder": lambda: query(prefix=f"photos/{chance.randrange(ALBUMS):05}/"),
        "delimiter, at the top (2 prefixes of millions)": lambda: query(delimiter="/"),
        "delimiter, at the top, reversed": lambda: query(delimiter="/", marker="q", reverse=True),
        "delimiter, 1000 folders of thousands": lambda: query(prefix="logs/", delimiter="/"),
        "delimiter, 1000 folders after any name": lambda: query(
            prefix="photos/", delimiter="/", marker=f"photos/0{chance.randrange(9999):04}"
        ),
        "delimiter, within a folder": lambda: query(prefix=f"logs/{chance.randrange(FOLDERS):04}/", delimiter="/"),
        "delimiter that is no folder": lambda: query(prefix="logs/", delimiter=str(chance.randrange(10))),
        "prefix that is no folder": lambda: query(prefix=f"photos/0{chance.randrange(10)}"),
        "nothing there": lambda: query(prefix=f"none/{chance.random()}"),
    }


async def build(directory: Directory, database: Database, put_timestamp: Any, count: int) -> float:
    """Fill the container, here and there but with neighbours together; return the seconds."""
    starts_in_order = range(0, count, BATCH)
    starts = iter(sorted(starts_in_order, key=lambda start: start // BATCH * 7919 % len(starts_in_order)))
    began = told = time.perf_counter()
    done = 0

    async def writer() -> None:
        nonlocal done, told
        for start in starts:
            rows = [row(name_of(number, count)) for number in range(start, min(start + BATCH, count))]
            await _send(directory, database, put_timestamp, rows)
            done += len(rows)
            if time.perf_counter() - told > TELL_S:
                told = time.perf_counter()
                print(f"  {done:,} rows after {told - began:.0f} s", file=sys.stderr, flush=True)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return time.perf_counter() - began


async def _send(directory: Directory, database: Database, put_timestamp: Any, rows: list[Row]) -> None:
    """Bring rows to a quorum, waiting for devices that are behind with merging what they have taken."""
    for attempt in range(1000):
        try:
            await directory.send_rows(database, put_timestamp, rows)
        except Unavailable:
            await asyncio.sleep(min(0.2 * 1.5**attempt, 3.0) * random.random())
        else:
            return
    raise AssertionError("devices are busy for ever")


async def insert(directory: Directory, container: str, put_timestamp: Any, count: int, seconds: float) -> list[float]:
    """Insert single rows for a while, as so many clients; return their latencies in seconds."""
    database, chance = directory.container(ACCOUNT, container), random.Random()
    until, times = time.perf_counter() + seconds, []

    async def client() -> None:
        while time.perf_counter() < until:
            name = f"{name_of(chance.randrange(count), count)}-{chance.randrange(1 << 30)}"
            began = time.perf_counter()
            await directory.add_row(database, put_timestamp, row(name))
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return times


def at(times: list[float], share: float) -> float:
    """Return a percentile in ms."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1e3


async def read(directory: Directory, container: str, count: int, repeats: int) -> float:
    """Read pages of every shape; return the worst p99 in ms."""
    worst = 0.0
    for title, query in shapes(count, random.Random(1)).items():
        times, items = [], 0
        for _ in range(repeats):
            asked = query()
            began = time.perf_counter()
            listing = await directory.list_container(ACCOUNT, container, asked)
            times.append(time.perf_counter() - began)
            items += len(listing.items)
        worst = max(worst, at(times, 0.99))
        print(
            f"  {title:50} {items / repeats:7.0f} items  p50 {at(times, 0.5):7.2f}  p99 {at(times, 0.99):7.2f} ms",
            flush=True,
        )
    return worst


async def is_due(placement: Placement, split_rows: int) -> bool:
    """Tell whether the container is to be split or merged further, or that is not done yet."""
    root = Named(ACCOUNT, "large")
    try:
        found = await look(placement, root)
        assert found is not None
        if found.moved is None:
            return 0 < split_rows < found.info.object_count
        tree = await follow(placement, root, found.moved)
    except Undecidable:
        return True
    counts = {range_id: known.info.object_count for range_id, known in tree.known.items()}
    return tree.spans.pointers != found.moved or due(tree.spans.spans, counts, split_rows) is not None


async def range_count(placement: Placement) -> int:
    """Return how many ranges the container has; on a busy machine devices may be away for a moment."""
    while True:
        try:
            known = await look(placement, Named(ACCOUNT, "large"))
        except Undecidable:
            await asyncio.sleep(1.0)
            continue
        assert known is not None
        return len(known.moved or [])


async def settle(cluster: Cluster, placement: Placement, split_rows: int) -> None:
    """Wait until nothing is left to be split, and replicas are equal. TimeoutError."""
    began = told = time.perf_counter()
    async with asyncio.timeout(SETTLE_S):
        while await is_due(placement, split_rows) or cluster.missing_replicas():
            if time.perf_counter() - told > TELL_S:
                told = time.perf_counter()
                print(f"  {_moved_rows(cluster):,.0f} rows copied after another {told - began:.0f} s", file=sys.stderr)
            await asyncio.sleep(1.0)


def _moved_rows(cluster: Cluster) -> float:
    metrics = [cluster.metrics(device) for device in range(cluster.nodes)]
    return sum(found.get("holdfast_device_split_rows_total", 0.0) for found in metrics)


async def rest(cluster: Cluster) -> float:
    """Wait until the daemons have nothing to do; return the seconds."""
    processes, began = daemons(cluster.directory), time.perf_counter()
    while time.perf_counter() - began < SETTLE_S:
        before = cpu_s(processes)
        await asyncio.sleep(REST_S)
        if cpu_s(processes) - before < REST_CORES * REST_S:
            break
    return time.perf_counter() - began


async def measure(cluster: Cluster, count: int, repeats: int, seconds: float) -> None:
    """Build, list and insert."""
    layout = Layout(cluster.directory)
    config = load(cluster.directory / "cluster.toml")
    split_rows = config.storage.container_split_rows
    coordination = EmbeddedCoordination(layout.coordination)
    store = RingStore(coordination)
    document = store.document()
    placement = connected_placement(config, layout, store.rings_of(document))
    placement.start()
    await asyncio.gather(*(peer.ready(10) for peer in placement.peers.values()))
    directory = Directory(placement, CLOCK)
    large, empty = directory.container(ACCOUNT, "large"), directory.container(ACCOUNT, "empty")
    known = [await directory.info(database) for database in (large, empty)]
    made = [info.put_timestamp for info in known if info] or [
        await directory.create(database, {}) for database in (large, empty)
    ]
    if not all(known):
        built_s = await build(directory, large, made[0], count)
        rate = f"{count / built_s:,.0f} rows/s, while it was split"
        print(f"built: {count:,} rows in {built_s:.0f} s, {rate}", flush=True)
    began = time.perf_counter()
    await settle(cluster, placement, split_rows)
    settled_s = time.perf_counter() - began
    ranges = await range_count(placement)
    metrics = [cluster.metrics(device) for device in range(cluster.nodes)]
    freeze_s = max(found.get("holdfast_device_split_longest_freeze_seconds", 0) for found in metrics)
    splits = sum(found.get("holdfast_device_container_splits_total", 0) for found in metrics)
    print(
        f"{ranges} ranges after {splits:.0f} splits, {_moved_rows(cluster):,.0f} rows copied, "
        f"longest freeze {freeze_s * 1e3:.0f} ms; split as far as it is due after another {settled_s:.0f} s",
        flush=True,
    )
    calm_collector()  # as proxies do when they have started
    rested_s = await rest(cluster)
    print(f"devices have nothing else to do after another {rested_s:.0f} s", flush=True)
    print(f"pages of {PAGE}, one reader, {repeats} of each:", flush=True)
    worst = await read(directory, "large", count, repeats)
    print(f"  the worst p99: {worst:.1f} ms", flush=True)
    rates: dict[str, list[float]] = {"empty": [], "large": []}
    tails: dict[str, list[float]] = {"empty": [], "large": []}
    for _ in range(5):
        for container, put_timestamp in (("empty", made[1]), ("large", made[0])):
            times = await insert(directory, container, put_timestamp, count, seconds)
            rates[container].append(len(times) / seconds)
            tails[container].append(at(times, 0.99))
    for container, found in rates.items():
        print(
            f"inserts, {CLIENTS} clients, {container:6} {statistics.median(found):8.0f} rows/s  "
            f"p99 {statistics.median(tails[container]):6.1f} ms"
        )
    large_rate, empty_rate = (statistics.median(rates[container]) for container in ("large", "empty"))
    print(f"inserts into the large one: {large_rate / empty_rate:.2f} of that")
    await placement.close()
    coordination.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--split-rows", type=int, default=None, help="container_split_rows; default: the cluster's")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round of inserts")
    parser.add_argument("--directory", default=None, help="where the cluster's data go; default: a temporary one")
    parser.add_argument("--keep", default=None, help="a directory that stays; what is there already is measured again")
    arguments = parser.parse_args()
    parent = Path(arguments.keep or tempfile.mkdtemp(dir=arguments.directory))
    cluster = Cluster(parent / "data")
    made = creation.plan(creation.Wishes(port_offset=cluster.offset, has_identity=cluster.with_identity))
    if arguments.split_rows is not None:
        storage = dataclasses.replace(made.storage, container_split_rows=arguments.split_rows)
        made = dataclasses.replace(made, storage=storage)
    if not cluster.directory.exists():
        cluster.directory.mkdir(parents=True, mode=0o700)
        creation.create(Layout(cluster.directory), made)
    cluster.up()
    keep_buffers()
    try:
        uvloop.run(measure(cluster, arguments.rows, arguments.repeats, arguments.seconds))
    finally:
        cluster.holdfast("down", check=False)
        if not arguments.keep:
            shutil.rmtree(parent)


if __name__ == "__main__":
    main()
