"""What Swift clients are told when something goes wrong: statuses and short bodies. One table."""

from http import HTTPStatus

from proxy.http.message import Response
from proxy.objects.errors import (
    BodyTooLarge,
    ContainerNotEmpty,
    ContainerTaken,
    InvalidPart,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    ObjectServiceError,
    OutOfSpace,
    QuotaExceeded,
    RangeNotSatisfiable,
    SegmentChanged,
    Unavailable,
)

Fields = tuple[tuple[str, str], ...]

HTML = "text/html; charset=UTF-8"
PLAIN = "text/plain; charset=UTF-8"
CLIENT_DISCONNECT = 499

# The first class that fits decides.
_STATUSES: tuple[tuple[type[ObjectServiceError], int], ...] = (
    (NoSuchContainer, 404),
    (NoSuchObject, 404),
    (NoSuchUpload, 404),
    (ContainerNotEmpty, 409),
    (ContainerTaken, 409),
    (SegmentChanged, 409),
    (InvalidPart, 400),
    (BodyTooLarge, 413),
    (QuotaExceeded, 413),
    (RangeNotSatisfiable, 416),
    (OutOfSpace, 507),
    (Unavailable, 503),
)

_TITLES = {
    413: "Request Entity Too Large",
    416: "Requested Range Not Satisfiable",
    CLIENT_DISCONNECT: "Client Disconnect",
}
_EXPLANATIONS = {
    202: "The request has been accepted.",
    400: "The request is malformed.",
    401: "A valid token is needed for this resource.",
    403: "This user may not do that here.",
    404: "There is nothing under this name.",
    405: "This resource does not know the method.",
    406: "None of the acceptable formats can be produced.",
    409: "There was a conflict when trying to complete your request.",
    411: "A Content-Length header is needed.",
    412: "A precondition of the request does not hold.",
    413: "The body of the request is too large.",
    416: "No byte of the range is within the object.",
    422: "The body is not what the request said it would be.",
    CLIENT_DISCONNECT: "The client left before the end of the request.",
    500: "Something went wrong on our side.",
    503: "Too few storage nodes answered. Please try again.",
    507: "There is no space left to store this.",
}


class SwiftError(Exception):
    """An answer other than success, raised from anywhere in the dialect."""

    def __init__(self, status: int, message: str = "", fields: Fields = ()) -> None:
        super().__init__(message or title_of(status))
        self.status, self.message, self.fields = status, message, fields

    def response(self) -> Response:
        """Return the answer that says so."""
        return answer(self.status, self.message, self.fields)


def title_of(status: int) -> str:
    """Return the reason phrase that Swift clients know."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def status_line(status: int) -> str:
    """Return what reports of bulk operations say of an outcome, such as "404 Not Found"."""
    return f"{status} {title_of(status)}"


def answer(status: int, message: str = "", fields: Fields = ()) -> Response:
    """Return a response with a short body: `message` as plain text, or the usual HTML.

    Every answer but 304 says a type, as Swift's do: tempest looks for it also where there is no body.
    """
    if status == 304:
        return Response(status, [*fields])
    if status == 204:
        return Response(status, [*fields, ("Content-Type", HTML)])
    if message:
        return Response(status, [*fields, ("Content-Type", PLAIN)], message.encode())
    title, explanation = title_of(status), _EXPLANATIONS.get(status, "")
    body = f"<html><h1>{title}</h1><p>{explanation}</p></html>" if explanation else ""
    return Response(status, [*fields, ("Content-Type", HTML)], body.encode())


def error_of(error: ObjectServiceError) -> SwiftError:
    """Translate what the object service raised."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, RangeNotSatisfiable):
        return SwiftError(
            status, fields=(("Content-Range", f"bytes */{error.size}"), ("Accept-Ranges", "bytes"))
        )
    if isinstance(error, QuotaExceeded):
        return SwiftError(status, "Upload exceeds quota.")
    return SwiftError(status, fields=(("Retry-After", "1"),) if status == 503 else ())
