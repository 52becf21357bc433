"""proxy.s3.application, and what of the handlers boto3 can't be made to ask for."""

import asyncio
import base64
import hashlib
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from identity.users import User, new_user
from proxy.http.message import Headers, Request, Response
from proxy.objects.errors import Unavailable
from proxy.objects.model import ObjectInfo, ObjectName
from proxy.s3.application import S3Application
from proxy.s3.config import S3Config
from proxy.s3.xml import parse
from tests.unit.proxy.memory_service import BytesBody, MemoryService

ANN = new_user("ann")
HOST = "127.0.0.1:9000"


class OneUser:
    """A directory of one."""

    def by_access_key(self, access_key: str) -> User | None:
        """Return the user with this key."""
        return ANN if access_key == ANN.access_key else None

    def by_name(self, name: str) -> User | None:
        """Return the user of this name."""
        return ANN if name == ANN.name else None


class UnknownLength(BytesBody):
    """A body whose length is not told beforehand."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.length = None


def request(
    method: str, target: str, body: bytes = b"", *, sign: bool = True, region: str = "us-east-1", **fields: str
) -> Request:
    """Return a signed request for `target`, a path with a query; header names have - for _."""
    prepared = AWSRequest(method, f"http://{HOST}{target}", data=body)
    for name, value in fields.items():
        prepared.headers[name.replace("_", "-")] = value
    prepared.headers["Host"] = HOST
    if sign:
        credentials = Credentials(ANN.access_key, ANN.secret_key)
        S3SigV4Auth(credentials, "s3", region).add_auth(prepared)
    path, _mark, query = target.partition("?")
    sent = [(name.lower(), value) for name, value in prepared.headers.items()]
    headers = Headers([*sent, ("content-length", str(len(body)))])
    return Request(method, path, query, headers, BytesBody(body), "REQUEST-1")


def application(service: MemoryService | None = None, **config: Any) -> S3Application:
    return S3Application(service or MemoryService(), OneUser(), S3Config(**config))


def ask(*requests: Request, service: MemoryService | None = None, **config: Any) -> Response:
    """Return the answer to the last of `requests`; a bucket "bucket" is there."""

    async def run() -> Response:
        answering = application(service, **config)
        response = await answering(request("PUT", "/bucket"))
        assert response.status == 200 or service is not None
        for item in requests:
            response = await answering(item)
        return response

    return asyncio.run(run())


def code(response: Response) -> tuple[int, str | None]:
    assert isinstance(response.body, bytes)
    return response.status, parse(response.body).value("Code")


def test_every_answer_names_its_request() -> None:
    for item in (request("GET", "/"), request("GET", "/bucket/none"), request("GET", "/", sign=False)):
        fields = dict(ask(item).headers)
        assert fields["x-amz-request-id"] == "REQUEST-1"
        assert fields["Server"] == "Holdfast"
        assert fields["x-amz-id-2"]


def test_a_body_that_finds_too_few_replicas_is_answered_503_as_the_request_would_be() -> None:
    """A manifest's segments are looked for when the first of its bytes is sent."""
    told = application().failed(request("GET", "/bucket/key"), Unavailable("1 of 3"))
    assert told is not None
    assert code(told) == (503, "ServiceUnavailable")
    fields = dict(told.headers)
    assert fields["x-amz-request-id"] == "REQUEST-1"
    assert (fields["Retry-After"], fields["x-amz-retry-after"]) == ("1", "1000")


def test_a_body_that_fails_by_a_mistake_of_ours_is_left_to_the_server() -> None:
    assert application().failed(request("GET", "/bucket/key"), KeyError("bug")) is None


def test_nobody_in_particular_may_do_nothing() -> None:
    assert code(ask(request("GET", "/", sign=False))) == (403, "AccessDenied")
    assert code(ask(request("GET", "/bucket", sign=False))) == (403, "AccessDenied")
    assert code(ask(request("OPTIONS", "/bucket/key", sign=False))) == (400, "BadRequest")


def test_an_error_to_head_has_no_body() -> None:
    response = ask(request("HEAD", "/bucket/none"))
    assert (response.status, response.body) == (404, b"")


def test_what_no_operation_answers_is_not_allowed() -> None:
    for method, target in (("POST", "/bucket"), ("PUT", "/"), ("PATCH", "/bucket/key"), ("POST", "/bucket/key")):
        assert code(ask(request(method, target))) == (405, "MethodNotAllowed")


def test_a_parameter_that_names_no_subresource_chooses_nothing() -> None:
    put = request("PUT", "/bucket/key?x-id=PutObject", b"data")
    got = ask(put, request("GET", "/bucket/key?x-id=GetObject&other"))
    assert (got.status, got.body) == (200, b"data")


def test_a_name_that_is_not_utf8_is_refused() -> None:
    assert code(ask(request("GET", "/bucket/%FF", sign=False))) == (400, "InvalidURI")
    assert code(ask(request("GET", "/bucket/a%00", sign=False))) == (400, "InvalidURI")


def test_a_body_must_say_how_long_it_is() -> None:
    endless = request("PUT", "/bucket/key", b"data")
    endless.body = UnknownLength(b"data")
    assert code(ask(endless)) == (411, "MissingContentLength")
    silent = request("PUT", "/bucket/key")
    silent.headers = Headers([field for field in silent.headers.items() if field[0] != "content-length"])
    assert code(ask(silent)) == (411, "MissingContentLength")


