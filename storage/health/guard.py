"""What a device's process does about its hardware, tied to the places where things are remembered.

Before the start: examine the directory, and distrust what a failed disk has left in memory. While it runs: a monitor.
After a failure: a note in DIR/run, so that the next process knows (suspicion).
"""

import faulthandler
import sqlite3
import time
from collections.abc import Callable
from typing import TextIO

import lmdb

from cluster.config import Config
from cluster.coordination.interface import Coordination
from cluster.layout import Layout
from cluster.telemetry.log import get_logger
from cluster.wire import RemoteError
from storage.blobs.mapping import NoRoom
from storage.health import suspicion as suspicions
from storage.health.condition import Condition, Health
from storage.health.examination import Examined, examine, memory_key
from storage.health.heartbeat import Place, explained
from storage.health.judgement import Limits, Verdict
from storage.health.marker import Marker, cluster_digest
from storage.health.monitor import Monitor, Signs
from storage.health.outage import looked
from storage.health.suspicion import Suspicion
from storage.rings.reports import device_process

DISK_ERRORS = (OSError, NoRoom, lmdb.Error, sqlite3.Error, RemoteError)  # met while a device is opened

_log = get_logger("storage.health")


class Guard:
    """Of one device, for the life of its process."""

    def __init__(
        self, config: Config, layout: Layout, device_id: int, connect: Callable[[], Coordination]
    ) -> None:
        self._storage = config.storage
        self._directory = layout.device(config.device(device_id))
        self._marker = Marker(device_id, cluster_digest(config.cluster.hash_prefix, config.cluster.hash_suffix))
        self._memory_key = memory_key(device_id)
        self._connect = connect
        name = device_process(device_id)
        self._note = layout.run / f"{name}.suspect"
        self._crash = layout.run / f"{name}.crash"
        self._crash_file: TextIO | None = None
        self._memory: bytes | None = None
        self.suspicion = suspicions.read(self._note)

    # before the start

    async def examine(self) -> Examined:
        """Look at the device's directory; make it ours if it may be."""
        coordination = self._connect()
        try:
            known = coordination.get(self._memory_key)
            self._memory = None if known is None else known.data
            examined = await self._examined()
            if not examined.verdict.condition.is_out and examined.memory != self._memory:
                coordination.put(self._memory_key, examined.memory)
                self._memory = examined.memory
        finally:
            coordination.close()
        return examined

    async def _examined(self) -> Examined:
        found: list[Examined] = []

        def look() -> Verdict:
            found.append(self._look())
            return found[0].verdict

        verdict = await looked(look, self._storage.hang_after_s)
        if verdict is not None and found:
            return found[0]
        hanging = Verdict(Condition.HANGING, "the disk does not answer")
        return Examined(verdict or hanging, Place(str(self._directory), self._marker))

    def _look(self) -> Examined:
        return examine(str(self._directory), self._marker, self._memory, self._storage.require_mount)

    def look(self) -> Verdict:
        """Look again, for an outage. Blocking."""
        return self._look().verdict

    def distrust_what_failed(self) -> None:
        """After a failure of the disk, believe the disk and not the page cache. OSError."""
        self._watch_for_bus_errors()
        if self.suspicion.pending:
            _log.warning("page_cache_dropped", directory=str(self._directory), failures=self.suspicion.failures)
            suspicions.forget_cached(self._directory)
            if self.suspicion.lost_writes:
                self._distrust_index()

    def _watch_for_bus_errors(self) -> None:
        """Have a trace of a SIGBUS written: a page of the mapped index could not be read, or not be written.

        The index can be made again, in other blocks: the next start does so when it finds the trace.
        """
        if self._crash.exists() and "Bus error" in self._crash.read_text(errors="replace"):
            _log.error("index_unmappable", directory=str(self._directory))
            self._distrust_index()
            self._note_failure()
        self._crash_file = self._crash.open("w")
        faulthandler.enable(self._crash_file, all_threads=False)

    def _distrust_index(self) -> None:
        """Have the index made anew, from log and files, when the device is opened (storage.blobs.trust)."""
        (self._directory / "blobs" / "index" / "state").unlink(missing_ok=True)

    def cannot_open(self, error: Exception) -> Examined:
        """Take note of an error that the device met when it was opened."""
        _log.error("cannot_open", directory=str(self._directory), error=repr(error))
        if isinstance(error, NoRoom):
            verdict = Verdict(Condition.FULL, f"opening it: {error}")
        elif isinstance(error, OSError):
            verdict = Verdict(*explained(error, "opening it", Condition.UNREADABLE))
        else:
            verdict = Verdict(Condition.UNREADABLE, f"opening it: {error}")
        self._note_failure(lost_writes=verdict.condition.is_out)
        return Examined(verdict, Place(str(self._directory), self._marker))

    # while it runs

    def recovered(self) -> None:
        """Take note that the device serves."""
        if self.suspicion.pending:
            self._remember(self.suspicion.after_recovery())

    def monitor(self, place: Place, signs: Callable[[], Signs], follow: Callable[[Health], None]) -> Monitor:
        """Return what watches the disk; `follow` is told of every change."""
        storage = self._storage
        limits = Limits(
            hang_after_s=storage.hang_after_s,
            warn_ratio=storage.warn_full_ratio,
            copies_ratio=storage.copies_full_ratio,
            refuse_ratio=storage.refuse_full_ratio,
        )

        def changed(health: Health) -> None:
            if health.condition.is_final:
                self._note_failure()
            follow(health)

        return Monitor(
            place, limits, storage.heartbeat_interval_s, signs, changed, pause_s=lambda: self.suspicion.pause_s
        )

    def _note_failure(self, lost_writes: bool = True) -> None:
        self._remember(self.suspicion.after_failure(time.time(), lost_writes))

    def _remember(self, suspicion: Suspicion) -> None:
        self.suspicion = suspicion
        try:
            suspicions.write(self._note, suspicion)
        except OSError as error:
            _log.error("suspicion_lost", path=str(self._note), error=error)
