"""Errors as Keystone shows them: the one place where refusals become statuses."""

from http import HTTPStatus

from cluster.controlplane.answer import Answer
from cluster.controlplane.errors import Refusal
from identity.keystone.errors import BadRequest, Conflict, Forbidden, KeystoneError, NotFound, Unauthorized

STATUSES: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (BadRequest, HTTPStatus.BAD_REQUEST),
)


def status_of(error: Exception) -> HTTPStatus | None:
    """Return the status that `error` is; None: it is a defect of ours."""
    if isinstance(error, Refusal):
        return HTTPStatus(error.status)
    return next((status for kind, status in STATUSES if isinstance(error, kind)), None)


def answer_of(error: Exception, base_url: str) -> Answer | None:
    """Return the answer that `error` is; None: it is a defect of ours."""
    status = status_of(error)
    if status is None:
        return None
    answer = answer_with(status, str(error))
    if status is HTTPStatus.UNAUTHORIZED:
        return Answer(answer.status, answer.document, {"WWW-Authenticate": f'Keystone uri="{base_url}/v3"'})
    return answer


def answer_with(status: int, message: str) -> Answer:
    """Return an answer with an error status."""
    error = {"code": int(status), "message": message, "title": HTTPStatus(status).phrase}
    return Answer(int(status), {"error": error})


assert all(issubclass(kind, KeystoneError) for kind, _status in STATUSES)
