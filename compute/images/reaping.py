"""What keeps things from being left over: finishes or undoes the work of dead processes, removes what nobody wants.

Each step is short, may end anywhere, and is done again without harm. At the start of a process the first one is done
before any request is answered, so what its predecessor had under way when it was killed is as if it had not been begun.
"""

from functools import partial

from sqlalchemy import Connection

from cluster.controlplane.database import retried
from cluster.telemetry.log import get_logger
from compute.images import contents, goldens, images, imports, tasks, uploads, workers
from compute.images.uploads import Dock

_SECOND_US = 1_000_000
_BATCH = 100

_log = get_logger("images")


class Reaper:
    """Reaps for one process."""

    def __init__(self, dock: Dock, place: str) -> None:
        self._dock = dock
        self._place = place  # of the process: `workers`

    def __repr__(self) -> str:
        return f"Reaper({self._place}, {len(self._dock.leftovers)} leftovers)"

    def begin(self) -> None:
        """Announce the process; undo what those before it in its place had under way."""
        dock = self._dock
        retried(
            dock.database, lambda connection: workers.begin(connection, dock.worker_id, self._place, dock.clock_us())
        )
        self.bury()

    def see(self) -> None:
        """Say that the process is alive."""
        dock = self._dock
        retried(dock.database, lambda connection: workers.see(connection, dock.worker_id, self._place, dock.clock_us()))

    def step(self) -> None:
        """Do all there is to be done. Raise Unavailable when the store does not answer."""
        self.bury()
        self._undo_leftovers()
        self._remove_unwanted()
        retried(self._dock.database, self._sweep)

    def bury(self) -> None:
        """Undo, or have done again, what dead processes had under way."""
        undone = retried(self._dock.database, self._bury)
        if undone:
            _log.info("work_of_dead_undone", count=undone)

    def _bury(self, connection: Connection) -> int:
        dock, now_us = self._dock, self._dock.clock_us()
        workers.forget_unseen(connection, dock.worker_id, now_us)
        begun = tasks.processing(connection)
        made = goldens.under_way(connection)
        busy = [*(task.worker_id for task in begun), *(golden.worker_id for golden in made)]
        dead = workers.without(connection, [*contents.writers(connection), *filter(None, busy)])
        if not dead:
            return 0
        written = contents.written_by(connection, dead)
        for content in written:
            is_certain = workers.in_same_place(content.worker_id, dock.worker_id)
            wait_us = contents.UNDER_WAY_US if is_certain else contents.DOUBT_US
            uploads.give_up(connection, dock, content.key, now_us + wait_us)
        orphaned = [each for each in begun if each.worker_id in dead]
        for task in orphaned:
            if task.attempts < tasks.ATTEMPTS:
                tasks.put_back(connection, task, now_us)
            else:
                imports.fail(connection, dock, task, "The import was interrupted too many times.")
        left = [each for each in made if each.worker_id in dead]
        for golden in left:
            goldens.want_again(connection, golden, now_us)
        return len(written) + len(orphaned) + len(left)

    def _undo_leftovers(self) -> None:
        for _ in range(len(self._dock.leftovers)):
            key = self._dock.leftovers.popleft()
            try:
                uploads.undo(self._dock, key)
            except Exception:
                self._dock.leftovers.append(key)
                raise

    def _remove_unwanted(self) -> None:
        dock, after = self._dock, ""
        while True:
            with dock.database.reading() as connection:
                keys = contents.unwanted(connection, _BATCH, after)
            for key, until_us in keys:
                dock.store.remove(key)
                if until_us <= dock.clock_us():
                    retried(dock.database, partial(_forget, key))
            if len(keys) < _BATCH:
                return
            after = keys[-1][0]

    def _sweep(self, connection: Connection) -> None:
        now_us = self._dock.clock_us()
        tasks.sweep(connection, now_us)
        images.sweep(connection, now_us - self._dock.settings.kept_deleted_s * _SECOND_US)


def _forget(key: str, connection: Connection) -> None:
    contents.forget(connection, key)

