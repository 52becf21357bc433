"""How processes are killed in unit tests: before one of the calls by which they have an effect on anything.

Commits of the database are such calls, too. So what is left by one that is killed after a call is what is left by one
that is killed before the next, and tests that go through all calls go through all that can be left. A process that is
dead does nothing more, nor is anything cleared up on its way out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event

from cluster.controlplane.database import Database

T = TypeVar("T")


def _without_waiting(connection: Any, _record: Any) -> None:
    """Have commits not wait for the disk: what these tests end is no machine."""
    connection.execute("PRAGMA synchronous = OFF")


class Crash(BaseException):
    """The process is killed here."""


class Tripwire:
    """Counts calls, and ends the process at one of them."""

    def __init__(self) -> None:
        self.calls = 0
        self._at: int | None = None  # which call the process does not live to make
        self.failures: list[Exception] = []  # raised by the next calls in place of their effects
        self._refused: tuple[int, Exception] | None = None  # the same, by one call of what is outside, from now on
        self._is_dead = False

    def kill_before(self, call: int) -> None:
        """Have the process end before a call, of those that it makes from now on."""
        self._at = self.calls + call

    def begin_anew(self) -> None:
        """There is another process, which nothing happens to."""
        self._at, self._is_dead = None, False

    def refuse(self, call: int, error: Exception) -> None:
        """Have one call of what is outside raise an error in place of its effect, of those from now on."""
        self._refused = (call, error)

    @property
    def has_refused(self) -> bool:
        """Tell whether that call was made."""
        return self._refused is None

    def around(self, work: Callable[[], T]) -> T:
        """Return what a call returns."""
        self.call()
        if self._refused is not None:
            left, error = self._refused
            self._refused = (left - 1, error) if left else None
            if not left:
                raise error
        if self.failures:
            raise self.failures.pop(0)
        return work()

    def call(self) -> None:
        """Note that there is a call, or end the process."""
        self._is_dead = self._is_dead or self.calls == self._at
        self.require_alive()
        self.calls += 1

    def require_alive(self) -> None:
        """Let no dead process do anything."""
        if self._is_dead:
            raise Crash


class Wired:
    """Somebody of whom every call is one."""

    def __init__(self, inner: Any, wire: Tripwire) -> None:
        self._inner, self._wire = inner, wire

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            return self._wire.around(lambda: found(*arguments, **named))

        return call


class WiredDatabase(Database):
    """A database of which every commit is a call."""

    def __init__(self, url: str | URL, wire: Tripwire) -> None:
        super().__init__(url)
        self._wire = wire
        if self.is_sqlite:
            event.listen(self.engine, "connect", _without_waiting)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See Database."""
        self._wire.require_alive()
        with super().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See Database."""
        self._wire.require_alive()
        with super().writing() as connection:
            yield connection
            self._wire.call()
