"""From requests to operations: in a transaction; for hosts, again and again until there is something new to say."""

import threading
import time
from collections.abc import Callable, Mapping

import falcon

from cluster.clock import wall_us
from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation
from cluster.controlplane.requests import read_document
from compute.errors import Unauthorized
from compute.network.api.failures import document_of, render
from compute.network.api.parts import Parts
from compute.service import TransactionalService

WAITING = "waits"  # mark of an operation that is done again while it answers UNCHANGED
WRITING = "writes"  # mark of an operation that writes, although the API has it as a GET
UNCHANGED = 304
_PAUSE_S = 0.05  # changes often come together
_LOOK_S = 2.0  # changes by other processes are not told of


class Changes:
    """Tells those who wait that something was committed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def __repr__(self) -> str:
        return f"Changes({self._count})"

    @property
    def count(self) -> int:
        """Return how many there were."""
        return self._count

    def note(self) -> None:
        """Tell of one."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, count: int, timeout_s: float) -> None:
        """Return when there were more than `count`, or after a while."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != count, timeout_s)


class NetworkService:
    """`cluster.controlplane.application.Service`."""

    vary = "X-Auth-Token"

    def __init__(self, parts: Parts, clock_us: Callable[[], int] = wall_us) -> None:
        self._service = TransactionalService(parts, render, _document, clock_us)
        self._changes, self._database = Changes(), parts.database
        self._wait_most_s = parts.settings.wait_most_s

    def run(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str], writes: bool) -> Answer:
        """Call `operation` in a transaction."""
        if getattr(operation, WAITING, False):
            return self._waited(request, operation, parts)
        writes = writes or getattr(operation, WRITING, False)
        answer = self._service.run(request, operation, parts, writes)
        if writes:
            self._changes.note()
        return answer

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""
        document = document_of(error)
        if document is None:
            return None
        headers = {"WWW-Authenticate": "Keystone"} if isinstance(error, Unauthorized) else {}
        return Answer(int(getattr(error, "status", 500)), document, headers)

    def error_with(self, status: int, message: str) -> Answer:
        """Return the answer that says `message`."""
        return self._service.error_with(status, message)

    def _waited(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str]) -> Answer:
        until_s = time.monotonic() + min(_wait_s(request), self._wait_most_s)
        while True:
            count, version = self._changes.count, self._database.changes()
            answer = self._service.run(request, operation, parts, writes=False)
            if answer.status != UNCHANGED or not self._changed(count, version, until_s):
                return answer

    def _changed(self, count: int, version: int | None, until_s: float) -> bool:
        """Wait until something was committed, or may have been, and return True; return False when time is over."""
        while (left_s := until_s - time.monotonic()) > 0:
            self._changes.wait(count, min(left_s, _LOOK_S))
            if count != self._changes.count:
                time.sleep(min(left_s, _PAUSE_S))
                return True
            if version is None or version != self._database.changes():
                return True
        return False


def _document(request: falcon.Request) -> object:
    """Return the document of a request, which is read once."""
    if not hasattr(request.context, "document"):
        request.context.document = read_document(request)
    return request.context.document


def _wait_s(request: falcon.Request) -> float:
    try:
        return max(0.0, float(request.get_param("wait_s") or 0))
    except ValueError:
        return 0.0