def test_another_owner_than_expected_is_refused() -> None:
    assert ask(request("GET", "/bucket", x_amz_expected_bucket_owner=ANN.id)).status == 200
    assert code(ask(request("GET", "/bucket", x_amz_expected_bucket_owner="1" * 12))) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "document",
    [
        b"<Delete>",
        b"<Other/>",
        b"<Delete/>",
        b"<Delete><Object/></Delete>",
        b"<Delete><Object><Key></Key></Object></Delete>",
        b'<!DOCTYPE Delete [<!ENTITY x "y">]><Delete><Object><Key>&x;</Key></Object></Delete>',
    ],
)
def test_a_malformed_deletion_is_refused(document: bytes) -> None:
    digest = base64.b64encode(hashlib.md5(document).digest()).decode()
    assert code(ask(request("POST", "/bucket?delete", document, content_md5=digest))) == (400, "MalformedXML")


def test_a_deletion_needs_a_digest_that_fits() -> None:
    document = b"<Delete><Object><Key>key</Key></Object></Delete>"
    assert code(ask(request("POST", "/bucket?delete", document))) == (400, "InvalidRequest")
    wrong = request("POST", "/bucket?delete", document, content_md5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert code(ask(wrong)) == (400, "BadDigest")


def test_a_document_has_a_limit() -> None:
    document = b"<CreateBucketConfiguration>" + b" " * 100 + b"</CreateBucketConfiguration>"
    assert code(ask(request("PUT", "/other", document), max_document_size=100)) == (
        400,
        "MaxMessageLengthExceeded",
    )


def test_a_location_may_be_named_or_not() -> None:
    def create(constraint: str) -> bytes:
        root = "CreateBucketConfiguration"
        return f"<{root}><LocationConstraint>{constraint}</LocationConstraint></{root}>".encode()

    assert ask(request("PUT", "/other", create("us-east-1"))).status == 200
    assert ask(request("PUT", "/other", create(""))).status == 200
    assert code(ask(request("PUT", "/other", create("mars")))) == (400, "InvalidLocationConstraint")


def test_outside_of_us_east_1_a_bucket_is_made_once() -> None:
    """CreateBucket: only us-east-1 answers 200 to its owner's second try."""

    async def run() -> tuple[int, str | None]:
        answering = application(region="eu-west-1")
        assert (await answering(request("PUT", "/bucket", region="eu-west-1"))).status == 200
        return code(await answering(request("PUT", "/bucket", region="eu-west-1")))

    assert asyncio.run(run()) == (409, "BucketAlreadyOwnedByYou")


def test_a_repeated_parameter_counts_once() -> None:
    response = ask(request("GET", "/bucket?max-keys=1&max-keys=2"))
    assert isinstance(response.body, bytes)
    assert parse(response.body).value("MaxKeys") == "1"


class Broken(MemoryService):
    """Fails in a given way."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def head_object(self, name: ObjectName) -> ObjectInfo:
        """Fail."""
        raise self._error


def test_too_few_nodes_mean_try_again() -> None:
    assert ask(request("HEAD", "/bucket/key"), service=Broken(Unavailable("2 of 3 are down"))).status == 503


def test_a_mistake_of_ours_is_left_to_the_server() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(request("HEAD", "/bucket/key"), service=Broken(ZeroDivisionError()))


def test_what_the_server_refuses_is_told_as_s3_does() -> None:
    answering = application()
    response = answering.protocol_error(None, 431, "the header fields are too large")
    assert code(response) == (431, "RequestHeaderSectionTooLarge")
    assert code(answering.protocol_error(request("GET", "/x"), 500, "internal error")) == (500, "InternalError")
    inside = answering.protocol_error(None, 500, "a secret").body
    assert isinstance(inside, bytes)
    assert b"secret" not in inside


def test_a_customers_key_opens_nothing_that_is_not_encrypted() -> None:
    got = request("GET", "/bucket/key", x_amz_server_side_encryption_customer_algorithm="AES256")
    assert code(ask(request("PUT", "/bucket/key", b"x"), got)) == (400, "InvalidRequest")


def test_if_range_decides_whether_a_range_counts() -> None:
    put = request("PUT", "/bucket/key", b"0123456789")
    etag = '"781e5e245d69b566979b86e28d23f2c7"'
    partial = ask(put, request("GET", "/bucket/key", range="bytes=1-2", if_range=etag))
    assert (partial.status, partial.body) == (206, b"12")
    put = request("PUT", "/bucket/key", b"0123456789")
    whole = ask(put, request("GET", "/bucket/key", range="bytes=1-2", if_range='"other"'))
    assert (whole.status, whole.body) == (200, b"0123456789")


def test_attributes_are_named_by_the_client() -> None:
    size = request("GET", "/bucket/key?attributes", x_amz_object_attributes="ObjectSize")
    one = ask(request("PUT", "/bucket/key", b"x"), size)
    assert isinstance(one.body, bytes)
    assert [(child.name, child.text) for child in parse(one.body).children] == [("ObjectSize", "1")]
    bad = request("GET", "/bucket/key?attributes", x_amz_object_attributes="Colour")
    assert code(ask(bad)) == (400, "InvalidArgument")
