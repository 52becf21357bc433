"""Refusals that have to do with HTTP or with the form of a request, whatever the service.

What a service refuses for reasons of its own are its own exceptions; `application` is given the table that says which
status they are.
"""


class Refusal(Exception):
    """Base: an answer with an error status. The text is for the client."""

    status = 400


class Malformed(Refusal):
    """The request is not what the API takes; sent again it will be refused again."""

    status = 400


class TooLarge(Refusal):
    """The body is larger than any body of this API."""

    status = 413


class Unavailable(Refusal):
    """The database has too many writers, or is away. The client may repeat the request."""

    status = 503
