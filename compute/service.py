"""A service for `cluster.controlplane.application`: one request is one transaction, whatever the service.

    make_application(TransactionalService(parts, render), routes)

`render` makes a service's error documents; refusals of all services have their statuses in `errors`. What an operation
asked to have done afterwards is done when its transaction is committed. It may be lost in a crash, so it only hastens
what a chore finds by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic

import falcon
from sqlalchemy import Connection

from cluster.clock import wall_us
from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation
from cluster.controlplane.database import retried
from cluster.controlplane.errors import Refusal
from cluster.controlplane.requests import read_document
from compute.context import Context, PartsT
from compute.errors import ComputeError, Unauthorized

Render = Callable[[int, str], Mapping[str, Any]]  # status and words -> document


class TransactionalService(Generic[PartsT]):
    """`cluster.controlplane.application.Service` of operations over `compute.context.Context`."""

    vary = "X-Auth-Token"

    def __init__(
        self,
        parts: PartsT,
        render: Render,
        read: Callable[[falcon.Request], Any] = read_document,
        clock_us: Callable[[], int] = wall_us,
    ) -> None:
        self.parts = parts
        self._render = render
        self._read = read
        self._clock_us = clock_us

    def run(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str], writes: bool) -> Answer:
        """Call `operation` in a transaction; once that is committed, do what it asked for."""
        document = self._read(request)  # at once: nobody waits for a slow client, nor reads a body twice
        contexts: list[Context[PartsT]] = []  # of each attempt, the last one counts

        def work(connection: Connection) -> Answer:
            contexts.append(context := Context(self.parts, request, document, connection, self._clock_us()))
            return operation(context, **parts)

        if writes:
            answer = retried(self.parts.database, work)
        else:
            with self.parts.database.reading() as connection:
                answer = work(connection)
        for later in contexts[-1].committed:
            later()
        return answer

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""
        if isinstance(error, ComputeError | Refusal):
            answer = self.error_with(int(error.status), str(error))
            if isinstance(error, Unauthorized):
                return Answer(answer.status, answer.document, {"WWW-Authenticate": "Keystone"})
            return answer
        return None

    def error_with(self, status: int, message: str) -> Answer:
        """Return the answer that says `message`."""
        return Answer(int(status), self._render(int(status), message))
