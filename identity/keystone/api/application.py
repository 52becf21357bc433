"""The WSGI application of the identity service, made of its routes and of what operations work with."""

from collections.abc import Callable, Iterable, Mapping

import falcon
from sqlalchemy import Connection

from cluster.clock import wall_us
from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation, Route, make_application
from cluster.controlplane.database import retried
from cluster.controlplane.requests import read_document
from identity.keystone import revocations
from identity.keystone.api import failures
from identity.keystone.api.context import Context, Parts
from identity.keystone.api.routes import routes


class Keystone:
    """`cluster.controlplane.application.Service`: transactions and errors as Keystone has them."""

    vary = "X-Auth-Token"

    def __init__(
        self, parts: Parts, clock_us: Callable[[], int] = wall_us, committed: Callable[[], None] = lambda: None
    ) -> None:
        self._parts = parts
        self._clock_us = clock_us
        self._committed = committed

    def run(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str], writes: bool) -> Answer:
        """Call `operation` in a transaction; then do, in others, what it asked for."""
        document = read_document(request)  # at once: nobody waits for a slow client, nor reads a body twice
        contexts: list[Context] = []  # of each attempt, the last one counts

        def work(connection: Connection) -> Answer:
            contexts.append(context := Context(self._parts, request, document, connection, self._clock_us()))
            return operation(context, **parts)

        try:
            if writes:
                answer = retried(self._parts.database, work)
                self._end_tokens(contexts[-1].now_us)
                self._committed()
                return answer
            with self._parts.database.reading() as connection:
                return work(connection)
        finally:
            for later in contexts[-1].later if contexts else ():
                retried(self._parts.database, later)

    def _end_tokens(self, began_us: int) -> None:
        """End the tokens, too, that were given out while a transaction which ends tokens was under way."""
        with self._parts.database.reading() as connection:
            subjects = revocations.made_at(connection, began_us)
        now_us = self._clock_us()
        if subjects:
            retried(self._parts.database, lambda connection: revocations.revoke_all(connection, subjects, now_us))

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""
        base_url = self._parts.settings.public_url or f"{request.scheme}://{request.netloc}"
        return failures.answer_of(error, base_url)

    def error_with(self, status: int, message: str) -> Answer:
        """Return the answer that says `message`."""
        return failures.answer_with(status, message)


def keystone_application(
    parts: Parts,
    more: Iterable[Route] = (),
    clock_us: Callable[[], int] = wall_us,
    committed: Callable[[], None] = lambda: None,
) -> "falcon.App[falcon.Request, falcon.Response]":
    """Return the application; `more` are routes beside those of `api/routes.py`.

    `committed` is called, and waited for, after each transaction that may have written; it must not raise.
    """
    return make_application(Keystone(parts, clock_us, committed), [*routes(), *more])
