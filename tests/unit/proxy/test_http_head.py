import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.errors import BadRequest
from proxy.http.head import Head, head_size, parse_head
from proxy.http.limits import Limits

LIMITS = Limits(request_line_bytes=100, head_bytes=1000, header_count=10)
EXAMPLE = (
    b"PUT /b/a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-AMZ-Meta-A:  v \r\n"
    b"x-amz-meta-a: \xe9\r\nEmpty:\r\nExpect: 100-Continue\r\n\r\n"
)


def head(*lines: str, start: str = "GET / HTTP/1.1", host: bool = True) -> bytes:
    fields = ["Host: h", *lines] if host else lines
    return "\r\n".join([start, *fields, "", ""]).encode("latin-1")


def status_of(data: bytes) -> int:
    with pytest.raises(BadRequest) as raised:
        parse_head(data)
    return raised.value.status


def find(data: bytes, scanned: int = 0) -> int:
    return head_size(bytearray(data), len(data), scanned, LIMITS)


def test_a_head_says_what_the_client_wants() -> None:
    parsed = parse_head(EXAMPLE)
    assert (parsed.method, parsed.path, parsed.query) == ("PUT", "/b/a%20b", "x=1&y")
    assert (parsed.length, parsed.chunked, parsed.expects_continue) == (5, False, True)
    assert parsed.keep_alive
    assert parsed.headers.get("x-amz-meta-a") == "v,\xe9"
    assert "empty" in parsed.headers
    assert parsed.headers.get("empty") == ""


@pytest.mark.parametrize(
    ("start", "path", "query"),
    [
        ("GET http://h:80/a?b HTTP/1.1", "/a", "b"),
        ("GET http://h HTTP/1.1", "/", ""),
        ("GET http://h?b HTTP/1.1", "/", "b"),
        ("OPTIONS * HTTP/1.1", "*", ""),
        ("GET //a/../b HTTP/1.1", "//a/../b", ""),
        ("COPY /a HTTP/1.1", "/a", ""),
    ],
)
def test_a_request_target_has_one_of_three_forms(start: str, path: str, query: str) -> None:
    """RFC 9112 §3.2."""
    parsed = parse_head(head(start=start))
    assert (parsed.path, parsed.query) == (path, query)


def test_an_expectation_that_nobody_knows_is_ignored() -> None:
    assert not parse_head(head("Expect: 200-ok")).expects_continue


@pytest.mark.parametrize(
    ("data", "keep_alive"),
    [
        (head(), True),
        (head("Connection: close"), False),
        (head("Connection: TE, Close"), False),
        (head("Connection: close", "Content-Length: 5"), False),
        (head(start="GET / HTTP/1.0"), False),
        (head("Connection: keep-alive", start="GET / HTTP/1.0"), True),
    ],
)
def test_a_connection_persists_as_the_version_has_it(data: bytes, keep_alive: bool) -> None:
    assert parse_head(data).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("Content-Length: 5", "Transfer-Encoding: chunked"), 400),
        (head("Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (head("Content-Length: 5", "Content-Length: 6"), 400),
        (head("Content-Length: 5", "Content-Length: 5"), 400),
        (head("Content-Length: 5, 5"), 400),
        (head("Content-Length: +5"), 400),
        (head("Content-Length: -5"), 400),
        (head("Content-Length: 0x5"), 400),
        (head("Content-Length: 5 6"), 400),
        (head("Content-Length:"), 400),
        (head("Content-Length: " + "9" * 30), 400),
        (head("Transfer-Encoding: gzip, chunked"), 501),
        (head("Transfer-Encoding: chunked, identity"), 400),
        (head("Transfer-Encoding: chunked, chunked"), 400),
        (head("Transfer-Encoding: xchunked"), 400),
        (head("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 400),
        (head("Transfer-Encoding: \x0bchunked"), 400),
        (head("Transfer-Encoding : chunked"), 400),
        (head("Transfer-Encoding: chunked", start="POST / HTTP/1.0"), 400),
        (head("A: b", " folded"), 400),
        (head("A: b\rc"), 400),
        (head("A: b\nc: d"), 400),
        (head("A: b\0c"), 400),
        (head("A\0b: c"), 400),
        (head("(A): c"), 400),
        (head("A : c"), 400),
        (head(": c"), 400),
        (head("no colon"), 400),
        (head("\xe9: c"), 400),
        (head(host=False), 400),
        (head("Host: other"), 400),
        (head(start="BREW / HTTP/1.1"), 501),
        (head(start="GET / HTTP/0.9"), 505),
        (head(start="GET / HTTP/2.0"), 505),
        (head(start="GET / HTTP/1.2"), 505),
        (head(start="GET /"), 400),
        (head(start="GET  / HTTP/1.1"), 400),
        (head(start="GET /a b HTTP/1.1"), 400),
        (head(start="GET /\xe9 HTTP/1.1"), 400),
        (head(start="GET /a#b HTTP/1.1"), 400),
        (head(start="GET ftp://h/ HTTP/1.1"), 400),
        (head(start="CONNECT h:80 HTTP/1.1"), 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
    ],
)
def test_what_is_malformed_or_ambiguous_is_refused(data: bytes, status: int) -> None:
    """RFC 9112 §2.2, §3, §5 and §6.3."""
    assert status_of(data) == status


def test_an_offer_of_another_protocol_is_ignored() -> None:
    parsed = parse_head(head("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3", start="PUT / HTTP/1.1"))
    assert (parsed.method, parsed.length) == ("PUT", 3)


def test_the_end_of_a_head_is_found_wherever_it_was_cut() -> None:
    for cut in range(len(EXAMPLE)):
        assert find(EXAMPLE[:cut]) == 0
        assert find(EXAMPLE + b"tail", scanned=cut) == len(EXAMPLE)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"G" * 102, 0),
        (b"G" * 103, 414),
        (b"GET /" + b"x" * 100 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 1000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 11 + b"\r\n", 431),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\n", 400),
    ],
)
def test_a_head_past_the_limits_is_refused_before_it_is_whole(data: bytes, status: int) -> None:
    if not status:
        assert find(data) == 0
        return
    with pytest.raises(BadRequest) as raised:
        find(data)
    assert raised.value.status == status


def test_a_line_end_that_was_cut_in_two_is_whole() -> None:
    assert find(b"GET / HTTP/1.1\r\nHost", scanned=len(b"GET / HTTP/1.1\r")) == 0


tokens = st.text("abcXYZ0-", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=12)


@given(st.lists(st.tuples(tokens.map(lambda name: "x-" + name), values), max_size=6))
def test_fields_come_out_as_they_went_in(fields: list[tuple[str, str]]) -> None:
    parsed = parse_head(head(*[f"{name}: {value}" for name, value in fields]))
    for name, value in fields:
        assert value in parsed.headers.get_all(name.lower())
    assert sum(len(parsed.headers.get_all(name)) for name in parsed.headers) == len(fields) + 1


@given(st.binary(max_size=120), st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: h\r\n", EXAMPLE[:-2]]))
def test_garbage_is_a_head_or_is_refused(garbage: bytes, before: bytes) -> None:
    parsed: Head | BadRequest
    try:
        parsed = parse_head(before + garbage.replace(b"\r\n\r\n", b"") + b"\r\n\r\n")
    except BadRequest as refusal:
        parsed = refusal
    if isinstance(parsed, BadRequest):
        assert 400 <= parsed.status < 600
    else:
        assert (parsed.length is None) is parsed.chunked
