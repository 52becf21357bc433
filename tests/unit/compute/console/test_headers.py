"""compute.console.headers: what passes."""

import pytest

from compute.console.headers import answered, asked

HOST = "127.0.0.1:9000"


def test_the_host_is_the_services_which_signatures_cover() -> None:
    assert dict(asked([("Host", "console.example:9001")], HOST)) == {"Host": HOST}


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
        "Cookie", "Origin", "Referer", "Forwarded", "X-Forwarded-For", "X-Real-IP", "Sec-Fetch-Site", "Expect",
        "X-Backend-Storage-Policy-Index", "x-identity-status", "X-Service-Token",
    ],
)  # fmt: skip
def test_what_is_between_others_is_not_asked(name: str) -> None:
    """RFC 9110, 7.6.1, and what browsers and deployments add."""
    assert dict(asked([(name, "x"), ("X-Auth-Token", "t")], HOST)) == {"Host": HOST, "X-Auth-Token": "t"}


def test_what_connection_names_ends_here() -> None:
    fields = [("Connection", "close, X-Secret-Hop"), ("X-Secret-Hop", "1"), ("X-Other", "2")]
    assert dict(asked(fields, HOST)) == {"Host": HOST, "X-Other": "2"}


def test_repeated_fields_pass_in_order() -> None:
    fields = [("X-Meta", "1"), ("X-Meta", "2")]
    assert list(asked(fields, HOST))[1:] == fields


@pytest.mark.parametrize(
    "name", ["Set-Cookie", "Server", "Access-Control-Allow-Origin", "X-Backend-Timestamp", "Clear-Site-Data", "Refresh"]
)
def test_what_a_service_may_not_tell_the_browser_is_left_out(name: str) -> None:
    assert "x" not in dict(answered([(name, "x"), ("ETag", "e")])).values()


def test_no_answer_of_a_service_runs_in_the_pages_origin() -> None:
    fields = list(answered([("Content-Type", "text/html"), ("Content-Security-Policy", "default-src *")]))
    policies = [value for name, value in fields if name == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("sandbox;")
    assert ("X-Content-Type-Options", "nosniff") in fields
