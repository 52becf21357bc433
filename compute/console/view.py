"""How the cluster is, as `holdfast status` tells it, for everybody who looks at the console at the same time.

Asking every process takes a while and waits, so it is done in a thread, once for all who ask meanwhile, and what was
found is good for `FRESH_S`. The page asks every few seconds, however many have it open.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.coordination.errors import CoordinationError
from cluster.layout import Layout
from storage.overview.rings.reach import holdings
from storage.overview.survey import survey
from storage.overview.surveyed import Surveyed
from storage.rings.document import OBJECT
from storage.rings.errors import RingsError
from storage.rings.store import RingStore

FRESH_S = 2.0

Report = dict[str, Any]


class View:
    """The cluster, looked at when somebody asks. `look` blocks; it is called in a thread."""

    def __init__(self, look: Callable[[], Report], monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._monotonic_s = monotonic_s
        self._report: Report = {}
        self._seen_s: float | None = None
        self._looking: asyncio.Task[Report] | None = None

    async def report(self) -> Report:
        """Return how the cluster is, or was a moment ago."""
        if self._seen_s is not None and self._monotonic_s() - self._seen_s < FRESH_S:
            return self._report
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_now())
        return await asyncio.shield(self._looking)

    async def _look_now(self) -> Report:
        try:
            self._report = await asyncio.to_thread(self._look)
            self._seen_s = self._monotonic_s()
            return self._report
        finally:
            self._looking = None


def look(layout: Layout) -> Report:
    """Return what `holdfast status --json` does, and the rings to draw. The configuration is read anew."""
    surveyed = Surveyed(load(layout.config), layout, option=f" --data {layout.directory}")
    return survey(surveyed) | {"ring": _drawn(layout)}


def _drawn(layout: Layout) -> Report:
    """Return the rings in force: their size, and how many partitions of the objects' ring each device holds."""
    try:
        coordination = EmbeddedCoordination(layout.coordination)
    except CoordinationError as error:
        return {"failure": str(error)}
    try:
        store = RingStore(coordination)
        rings = store.rings_of(store.document())
    except (CoordinationError, RingsError) as error:
        return {"failure": str(error)}
    finally:
        coordination.close()
    ring, target = rings.current[OBJECT], rings.target.get(OBJECT)
    coming = holdings(target) if target else None
    return {
        "partitions": ring.partition_count,
        "replicas": round(sum(len(row) for row in ring.replica_rows) / ring.partition_count, 3),
        "held": {str(device): count for device, count in sorted(holdings(ring).items())},
        "coming": {str(device): count for device, count in sorted(coming.items())} if coming else None,
    }
