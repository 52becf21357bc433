"""Requests as botocore makes and signs them, as the server would hand them out."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from identity.users import User
from proxy.http.message import Buffer, Headers, Request

USER = User("ann", "AUTH_ann", "f" * 64, "ann", "AKIAANN", "ann's secret/key+")
REGION = "us-east-1"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
HOST = "http://127.0.0.1:9000"


class Users:
    """A cluster with one user."""

    def by_access_key(self, access_key: str) -> User | None:
        return USER if access_key == USER.access_key else None

    def by_name(self, name: str) -> User | None:
        return USER if name == USER.name else None


class Pieces:
    """A body that comes in these pieces."""

    def __init__(self, pieces: list[bytes], length: int | None = None) -> None:
        self.length = sum(map(len, pieces)) if length is None else length
        self._pieces = [bytearray(piece) for piece in pieces if piece]

    async def read(self) -> Buffer:
        return self._pieces.pop(0) if self._pieces else b""


def request(
    method: str, url: str, headers: Mapping[str, str] | None = None, pieces: list[bytes] | None = None
) -> Request:
    """Return a request for a URL, path and query as they stand in it."""
    parts = urlsplit(url)
    fields = [(name.lower(), value) for name, value in (headers or {}).items()]
    if "host" not in dict(fields):
        fields.append(("host", parts.netloc))
    return Request(method, parts.path, parts.query, Headers(fields), Pieces(pieces or []), "id")


def signed(
    signer: type[Any],
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    data: bytes = b"",
    secret: str = USER.secret_key,
    **arguments: Any,
) -> Request:
    """Return a request signed by one of botocore's signers at NOW."""
    aws = AWSRequest(method, HOST + path, headers=dict(headers or {}), data=data)
    aws.context["payload_signing_enabled"] = True
    credentials = Credentials(USER.access_key, secret)
    if signer in (auth.HmacV1Auth, auth.HmacV1QueryAuth):
        instance = signer(credentials, **arguments)
    else:
        instance = signer(credentials, "s3", arguments.pop("region", REGION), **arguments)
    with (
        mock.patch.object(auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)),
        mock.patch.object(auth, "formatdate", return_value="Fri, 02 Jan 2026 03:04:05 GMT"),
        mock.patch.object(auth.time, "time", return_value=NOW.timestamp()),
    ):
        instance.add_auth(aws)
    prepared = aws.prepare()
    fields = {name: _text(value) for name, value in prepared.headers.items()}
    return request(method, prepared.url, fields, [data])


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value.encode().decode("latin-1")


def read_all(body: Any) -> list[bytes]:
    """Return the pieces of a body."""

    async def collect() -> list[bytes]:
        pieces = []
        while piece := await body.read():
            pieces.append(bytes(piece))
        return pieces

    return asyncio.run(collect())
