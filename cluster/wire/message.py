"""What the users of the wire hold in their hands: requests and replies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from cluster.wire.flow import BodyReader
from cluster.wire.frame import Buffer


class Request:
    """What a client asks. The handler owns `payload`."""

    __slots__ = ("body", "client", "deadline", "metadata", "operation", "payload", "tag")

    def __init__(
        self,
        operation: int,
        metadata: Any,
        payload: Buffer,
        body: BodyReader | None,
        deadline: float,
        client: object = None,
        tag: int = 0,
    ) -> None:
        self.operation = operation
        self.metadata = metadata  # as msgpack has it, arrays as tuples
        self.payload = payload
        self.body = body  # of a streamed request; its `payload` is empty
        self.client = client  # stands for the connection; Server tells when it is lost
        self.tag = tag  # a number of the client's, which the wire does not look at; 0 when it gave none
        self.deadline = deadline  # loop time at which the client gives up; streamed: known once it is read

    def __repr__(self) -> str:
        streamed = "" if self.body is None else ", streamed"
        return f"Request(operation={self.operation}, payload={len(self.payload)} bytes{streamed})"


class Reply:
    """What a handler answers, and what the client gets of it."""

    __slots__ = ("body", "metadata", "payload")

    def __init__(
        self,
        metadata: Any = (),
        payload: Buffer = b"",
        body: BodyReader | AsyncIterator[Buffer] | None = None,
    ) -> None:
        self.metadata = metadata
        self.payload = payload  # up to frame.PAYLOAD_LIMIT
        # the handler gives an iterator of buffers, which is closed in the end; the client gets a BodyReader
        self.body: Any = body

    def __repr__(self) -> str:
        streamed = "" if self.body is None else ", streamed"
        return f"Reply({self.metadata!r}, payload={len(self.payload)} bytes{streamed})"


class Later:
    """A reply that is known already, to be sent when `future` has ended well: when a write is durable."""

    __slots__ = ("future", "reply")

    def __init__(self, future: "asyncio.Future[Any]", reply: Reply) -> None:
        self.future = future
        self.reply = reply

    def __repr__(self) -> str:
        return f"Later({self.reply!r})"


# A Reply is sent at once; a future's when it is done; a coroutine becomes a task. RemoteError is a refusal.
Handler = Callable[[Request], "Reply | Later | asyncio.Future[Reply] | Coroutine[Any, Any, Reply]"]
