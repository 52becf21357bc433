import hashlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.message import Headers
from proxy.s3 import signature
from proxy.s3.errors import S3Error
from proxy.s3.signature import Scope

# "Examples: Signature Calculations in AWS Signature Version 4", Amazon S3 API Reference
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SCOPE = Scope("20130524", "us-east-1", "s3")
TIMESTAMP = "20130524T000000Z"
HOST = ("host", "examplebucket.s3.amazonaws.com")
KEY = signature.signing_key(SECRET, SCOPE)


def published(method: str, path: str, query: str, headers: list[tuple[str, str]], payload: str) -> str:
    names = ";".join(sorted(name for name, _value in headers))
    canonical = signature.canonical_request(
        method, path, signature.canonical_query(query), Headers(headers), names, payload
    )
    return signature.request_signature(KEY, TIMESTAMP, SCOPE, canonical)


def test_the_published_get_object_has_the_published_signature() -> None:
    empty = signature.EMPTY_SHA256
    headers = [HOST, ("range", "bytes=0-9"), ("x-amz-content-sha256", empty), ("x-amz-date", TIMESTAMP)]
    expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert published("GET", "/test.txt", "", headers, empty) == expected


def test_the_published_put_object_has_the_published_signature() -> None:
    payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
    headers = [
        HOST,
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("x-amz-content-sha256", payload),
        ("x-amz-date", TIMESTAMP),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ]
    expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert published("PUT", "/test%24file.text", "", headers, payload) == expected
    assert published("PUT", "/test$file.text", "", headers, payload) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ("prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_published_queries_have_the_published_signatures(query: str, expected: str) -> None:
    empty = signature.EMPTY_SHA256
    headers = [HOST, ("x-amz-content-sha256", empty), ("x-amz-date", TIMESTAMP)]
    assert published("GET", "/", query, headers, empty) == expected


def test_the_published_presigned_query_is_read_and_has_the_published_signature() -> None:
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3"
        "%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        f"&X-Amz-Signature={expected}"
    )
    assert signature.is_presigned(query)
    claim = signature.parse_presigned(query)
    assert (claim.access_key, claim.scope, claim.expires_s) == ("AKIAIOSFODNN7EXAMPLE", SCOPE, 86400)
    canonical = signature.canonical_request(
        "GET", "/test.txt", claim.canonical_query, Headers([HOST]), claim.signed_headers, "UNSIGNED-PAYLOAD"
    )
    assert signature.request_signature(KEY, TIMESTAMP, SCOPE, canonical) == claim.signature == expected


def test_the_published_chunks_have_the_published_signatures() -> None:
    """ "Transferring Payload in Multiple Chunks": 64 KiB and 1 KiB of "a"."""
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    chain = signature.SignatureChain(KEY, TIMESTAMP, SCOPE, seed)
    expected = [
        (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ]
    for size, chunk_signature in expected:
        assert chain.next_chunk(hashlib.sha256(b"a" * size).hexdigest()) == chunk_signature


def test_an_authorization_header_is_read_with_and_without_spaces_and_in_any_order() -> None:
    credential = "Credential=A/K/20130524/us-east-1/s3/aws4_request"
    value = f"{credential}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    backwards = ", ".join(reversed(value.split(", ")))
    for text in (value, value.replace(", ", ","), value.replace(", ", " , "), backwards):
        claim = signature.parse_authorization(f"{signature.ALGORITHM} {text}")
        assert (claim.access_key, claim.scope, claim.signed_headers) == ("A/K", SCOPE, "host;x-amz-date")


@pytest.mark.parametrize(
    "value",
    [
        "Credential=HAHAHA",
        "",
        "Credential=A/20130524/us-east-1/s3/aws4_request, SignedHeaders=host",
        f"Credential=A/20130524/us-east-1/s3/aws3, SignedHeaders=host, Signature={'0' * 64}",
        f"Credential=A/20130524/us-east-1/s3/aws4_request, SignedHeaders=Ho st, Signature={'0' * 64}",
        "Credential=A/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=zz",
        f"Credential=A/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={'0' * 64}, Signature=1",
    ],
)
def test_a_malformed_authorization_header_is_refused(value: str) -> None:
    with pytest.raises(S3Error) as raised:
        signature.parse_authorization(f"{signature.ALGORITHM} {value}")
    assert raised.value.code == "AuthorizationHeaderMalformed"


@given(st.text(max_size=40), st.sampled_from(["", "/"]))
def test_however_a_client_escapes_the_canonical_text_is_the_same(text: str, safe: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    fully = "".join(f"%{byte:02x}" for byte in raw)
    assert signature.canonical_text(fully, safe) == quote(raw, safe=safe)
    assert signature.canonical_text(quote(raw, safe="$&,:=@"), safe) == quote(raw, safe=safe)


def test_a_space_in_a_query_may_be_a_plus() -> None:
    assert signature.canonical_query("prefix=a+b&x") == signature.canonical_query("x=&prefix=a%20b")


@pytest.mark.parametrize(
    "text", ["20130230T000000Z", "20130524T000060Z", "20130524", "\u0662" + TIMESTAMP[1:], ""]
)
def test_what_is_no_timestamp_is_none(text: str) -> None:
    assert signature.timestamp_us(text) is None
