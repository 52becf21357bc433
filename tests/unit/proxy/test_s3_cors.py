"""Rules for pages of other origins."""

import pytest

from proxy.http.message import Headers
from proxy.s3.cors import MAX_RULES, Rule, answer_fields, pack, parse, render, unpack
from proxy.s3.errors import S3Error
from proxy.s3.xml import parse as parse_xml

WHOLE = Rule(["https://*.example.com", "http://b"], ["GET", "PUT"], ["x-amz-*", "Content-Type"], ["ETag"], 60, "one")
PLAIN = Rule(["*"], ["GET"])
ANY = "<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"


def document(content: str) -> bytes:
    return f"<CORSConfiguration><CORSRule>{content}</CORSRule></CORSConfiguration>".encode()


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["http://a"], "http://a", True),
        (["http://a"], "http://A", False),
        (["http://a", "http://b"], "http://b", True),
        (["*suffix"], "foo.suffix", True),
        (["*suffix"], "foo.suffix.get", False),
        (["start*end"], "startend", True),
        (["start*end"], "start1end", True),
        (["start*end"], "start1end0", False),
        (["sta*art"], "start", False),
        (["prefix*"], "prefix.suffix", True),
        (["*"], "anything", True),
    ],
)
def test_an_origin_may_have_one_asterisk(origins: list[str], origin: str, allowed: bool) -> None:
    """s3-tests: test_cors_origin_response."""
    assert Rule(origins, ["GET"]).allows(origin, "GET", []) is allowed


def test_the_method_and_all_headers_must_be_allowed() -> None:
    assert WHOLE.allows("http://b", "PUT", ["content-type", "x-amz-meta-k"])
    assert not WHOLE.allows("http://b", "DELETE", [])
    assert not WHOLE.allows("http://b", "PUT", ["content-type", "authorization"])
    assert not PLAIN.allows("http://b", "GET", ["x-amz-meta-k"])


def test_the_first_rule_that_fits_decides_what_is_said() -> None:
    asked = Headers([("origin", "http://b"), ("access-control-request-headers", " X-Amz-Date, Content-Type ,")])
    assert dict(answer_fields([PLAIN, WHOLE], asked, "GET")) == {
        "Access-Control-Allow-Origin": "http://b",
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "x-amz-date, content-type",
        "Access-Control-Expose-Headers": "ETag",
        "Access-Control-Max-Age": "60",
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }
    simple = dict(answer_fields([PLAIN, WHOLE], Headers([("origin", "http://b")]), "GET"))
    assert simple["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in simple
    assert answer_fields([PLAIN, WHOLE], Headers([("origin", "http://c")]), "PUT") == []
    assert answer_fields([], asked, "GET") == []


def test_rules_are_kept_and_shown_as_they_were_sent() -> None:
    for rules in ([WHOLE], [PLAIN, WHOLE]):
        assert pack(unpack(pack(rules))) == pack(rules)
        assert pack(parse(parse_xml(render(rules)))) == pack(rules)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "MalformedXML"),
        ("<AllowedOrigin>*</AllowedOrigin>", "MalformedXML"),
        ("<AllowedMethod>GET</AllowedMethod>", "MalformedXML"),
        ("<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><Other/>", "MalformedXML"),
        ("<AllowedOrigin>*</AllowedOrigin><AllowedMethod>PATCH</AllowedMethod>", "InvalidRequest"),
        ("<AllowedOrigin>*a*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>", "InvalidRequest"),
        (f"{ANY}<AllowedHeader>**</AllowedHeader>", "InvalidRequest"),
        (f"{ANY}<ExposeHeader>a&#10;X-Evil: 1</ExposeHeader>", "InvalidRequest"),
        (f"{ANY}<MaxAgeSeconds>x</MaxAgeSeconds>", "MalformedXML"),
        (
            f"<AllowedOrigin>{'x' * 70_000}</AllowedOrigin><AllowedMethod>GET</AllowedMethod>",
            "InvalidRequest",
        ),
    ],
)
def test_a_bad_document_is_refused(content: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        pack(parse(parse_xml(document(content))))
    assert caught.value.code == code


def test_there_is_at_least_one_rule_and_there_are_not_too_many() -> None:
    for rules in ([], [PLAIN] * (MAX_RULES + 1)):
        with pytest.raises(S3Error, match="MalformedXML"):
            parse(parse_xml(render(rules)))
