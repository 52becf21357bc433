"""Rows and listings of one device's indexes: `python -m tests.bench.bench_indexes [--rows N]`.

Prints the loop thread's cost of a row (without the log, and with it), the rate of merging into SQLite,
and the time of listings, alone and while rows come in.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from cluster.clock import HybridClock
from storage.daemon import SWITCH_INTERVAL_S
from storage.indexes.store import IndexStore
from storage.indexes.tuning import Tuning
from storage.log.device import DeviceLog
from storage.log.interface import Appended, Position
from storage.messages import Changes, DatabaseKind, IndexChanges, IndexList, IndexRows, Row

KEY = bytes(16)
CLOCK = HybridClock(1)
CREATED = CLOCK.now()
CONCURRENCY = 64
REPEATS = 30


class NullLog:
    """Everything is durable at once: what is left is the cost of the indexes."""

    end = Position(1)

    def register(self, _kind: int, apply: Callable[[list[Appended]], None], _discard: Any = None) -> None:
        self._apply = apply

    def hold(self, _owner: str, _position: Position) -> None:
        pass

    def scan(self, *_arguments: Any) -> list[Any]:
        return []

    def append(self, kind: int, metadata: bytes, context: Any) -> asyncio.Future[Position]:
        future = asyncio.get_running_loop().create_future()
        self._apply([Appended(kind, 0, metadata, b"", context, future)])
        future.set_result(self.end)
        return future


def message(number: int) -> IndexRows:
    """Return the row of one PUT, as it comes from the wire."""
    name = f"photos/{number % 100:03}/picture-{number * 7919 % 1_000_003:07}.jpeg"
    row = Row(name, CLOCK.now(), False, 4096, "d41d8cd98f00b204e9800998ecf8427e", "image/jpeg", number)
    return IndexRows(DatabaseKind.CONTAINER, KEY, "AUTH_bench", "photos", CREATED, [list(row)])  # type: ignore[list-item]


async def no_peer(_device: int, _ask: IndexChanges, _kind: DatabaseKind) -> Changes | None:
    return None


async def median_ms(act: Callable[[], Awaitable[Any]]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        await act()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


async def loop_cost(directory: Path, count: int) -> None:
    store = IndexStore(directory, NullLog(), no_peer, Tuning(merge_rows=1 << 30, merge_delay_s=3600, waiting_rows=1 << 30))  # type: ignore[arg-type] # noqa: E501
    store.recover()
    store.start()
    await store.rows(message(0))
    messages = [message(number) for number in range(count)]
    start = time.perf_counter()
    for item in messages:
        store.rows(item)
    print(f"rows(), without a log          {(time.perf_counter() - start) / count * 1e6:8.1f} us of the loop")
    start = time.perf_counter()
    await store.list(IndexList(DatabaseKind.CONTAINER, KEY, "AUTH_bench", "photos", 1))
    seconds = time.perf_counter() - start
    print(f"merging into SQLite            {count / seconds:8.0f} rows/s, {seconds / count * 1e6:.1f} us each")
    await store.close()


async def whole(directory: Path, count: int) -> None:
    log = DeviceLog(str(directory / "log"))
    store = IndexStore(directory / "indexes", log, no_peer)
    store.recover()
    store.start()
    log.start()
    numbers = iter(range(10_000_000))

    async def writer(until: float, left: list[int]) -> None:
        while time.perf_counter() < until and left[0] > 0:
            left[0] -= 1
            await store.rows(message(next(numbers)))

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(writer(start + 600, left) for left in [[count]] for _ in range(CONCURRENCY)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"rows(), durable, merged behind {count / seconds:8.0f} rows/s, {cpu / count * 1e6:.1f} us of CPU each"
    )

    def listing(**fields: Any) -> Callable[[], Awaitable[Any]]:
        query = IndexList(DatabaseKind.CONTAINER, KEY, "AUTH_bench", "photos", 1000, **fields)
        return lambda: store.list(query)

    await store.list(IndexList(DatabaseKind.CONTAINER, KEY, "AUTH_bench", "photos", 1))
    print(f"listing 1000 rows              {await median_ms(listing(marker='photos/050')):8.2f} ms")
    print(f"  in a directory, delimiter    {await median_ms(listing(prefix='photos/050/', delimiter='/')):8.2f} ms")
    print(f"  100 common prefixes          {await median_ms(listing(prefix='photos/', delimiter='/')):8.2f} ms")
    print(f"  1000 common prefixes         {await median_ms(listing(prefix='photos/', delimiter='4')):8.2f} ms")
    print(f"  reversed                     {await median_ms(listing(reverse=True)):8.2f} ms")
    writers = [asyncio.ensure_future(writer(time.perf_counter() + 20, [1 << 60])) for _ in range(16)]
    await asyncio.sleep(0.5)
    before, start = next(numbers), time.perf_counter()
    under_load = await median_ms(listing(marker="photos/050"))
    rate = (next(numbers) - before) / (time.perf_counter() - start)
    print(f"  while {rate:6.0f} rows/s come in  {under_load:8.2f} ms")
    for item in writers:
        item.cancel()
    await asyncio.wait(writers)
    start = time.perf_counter()
    await store.checkpoint()
    print(f"checkpoint                     {(time.perf_counter() - start) * 1e3:8.1f} ms")
    await store.close()
    await log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    count = parser.parse_args().rows
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    for part in (loop_cost, whole):
        with tempfile.TemporaryDirectory() as directory:
            uvloop.run(part(Path(directory), count))


if __name__ == "__main__":
    main()
