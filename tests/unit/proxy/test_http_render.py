import pytest

from proxy.http.message import Response
from proxy.http.render import has_body, render_head

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_head_is_status_line_fields_and_an_empty_line() -> None:
    response = Response(404, [("ETag", '"x"'), ("X-Object-Meta-A", "\xe9")])
    assert render_head(response, DATE, "Content-Length: 0\r\n") == (
        b'HTTP/1.1 404 Not Found\r\nETag: "x"\r\nX-Object-Meta-A: \xe9\r\n'
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"
    )


def test_what_latin_1_does_not_have_is_sent_as_utf_8() -> None:
    assert "☃".encode() in render_head(Response(200, [("A", "☃")]), DATE, "")


def test_a_status_that_nobody_named_has_a_phrase() -> None:
    assert render_head(Response(498), DATE, "").startswith(b"HTTP/1.1 498 Unknown\r\n")


@pytest.mark.parametrize("field", [("A", "b\r\nC: d"), ("A", "b\nc"), ("A", "b\rc"), ("A\r\nB", "c"), ("A", "\0")])
def test_a_field_that_would_split_the_response_is_refused(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="line break"):
        render_head(Response(200, [field]), DATE, "")


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [("GET", 200, True), ("HEAD", 200, False), ("GET", 204, False), ("GET", 304, False), ("PUT", 500, True)],
)
def test_some_responses_have_no_body(method: str, status: int, expected: bool) -> None:
    """RFC 9110 §6.4.1."""
    assert has_body(method, status) is expected
