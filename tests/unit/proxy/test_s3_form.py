"""Forms, whole and in pieces."""

import asyncio

import pytest

from proxy.s3.errors import S3Error
from proxy.s3.form import MAX_FIELDS_SIZE, boundary_of, read_form
from tests.unit.proxy.memory_service import BytesBody

FILE = b"\r\n--not the boundary\r\n--b" + bytes(range(256)) * 3 + b"\r\n"


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'--bound\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def form(*fields: bytes, end: bytes = b"--bound--\r\n") -> bytes:
    return b"".join(fields) + end


WHOLE = form(
    field("Key", "ö ${filename}".encode()),
    field("empty", b""),
    field("file", FILE, '; filename="C:\\dir\\a \\"b\\".txt"\r\nContent-Type: text/plain'),
    field("submit", b"Upload"),
)


def read(data: bytes, piece_size: int = 1 << 20) -> tuple[dict[str, str], str, bytes]:
    async def collect() -> tuple[dict[str, str], str, bytes]:
        found = await read_form(BytesBody(data, piece_size), "bound")
        content = bytearray()
        while piece := await found.file.read():
            content += piece
        assert await found.file.read() == b""
        return found.fields, found.file_name, bytes(content)

    return asyncio.run(collect())


@pytest.mark.parametrize("piece_size", [1, 2, 7, 100, 1 << 20])
def test_a_form_is_its_fields_and_the_file(piece_size: int) -> None:
    """RFC 7578; what stands behind the file is ignored."""
    expected = ({"key": "ö ${filename}", "empty": ""}, 'a "b".txt', FILE)
    assert read(WHOLE, piece_size) == expected
    assert read(b"a preamble\r\n" + WHOLE, piece_size) == expected
    assert read(WHOLE.replace(b"--bound\r\n", b"--bound \t\r\n"), piece_size) == expected


def test_an_empty_file_is_one() -> None:
    assert read(form(field("file", b""))) == ({}, "", b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "MalformedPOSTRequest"),
        (b"no form", "MalformedPOSTRequest"),
        (form(field("key", b"x")), "MalformedPOSTRequest"),
        (form(field("key", b"x"), field("file", b"x"), end=b""), "MalformedPOSTRequest"),
        (form(field("key", b"x"), field("KEY", b"y"), field("file", b"x")), "MalformedPOSTRequest"),
        (form(field("key", b"\xff"), field("file", b"x")), "MalformedPOSTRequest"),
        (form(b"--bound\r\nContent-Type: x\r\n\r\n\r\n"), "MalformedPOSTRequest"),
        (form(field("k", b"x" * MAX_FIELDS_SIZE)), "MaxPostPreDataLengthExceededError"),
        (b"x" * MAX_FIELDS_SIZE * 2, "MaxPostPreDataLengthExceededError"),
        (form(*(field(f"k{n}", b"x" * 1000) for n in range(70))), "MaxPostPreDataLengthExceededError"),
        (form(field("k", b"x", "\r\n" + "x" * 10_000)), "MaxPostPreDataLengthExceededError"),
    ],
)
@pytest.mark.parametrize("piece_size", [61, 1 << 20])
def test_what_is_no_form_is_refused(data: bytes, code: str, piece_size: int) -> None:
    with pytest.raises(S3Error) as caught:
        read(data.removesuffix(b"\r\n") if code == "MalformedPOSTRequest" else data, piece_size)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=x'1", "x'1"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', "a b"),
        ("multipart/form-data", None),
        ("application/xml; boundary=x", None),
        ("", None),
    ],
)
def test_the_boundary_is_the_content_types(content_type: str, boundary: str | None) -> None:
    assert boundary_of(content_type) == boundary
