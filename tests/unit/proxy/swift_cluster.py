"""A Swift application on the object service in memory, and a way to talk to it without sockets."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from identity.tokens import Tokens
from identity.users import User, new_user
from proxy.http.message import Buffer, Headers, Request, Response
from proxy.swift.application import SwiftApplication
from tests.unit.proxy.memory_service import BytesBody, MemoryService

T = TypeVar("T")
NOW_S = 1_800_000_000.0


class KnownUsers:
    """`identity.interfaces.Users` over a few users."""

    def __init__(self, *users: User) -> None:
        self._users = users

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""
        return next((user for user in self._users if user.name == name), None)

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user who signs with `access_key`."""
        return next((user for user in self._users if user.access_key == access_key), None)


@dataclass
class Answer:
    """A response with its body read."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    length: int | None

    @property
    def json(self) -> Any:
        """Return the body as a JSON value."""
        return json.loads(self.body)


class ChunkedBody(BytesBody):
    """A body whose length is not told."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, piece_size=3)
        self.length = None


class Cluster:
    """The application, its users, and the time, which stands still until it is set."""

    def __init__(self) -> None:
        self.ann = new_user("photos:ann")
        self.bob = new_user("bob")
        self.root = new_user("root", admin=True)
        self.users = KnownUsers(self.ann, self.bob, self.root)
        self.tokens = Tokens(b"k" * 32, self.users, ttl_s=3600.0, wall_s=lambda: self.now_s)
        self.service = MemoryService()
        self.now_s = NOW_S
        self.application = SwiftApplication(self.service, self.users, self.tokens, wall_s=lambda: self.now_s)
        self._ids = itertools.count(1)

    async def __call__(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        user: User | None = None,
        chunked: bool = False,
        **headers: str,
    ) -> Answer:
        """Send a request as `user`; header names have underscores for dashes. PUT and POST have a length."""
        fields = [(name.replace("_", "-").lower(), value) for name, value in headers.items()]
        if user is not None:
            fields.append(("x-auth-token", self.tokens.issue(user)[0]))
        if chunked:
            fields.append(("transfer-encoding", "chunked"))
        elif body is not None or method in ("PUT", "POST"):
            fields.append(("content-length", str(len(body or b""))))
        path, _question, query = path.partition("?")
        sent = ChunkedBody(body or b"") if chunked else BytesBody(body or b"")
        request = Request(method, path, query, Headers(fields), sent, f"tx{next(self._ids)}")
        return await answered(await self.application(request))

    async def as_ann(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request below Ann's account as Ann."""
        return await self(method, f"/v1/AUTH_photos{path}", body, self.ann, **headers)


async def answered(response: Response) -> Answer:
    """Read a response to its end."""
    body, length = response.body, response.length
    if isinstance(body, AsyncIterator):
        pieces = [bytes(piece) async for piece in body]
        whole = b"".join(pieces)
        assert length is None or length == len(whole)
    else:
        whole = bytes(body)
    headers: dict[str, str] = {}
    for name, value in response.headers:
        assert value.isprintable()
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return Answer(response.status, headers, whole, length)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine."""
    return asyncio.run(coroutine)


def metadata_of(answer: Answer, prefix: str) -> Mapping[str, str]:
    """Return the user metadata in an answer."""
    return {
        name.removeprefix(prefix): value for name, value in answer.headers.items() if name.startswith(prefix)
    }


__all__ = ["Answer", "Buffer", "Cluster", "answered", "metadata_of", "run"]
