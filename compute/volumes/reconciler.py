"""Brings away what was deleted and clones read through: a chore.

A clone of it is made independent by the gateway, in the background; once none is left, it is deleted. What cannot be
reached, or is used just now, is tried again with the next step.
"""

from cluster.controlplane.database import Database, retried
from cluster.telemetry.log import get_logger
from compute.stored import BackendError, InUse, Refused, Removal, Stored
from compute.volumes import remains
from compute.volumes.backend import Backend
from compute.volumes.remains import WHOLE, Remain

PER_STEP = 50  # what is tried in a step

_log = get_logger("volumes")


class Reconciler:
    """Over one database and one gateway."""

    def __init__(self, database: Database, backend: Backend) -> None:
        self._database, self._backend = database, backend

    def step(self) -> int:
        """Delete what can be deleted by now; return how many went. Raise Unreachable."""
        with self._database.reading() as connection:
            waiting = remains.waiting(connection)[:PER_STEP]
        if not waiting:
            return 0
        stored = {each.name: each for each in self._backend.list()}
        return sum(self._try(remain, stored) for remain in waiting)

    def _try(self, remain: Remain, stored: dict[str, Stored]) -> bool:
        try:
            if remain.snapshot == WHOLE:
                removal = self._backend.remove(remain.volume)
            else:
                removal = self._backend.delete_snapshot(remain.volume, remain.snapshot)
            if removal is Removal.GONE:
                retried(
                    self._database,
                    lambda connection: remains.gone(connection, remain.volume, remain.snapshot),
                )
                return True
            self._make_independent(remain, stored)
        except (InUse, Refused) as error:
            _log.info("remains_stay", volume=remain.volume, snapshot=remain.snapshot, error=error)
        return False

    def _make_independent(self, remain: Remain, stored: dict[str, Stored]) -> None:
        volume = stored.get(remain.volume)
        for snapshot in volume.snapshots if volume is not None else ():
            if remain.snapshot not in (WHOLE, snapshot.name):
                continue
            for name in snapshot.clones:
                clone = stored.get(name)
                if clone is not None and clone.is_open and not clone.flattening:
                    self._flatten(name)

    def _flatten(self, name: str) -> None:
        try:
            self._backend.flatten(name)
        except BackendError as error:
            _log.info("clone_not_flattened", volume=name, error=error)
