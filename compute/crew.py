"""Threads that wait for work in the database, and do it. One look is for all of them, and mostly it costs nothing.

    crew = Crew("operations", database, journal.next_due, wall_us, [worker.step] * 8)
    crew.start()
    ...                    # `crew.look`, a chore, finds what became due; `poke` tells at once
    crew.stop(1.0)

A step does one thing, and tells whether there was one. What fails is reported, and done again when it is due: that is
up to who notes it in the database. Where that tells that nothing was committed since (`Database.changes`), a look is a
comparison of two numbers.
"""

import threading
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from cluster.controlplane.database import Database
from cluster.telemetry.log import get_logger

_log = get_logger("compute")


class Crew:
    """Those who do work of one kind."""

    def __init__(
        self,
        name: str,
        database: Database,
        next_due_us: Callable[[Connection], int | None],
        clock_us: Callable[[], int],
        steps: Sequence[Callable[[], bool]],
    ) -> None:
        """`next_due_us`: when there is something to do, as things are; None: never. `steps`: of each thread its own."""
        self._name, self._database, self._next_due_us, self._clock_us = name, database, next_due_us, clock_us
        self._steps = steps
        self._changes: int | None = None  # of the database, when it was looked at
        self._due_us: int | None = None  # as it was then
        self._has_failed = False  # a step, which may have left something in memory that the database does not know of
        self._called = threading.Condition()
        self._calls = 0  # each is heard by all who wait, and by who was busy
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def __repr__(self) -> str:
        return f"Crew({self._name}, {len(self._threads)} threads)"

    def start(self) -> None:
        """Begin to work."""
        for index, step in enumerate(self._steps):
            thread = threading.Thread(target=self._run, args=(step,), name=f"{self._name}-{index}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self.poke()

    def stop(self, timeout_s: float) -> None:
        """Begin no further step, and wait a while for those under way."""
        self._stopping = True
        self.poke()
        for thread in self._threads:
            thread.join(timeout_s)

    def poke(self) -> None:
        """Have all look for work."""
        with self._called:
            self._calls += 1
            self._called.notify_all()

    def look(self) -> None:
        """Have all look for work if there is some: a chore."""
        changes = self._database.changes()
        if changes is None or changes != self._changes:
            with self._database.reading() as connection:
                self._due_us = self._next_due_us(connection)
            self._changes = changes
        is_due = self._due_us is not None and self._due_us <= self._clock_us()
        if is_due or self._has_failed:
            self._has_failed = False
            self.poke()

    def _run(self, step: Callable[[], bool]) -> None:
        heard = 0
        while not self._stopping:
            with self._called:
                while self._calls == heard:
                    self._called.wait()
                heard = self._calls
            try:
                while not self._stopping and step():
                    pass
            except Exception as error:  # the database is away, most likely
                _log.error("work_failed", crew=self._name, error=error)
                self._has_failed = True
