import base64
import hashlib
import tracemalloc
import zlib
from collections.abc import Mapping

import pytest

from proxy.http.message import Buffer, Request
from proxy.s3.body import UNSIGNED_CHUNKS_AND_TRAILER, ChunkedBody, S3Body, open_body
from proxy.s3.errors import S3Error
from tests.unit.proxy.s3_requests import HOST, Pieces, read_all, request

MIB = 1 << 20
DATA = b"some payload"
CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
SHA1 = base64.b64encode(hashlib.sha1(DATA).digest()).decode()
WRONG = "AAAAAA=="


def put(headers: Mapping[str, str], pieces: list[bytes] | None = None) -> Request:
    return request("PUT", HOST + "/b/k", headers, [DATA] if pieces is None else pieces)


def opened(headers: Mapping[str, str], pieces: list[bytes] | None = None, payload: str = "") -> S3Body:
    return open_body(put(headers, pieces), payload, None)


def chunked(chunks: list[bytes], trailer: str = "", announced: str = "x-amz-checksum-crc32") -> Request:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n"
    body += f"x-amz-checksum-crc32:{trailer}\r\n\r\n".encode() if trailer else b"\r\n"
    headers = {"x-amz-decoded-content-length": str(sum(map(len, chunks)))}
    if announced:
        headers["x-amz-trailer"] = announced
    return put(headers, [body[i : i + MIB] for i in range(0, len(body), MIB)])


def open_chunked(asked: Request) -> ChunkedBody:
    body = open_body(asked, UNSIGNED_CHUNKS_AND_TRAILER, None)
    assert isinstance(body, ChunkedBody)
    return body


def code_of(asked: Request, payload: str = "") -> str:
    with pytest.raises(S3Error) as raised:
        read_all(open_body(asked, payload, None))
    return raised.value.code


def test_a_plain_body_is_handed_on_as_it_is() -> None:
    body = opened({}, [b"one", b"two"])
    assert body.length == 6
    assert read_all(body) == [b"one", b"two"]
    assert body.checksums == {}


def test_chunks_of_a_byte_take_no_more_memory_than_their_bytes() -> None:
    held: list[int] = []

    class Watched(Pieces):
        async def read(self) -> Buffer:
            held.append(tracemalloc.get_traced_memory()[0])
            return await super().read()

    size = 40_000
    wire = b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    asked = put({"x-amz-decoded-content-length": str(size)})
    asked.body = Watched([wire[i : i + 4096] for i in range(0, len(wire), 4096)])
    tracemalloc.start()
    try:
        assert read_all(open_chunked(asked)) == [b"x" * size]
    finally:
        tracemalloc.stop()
    assert max(held) - held[0] < 10 * size


def test_a_right_checksum_is_told_after_the_end() -> None:
    body = opened({"x-amz-checksum-crc32": CRC32, "x-amz-sdk-checksum-algorithm": "crc32"})
    assert b"".join(read_all(body)) == DATA
    assert body.checksums == {"CRC32": CRC32}


@pytest.mark.parametrize("pieces", [[DATA], [DATA[:5], DATA[5:]]])
def test_a_right_sha256_of_the_payload_is_accepted(pieces: list[bytes]) -> None:
    body = opened({}, pieces, hashlib.sha256(DATA).hexdigest())
    assert b"".join(read_all(body)) == DATA


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({"x-amz-checksum-crc32": WRONG}, "", "BadDigest"),
        ({"x-amz-checksum-crc32": "x"}, "", "InvalidRequest"),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-sha1": SHA1}, "", "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "", "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": CRC32}, "", "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, "", "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-meta-a"}, UNSIGNED_CHUNKS_AND_TRAILER, "InvalidRequest"),
        ({}, "0" * 64, "XAmzContentSHA256Mismatch"),
        ({}, "nonsense", "InvalidArgument"),
        ({}, "STREAMING-SOMETHING-ELSE", "MissingContentLength"),
        ({"x-amz-decoded-content-length": "12"}, "STREAMING-SOMETHING-ELSE", "NotImplemented"),
        ({"x-amz-decoded-content-length": "12"}, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "InvalidRequest"),
        ({"x-amz-decoded-content-length": "-1"}, UNSIGNED_CHUNKS_AND_TRAILER, "InvalidArgument"),
    ],
)
def test_what_contradicts_the_payload_or_itself_is_refused(
    headers: dict[str, str], payload: str, code: str
) -> None:
    assert code_of(put(headers), payload) == code


def test_the_checksum_of_a_completed_upload_is_not_that_of_the_request() -> None:
    asked = request("POST", HOST + "/b/k?uploadId=1", {"x-amz-checksum-crc32": WRONG + "-2"}, [DATA])
    assert read_all(open_body(asked, "", None)) == [DATA]


def test_a_checksum_in_a_trailer_is_verified_and_told() -> None:
    body = open_chunked(chunked([DATA], CRC32))
    assert (body.length, read_all(body), body.checksums) == (len(DATA), [DATA], {"CRC32": CRC32})


@pytest.mark.parametrize(("trailer", "code"), [(WRONG, "BadDigest"), ("", "InvalidRequest"), ("é", "InvalidRequest")])
def test_a_trailer_that_is_wrong_or_missing_is_refused(trailer: str, code: str) -> None:
    assert code_of(chunked([DATA], trailer), UNSIGNED_CHUNKS_AND_TRAILER) == code


def test_a_chunked_body_may_come_without_a_checksum() -> None:
    body = open_chunked(chunked([DATA], announced=""))
    assert (read_all(body), body.checksums) == ([DATA], {})


def test_a_payload_that_the_service_stores_whole_comes_as_one_piece() -> None:
    """However many pieces and chunks its frame makes of it."""
    for chunks in ([bytes(MIB)], [bytes(65536)] * 16):
        assert [len(piece) for piece in read_all(open_chunked(chunked(chunks, announced="")))] == [MIB]


def test_a_long_payload_comes_in_pieces_of_bounded_size() -> None:
    chunks = [bytes([number]) * 65536 for number in range(64)] + [b"z" * MIB] * 3
    pieces = read_all(open_chunked(chunked(chunks, announced="")))
    assert b"".join(pieces) == b"".join(chunks)
    assert all(len(piece) <= MIB for piece in pieces)
    assert len(pieces) <= 15
