"""tools.bench.presign, against AWS's example and against the proxy's verifier."""

import pytest

from identity.interfaces import Signer
from identity.users import User, new_user
from proxy.http.message import Headers, Request
from proxy.s3.authenticate import authenticate
from proxy.s3.errors import S3Error
from proxy.s3.signature import timestamp_us
from tools.bench.presign import Presigner

TIMESTAMP = "20260102T030405Z"
ANN = new_user("ann")


class OneUser:
    """A directory of users that knows ANN."""

    def by_access_key(self, access_key: str) -> User | None:
        return ANN if access_key == ANN.access_key else None

    def by_name(self, name: str) -> User | None:
        return ANN if name == ANN.name else None


def verified(method: str, target: str, host: str = "127.0.0.1:9000") -> Signer | None:
    """Return whom the proxy takes for the sender of a request."""
    path, _mark, query = target.partition("?")
    request = Request(method, path, query, Headers([("host", host)]), NoBody(), "127.0.0.1", "test")
    now_us = timestamp_us(TIMESTAMP)
    assert now_us is not None
    return authenticate(request, OneUser(), region="us-east-1", now_us=now_us, skew_s=900).user


class NoBody:
    """A body of no bytes."""

    length = 0

    async def read(self) -> bytes:
        return b""


def presigner() -> Presigner:
    return Presigner("127.0.0.1:9000", ANN.access_key, ANN.secret_key, "us-east-1", TIMESTAMP)


def test_a_url_is_signed_as_in_the_example_of_aws() -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters", "An Example"."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    host = "examplebucket.s3.amazonaws.com"
    signer = Presigner(host, "AKIAIOSFODNN7EXAMPLE", secret, "us-east-1", "20130524T000000Z")
    target = signer.target("GET", "/test.txt")
    assert target.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    assert target.startswith("/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F2013")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize("path", ["/bucket/put/4096/1/0/0000001", "/bucket/a b+c~ü"])
def test_the_proxy_takes_what_is_signed_for_an_object(method: str, path: str) -> None:
    assert verified(method, presigner().target(method, path)) == ANN


def test_the_proxy_takes_what_is_signed_with_a_query() -> None:
    query = (("list-type", "2"), ("max-keys", "1000"), ("Prefix", "a/b c"))
    assert verified("GET", presigner().target("GET", "/bucket", query)) == ANN


@pytest.mark.parametrize("change", ["method", "path", "query", "host"])
def test_the_proxy_refuses_what_was_changed_after_signing(change: str) -> None:
    target = presigner().target("GET", "/bucket/key", (("list-type", "2"),))
    method = "PUT" if change == "method" else "GET"
    host = "127.0.0.1:9001" if change == "host" else "127.0.0.1:9000"
    if change == "path":
        target = target.replace("/key", "/kez")
    if change == "query":
        target = target.replace("list-type=2", "list-type=1")
    with pytest.raises(S3Error) as refused:
        verified(method, target, host)
    assert refused.value.code == "SignatureDoesNotMatch"
