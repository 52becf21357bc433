"""What can go wrong with an HTTP message, by what the reader of it does next."""


class BadRequest(Exception):
    """The client's message is wrong: answer `status`, and close the connection when it came from framing."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class BadEncoding(BadRequest):
    """A path or a query is not percent-encoded UTF-8."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, reason)


class BadBody(BadRequest):
    """The framing of a request's body is wrong: what follows on the connection means nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, reason)


class BodyTruncated(Exception):
    """The client went away before the end of its body: nobody is there to be answered."""


class BodyTimeout(BodyTruncated):
    """The client sent nothing of its body for too long: answer 408, or S3's RequestTimeout, and close."""
