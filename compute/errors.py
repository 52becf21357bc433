"""What services refuse, by what the caller can do about it. Each service says how such an answer looks."""

from http import HTTPStatus


class ComputeError(Exception):
    """Base of all below; the text is for the client."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR


class BadRequest(ComputeError):
    """The request contradicts itself, the rules for what it wants to store, or the state of things for ever."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(ComputeError):
    """Who asks has not proved who it is."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, words: str = "The request you have made requires authentication.") -> None:
        super().__init__(words)


class Forbidden(ComputeError):
    """The caller may not, or nobody may in the present state of things."""

    status = HTTPStatus.FORBIDDEN


class NotFound(ComputeError):
    """There is no such thing, or the caller may not know that there is."""

    status = HTTPStatus.NOT_FOUND


class NotAcceptable(ComputeError):
    """The version of the API that the client insists on is not served."""

    status = HTTPStatus.NOT_ACCEPTABLE


class Conflict(ComputeError):
    """It is there already, or something else is done to it just now; what is asked may be possible later."""

    status = HTTPStatus.CONFLICT


class Gone(ComputeError):
    """It was deleted while it was worked on."""

    status = HTTPStatus.GONE


class OverLimit(ComputeError):
    """It would be more than the project may have, or than anybody may send."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Unsupported(ComputeError):
    """The media type is not one that is taken here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unavailable(ComputeError):
    """What this depends on (object storage, a gateway) does not answer; the client may repeat the request."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
