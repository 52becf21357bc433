"""A writer of one volume that knows what it may find, for tests that hurt the cluster meanwhile.

Every block says which write it is of, and the writes of a block are numbered. A block may be found as the newest
write of it that was acknowledged, or as any later one that was begun: kill -9 undoes nothing that was answered. What
was found once is not undone either.
"""

import contextlib
import random
import struct
import threading
import time
from collections.abc import Iterator

from tests.nbd_disk import DiskError, NbdDisk

BLOCK = 4096
BATCH = 8  # writes at a time
FLUSH_EVERY = 5  # batches
_LOST = (OSError, EOFError, DiskError)
_HEAD = struct.Struct(">QQ")  # block number, write


class VolumeLoad:
    """Of one volume, by one client that connects again whenever it has to."""

    def __init__(self, address: tuple[str, int], name: str, blocks: int, seed: int, stride: int = 37) -> None:
        """`stride`: blocks from one that is written to the next; some chunks have many, none has all."""
        self._address = address
        self._name = name
        self._offsets = [number * stride * BLOCK for number in range(blocks)]
        self._chance = random.Random(seed)
        self._begun = dict.fromkeys(self._offsets, 0)
        self._known = dict.fromkeys(self._offsets, 0)  # the oldest write that a block may be found as
        self._stop = threading.Event()
        self.violations: list[str] = []
        self.acknowledged = self.flushed = self.connections = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Write all the time within the block."""
        self._stop.clear()
        writer = threading.Thread(target=self._write_until_stopped)
        writer.start()
        try:
            yield
        finally:
            self._stop.set()
            writer.join()

    def _write_until_stopped(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connected() as disk:
                    self._write(disk)
            except _LOST:
                time.sleep(0.1)

    def _connected(self) -> NbdDisk:
        disk = NbdDisk(*self._address, self._name)
        self.connections += 1
        return disk

    def _write(self, disk: NbdDisk) -> None:
        for batch in range(1, 1 << 30):
            if self._stop.is_set():
                return
            offsets = self._chance.sample(self._offsets, BATCH)
            for offset in offsets:
                self._begun[offset] += 1
            disk.write({offset: content(offset, self._begun[offset]) for offset in offsets})
            for offset in offsets:
                self._known[offset] = self._begun[offset]
            self.acknowledged += len(offsets)
            if batch % FLUSH_EVERY == 0:
                disk.flush()
                self.flushed += 1
                self._look_at(disk, self._chance.sample(self._offsets, BATCH))

    def check(self, patience_s: float) -> None:
        """Read every block. Raise AssertionError when the volume cannot be read for so long."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                with self._connected() as disk:
                    for start in range(0, len(self._offsets), BATCH):
                        self._look_at(disk, self._offsets[start : start + BATCH])
                return
            except _LOST as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self._name} cannot be read") from error
                time.sleep(0.2)

    def _look_at(self, disk: NbdDisk, offsets: list[int]) -> None:
        for offset, found in disk.read(offsets, BLOCK).items():
            number = _HEAD.unpack_from(found)[1] if any(found) else 0
            if number and found != content(offset, number):
                self.violations.append(f"the block at {offset} is no write's: {found[:32].hex()}…")
            elif not self._known[offset] <= number <= self._begun[offset]:
                self.violations.append(
                    f"the block at {offset} is write {number}, and not one of {self._known[offset]} to "
                    f"{self._begun[offset]}"
                )
            else:
                self._known[offset] = number


def content(offset: int, number: int) -> bytes:
    """Return what a write writes."""
    head = _HEAD.pack(offset // BLOCK, number)
    return head + random.Random(offset ^ number << 40).randbytes(BLOCK - len(head))
