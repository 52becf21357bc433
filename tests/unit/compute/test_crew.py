"""Threads that wait for work: all of it is done, by all of them, and looking for it costs one look."""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text

from cluster.controlplane.database import Database
from compute.crew import Crew
from tests.databases import ON_POSTGRESQL, url_in

WAIT_S = 60


class Work:
    """Things to do, of which each takes until it may go on; and the database that tells of them."""

    def __init__(self, directory: Path) -> None:
        self.database = Database(url_in(directory))
        with self.database.writing() as connection:
            connection.execute(text("CREATE TABLE things (number INTEGER)"))
        self.waiting: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()
        self.begun: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()
        self.done = threading.Semaphore(0)
        self.steps = 0
        self.looks = 0
        self.now_us, self.due_us = 2, 1

    def crew(self, count: int) -> Crew:
        return Crew("work", self.database, self.next_due_us, lambda: self.now_us, [self.step] * count)

    def add(self) -> threading.Event:
        self.waiting.put(made := threading.Event())
        with self.database.writing() as connection:
            connection.execute(text("INSERT INTO things VALUES (1)"))
        return made

    def next_due_us(self, _connection: Connection) -> int | None:
        self.looks += 1
        return None if self.waiting.empty() else self.due_us

    def step(self) -> bool:
        self.steps += 1
        try:
            task = self.waiting.get_nowait()
        except queue.Empty:
            return False
        self.begun.put(task)
        assert task.wait(WAIT_S)
        self.done.release()
        return True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_is_due_is_done_at_the_same_time_by_as_many_as_there_are(tmp_path: Path) -> None:
    work = Work(tmp_path)
    crew = work.crew(2)
    tasks = [work.add() for _ in range(3)]
    crew.start()
    assert {work.begun.get(timeout=WAIT_S), work.begun.get(timeout=WAIT_S)} == set(tasks[:2])
    assert work.begun.empty()
    tasks[0].set()
    assert work.begun.get(timeout=WAIT_S) is tasks[2]
    for task in tasks:
        task.set()
    until(lambda: work.steps == 3 + 2)
    crew.stop(WAIT_S)


def test_a_call_that_comes_while_all_are_busy_is_heard(tmp_path: Path) -> None:
    work = Work(tmp_path)
    crew = work.crew(1)
    first = work.add()
    crew.start()
    assert work.begun.get(timeout=WAIT_S) is first
    for _ in range(100):
        crew.poke()
    first.set()
    until(lambda: work.steps >= 3)  # the call was for what may have come since
    crew.stop(WAIT_S)
    assert work.steps <= 4, "a hundred calls are one"


def test_without_work_nobody_wakes(tmp_path: Path) -> None:
    work = Work(tmp_path)
    crew = work.crew(8)
    crew.start()
    until(lambda: work.steps == 8)
    for _ in range(10):
        crew.look()
    assert (work.looks, work.steps) == (10 if ON_POSTGRESQL else 1, 8)
    work.now_us = 0
    work.add().set()
    crew.look()
    crew.look()
    assert work.done.acquire(blocking=False) is False, "it is not due yet"
    work.now_us = work.due_us
    crew.look()  # nothing was committed, but time has passed
    assert work.done.acquire(timeout=WAIT_S)
    crew.stop(WAIT_S)


def test_what_fails_is_done_when_it_is_looked_for_again(tmp_path: Path) -> None:
    database = Work(tmp_path).database
    failures = [ZeroDivisionError(), ZeroDivisionError()]
    succeeded = threading.Event()

    def step() -> bool:
        if failures:
            raise failures.pop()
        succeeded.set()
        return False

    crew = Crew("work", database, lambda _connection: None, lambda: 0, [step])
    crew.start()
    until(lambda: len(failures) == 1)
    assert not succeeded.wait(0.05)

    def looked() -> bool:
        crew.look()
        return succeeded.is_set()

    until(looked)
    crew.stop(WAIT_S)
