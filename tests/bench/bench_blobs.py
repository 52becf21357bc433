"""How many small objects one device takes and gives: `python tests/bench/bench_blobs.py [--seconds 3]`.

No wire: the operations are called on the event loop, a fixed number outstanding. Shown beside the rate:
CPU time of the loop's thread per operation, which bounds what a device process can do.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import uvloop

from cluster.clock import HybridClock
from storage.blobs.store import BlobStore
from storage.log.device import DeviceLog
from storage.messages import BlobGet, BlobPut

_METADATA_SIZE = 300  # bytes, about what the proxy writes


class Load:
    """Keeps `outstanding` operations going until the time is over."""

    def __init__(self, operation: Callable[[int], Any], seconds: float, outstanding: int) -> None:
        self._operation = operation
        self._seconds = seconds
        self._outstanding = outstanding
        self._ended = asyncio.get_running_loop().create_future()
        self.count = 0

    async def run(self) -> tuple[float, float]:
        """Return operations per second and microseconds of this thread's CPU per operation."""
        began, cpu = time.perf_counter(), time.thread_time()
        self._deadline = began + self._seconds
        self._running = self._outstanding
        for _ in range(self._outstanding):
            self._next(None)
        await self._ended
        elapsed = time.perf_counter() - began
        return self.count / elapsed, (time.thread_time() - cpu) / self.count * 1e6

    def _next(self, _future: Any) -> None:
        if time.perf_counter() >= self._deadline:
            self._running -= 1
            if self._running == 0:
                self._ended.set_result(None)
            return
        self.count += 1
        self._operation(self.count).add_done_callback(self._next)


def _key(number: int) -> bytes:
    return hashlib.md5(number.to_bytes(8, "big")).digest()


async def _measure(directory: str, seconds: float, size: int, outstanding: int) -> None:
    clock = HybridClock(1)
    log = DeviceLog(directory + "/log")
    store = BlobStore(log, directory + "/blobs", part_power=10)
    log.start()
    store.start()
    data, metadata = os.urandom(size), os.urandom(_METADATA_SIZE)

    def put(number: int) -> Any:
        return store.put(BlobPut(_key(number), clock.now(), 0, metadata), data)

    load = Load(put, seconds, outstanding)
    rate, cpu_us = await load.run()
    print(f"put {size} B, {outstanding} outstanding: {rate:.0f}/s, {cpu_us:.1f} us of the loop each")
    began, cpu = time.perf_counter(), time.thread_time()
    rounds = 20_000
    waited = 0
    for number in range(rounds):
        answer = store.get(BlobGet(_key(number % load.count + 1)))
        if not isinstance(answer, tuple):
            waited += 1
            await answer
    elapsed, cpu = time.perf_counter() - began, time.thread_time() - cpu
    print(
        f"get {size} B: {rounds / elapsed:.0f}/s, {cpu / rounds * 1e6:.1f} us of the loop each,"
        f" {waited} of {rounds} not cached"
    )
    await store.stop()
    await log.close()
    store.close()


def main() -> None:
    """Run the loads in a directory of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--outstanding", type=int, default=16)
    parser.add_argument("--directory", help="on the device to measure; emptied afterwards")
    options = parser.parse_args()
    sys.setswitchinterval(0.0005)
    directory = tempfile.mkdtemp(prefix="bench-blobs-", dir=options.directory)
    try:
        uvloop.run(_measure(directory, options.seconds, options.size, options.outstanding))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
