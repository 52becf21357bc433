"""EC2 keys of the identity service in S3: what roles allow."""

import asyncio
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from identity.interfaces import Signer
from identity.keystone.access.member import of_key
from identity.keystone.published_key import PublishedKey
from identity.keystone.tokens.token import Role
from proxy.http.message import Headers, Request
from proxy.s3.application import S3Application
from proxy.s3.config import S3Config
from tests.unit.identity.keystone.access.samples import ANN, project
from tests.unit.proxy.memory_service import BytesBody, MemoryService

HOST = "127.0.0.1:9000"


class Keys:
    """Keys that are called as the only role that they have."""

    def by_access_key(self, access_key: str) -> Signer:
        return of_key(PublishedKey("1", b"", ANN, project(), (Role("id", access_key),)), "secret")

    def by_name(self, name: str) -> None:
        return None


def request(access_key: str, method: str, path: str, body: bytes = b"") -> Request:
    prepared = AWSRequest(method, f"http://{HOST}{path}", data=body)
    prepared.headers["Host"] = HOST
    S3SigV4Auth(Credentials(access_key, "secret"), "s3", "us-east-1").add_auth(prepared)
    sent = [(name.lower(), value) for name, value in prepared.headers.items()]
    path, _mark, query = path.partition("?")
    return Request(method, path, query, Headers([*sent, ("content-length", str(len(body)))]), BytesBody(body), "R")


def statuses(*asked: tuple[Any, ...]) -> list[int]:
    """Return the statuses of requests, after a member has made a bucket with one object."""

    async def scenario() -> list[int]:
        application = S3Application(MemoryService(), Keys(), S3Config())
        before = [("member", "PUT", "/photos"), ("member", "PUT", "/photos/o", b"data")]
        found = [(await application(request(*each))).status for each in (*before, *asked)]
        assert found[:2] == [200, 200]
        return found[2:]

    return asyncio.run(scenario())


def test_a_reader_reads_and_changes_nothing() -> None:
    reading = [("reader", method, path) for method in ("GET", "HEAD") for path in ("/photos", "/photos/o")]
    assert statuses(("reader", "GET", "/"), *reading) == [200] * 5
    writing: list[tuple[Any, ...]] = [
        ("reader", "PUT", "/other"),
        ("reader", "PUT", "/photos/o", b"x"),
        ("reader", "DELETE", "/photos/o"),
        ("reader", "DELETE", "/photos"),
        ("reader", "POST", "/photos/o?uploads"),
        ("reader", "POST", "/photos?delete", b"<Delete/>"),
    ]
    assert statuses(*writing) == [403] * 6


def test_other_roles_allow_nothing() -> None:
    assert statuses(("auditor", "GET", "/"), ("auditor", "GET", "/photos/o")) == [403, 403]
