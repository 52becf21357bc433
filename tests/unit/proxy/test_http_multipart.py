"""proxy.http.multipart: forms, whole, byte by byte, and what is none."""

import asyncio

import pytest

from proxy.http.multipart import BadForm, boundary_of, read_parts
from tests.unit.proxy.memory_service import BytesBody

FORM = (
    b"--b\r\nContent-Disposition: form-data; name=\"redirect\"\r\n\r\nhttp://x/\r\n"
    b"--b\r\ncontent-disposition: form-data; name=f; filename=\"a; \xc3\xbc.txt\"\r\n"
    b"Content-Type: text/plain\r\n\r\nline\r\n--not the end\r\n\r\n"
    b"--b\r\n\r\nno header"
    b"\r\n--b--\r\n"
)


def parts_of(form: bytes, piece_size: int, boundary: str = "b") -> list[tuple[dict[str, str], bytes]]:
    """Return the parameters and the bytes of each part, received in pieces of `piece_size`."""

    async def read() -> list[tuple[dict[str, str], bytes]]:
        found = []
        async for part in read_parts(BytesBody(form, piece_size), boundary):
            data = bytearray()
            while piece := await part.body.read():
                data += piece
            found.append((dict(part.parameters), bytes(data)))
        return found

    return asyncio.run(read())


@pytest.mark.parametrize("piece_size", [1, 2, 7, 10_000])
def test_a_form_is_the_same_in_whatever_pieces_it_comes(piece_size: int) -> None:
    expected = [
        ({"name": "redirect"}, b"http://x/"),
        ({"name": "f", "filename": "a; ü.txt"}, b"line\r\n--not the end\r\n"),
        ({}, b"no header"),
    ]
    assert parts_of(FORM, piece_size) == expected
    assert parts_of(b"\r\n\r\n" + FORM, piece_size) == expected


def test_parts_that_are_not_read_are_skipped() -> None:
    async def names() -> list[str]:
        return [part.parameters.get("name", "") async for part in read_parts(BytesBody(FORM, 5), "b")]

    assert asyncio.run(names()) == ["redirect", "f", ""]


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--c\r\n\r\n",
        b"x--b\r\n\r\n",
        b"--b",
        b"--bx\r\n",
        FORM[:-8],
        FORM[:40],
        b"--b\r\n" + b"a" * 10_000,
    ],
)
@pytest.mark.parametrize("piece_size", [1, 10_000])
def test_what_is_no_form_is_told_of(form: bytes, piece_size: int) -> None:
    with pytest.raises(BadForm):
        parts_of(form, piece_size)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=--b--", "--b--"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', "a b"),
        ("multipart/form-data", None),
        ("text/plain; boundary=b", None),
    ],
)
def test_the_boundary_is_a_parameter_of_the_type(content_type: str, boundary: str | None) -> None:
    assert boundary_of(content_type) == boundary
