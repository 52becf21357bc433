from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.chunked import MAX_LINE, MAX_TRAILERS, BodyEnd, ChunkDecoder, ChunkEnd, ChunkStart
from proxy.http.errors import BadBody

Cut = Callable[[bytes], Sequence[bytes]]
CUTS: dict[str, Cut] = {
    "whole": lambda body: [body],
    "byte by byte": lambda body: [body[i : i + 1] for i in range(len(body))],
}
every_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)

EXAMPLE = b'5;name="v"\r\nhello\r\n7\r\n, world\r\n0\r\nA-Trailer: x \r\nB:\r\n\r\n'


def decode(pieces: Sequence[bytes], **arguments: bool) -> tuple[bytes, list[object], bytes]:
    """Return payload, what else was said, and what was left over."""
    decoder = ChunkDecoder(**arguments)
    payload, others, rest = b"", [], b""
    for piece in pieces:
        events, used = decoder.feed(memoryview(piece))
        rest += piece[used:]
        for event in events:
            if isinstance(event, memoryview):
                payload += event
            elif not isinstance(event, ChunkEnd):
                others.append(event)
    return payload, others, rest


@every_cut
@pytest.mark.parametrize("tail", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_body_ends_where_it_says(cut: Cut, tail: bytes) -> None:
    """RFC 9112 §7.1."""
    payload, others, rest = decode(cut(EXAMPLE + tail))
    assert payload == b"hello, world"
    assert others == [
        ChunkStart(5, 'name="v"'),
        ChunkStart(7, ""),
        ChunkStart(0, ""),
        BodyEnd([("a-trailer", "x"), ("b", "")]),
    ]
    assert rest == tail


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_however_it_is_cut_it_is_the_same_body(chunks: list[bytes], data: st.DataObject) -> None:
    body = b"".join(b"%X\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[i:j] for i, j in zip([0, *places], [*places, len(body)], strict=True)]
    payload, others, rest = decode(pieces)
    assert (payload, others[-1], rest) == (b"".join(chunks), BodyEnd([]), b"")


@every_cut
@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"\r\nhello\r\n",
        b"11111111111111111\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;a\0\r\nhello\r\n",
        b"0\r\nname : value\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nname: value\n\r\n",
        b"0\r\nname: a\rb\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * (MAX_TRAILERS + 1) + b"\r\n",
        b"5;" + b"x" * MAX_LINE,
        b"0\r\na: " + b"x" * MAX_LINE,
    ],
)
def test_what_could_be_read_in_another_way_is_refused(cut: Cut, body: bytes) -> None:
    with pytest.raises(BadBody):
        decode(cut(body))


@every_cut
def test_trailers_may_end_with_a_bare_line_feed_where_that_is_allowed(cut: Cut) -> None:
    _payload, others, _rest = decode(cut(b"0\r\nname: value\n\r\n"), lenient_trailers=True)
    assert others[-1] == BodyEnd([("name", "value")])


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waits_for_more(garbage: bytes) -> None:
    for cut in CUTS.values():
        try:
            payload, _others, rest = decode(cut(garbage))
        except BadBody:
            continue
        assert len(payload) + len(rest) <= len(garbage)


def test_payload_is_not_copied() -> None:
    body = bytearray(EXAMPLE)
    events, _used = ChunkDecoder().feed(memoryview(body))
    assert all(event.obj is body for event in events if isinstance(event, memoryview))
