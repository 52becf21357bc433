import hashlib
import io
from collections.abc import Callable, Sequence

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, CrtCrc64NvmeChecksum
from hypothesis import given
from hypothesis import strategies as st

from proxy.s3.chunked import AwsChunkedDecoder
from proxy.s3.errors import S3Error
from proxy.s3.signature import EMPTY_SHA256, Scope, SignatureChain, signing_key

SCOPE = Scope("20130524", "us-east-1", "s3")
KEY = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", SCOPE)
SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER = "x-amz-checksum-crc32c"

Cut = Callable[[bytes], Sequence[bytes]]
CUTS: dict[str, Cut] = {
    "whole": lambda body: [body],
    "byte by byte": lambda body: [body[i : i + 1] for i in range(len(body))],
    "in sevens": lambda body: [body[i : i + 7] for i in range(0, len(body), 7)],
}
every_cut = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)


def chain() -> SignatureChain:
    return SignatureChain(KEY, "20130524T000000Z", SCOPE, SEED)


def signed_body(chunks: Sequence[bytes], trailer: str = "", trailer_end: str = "\r\n") -> bytes:
    """What a client sends that follows the published rules."""
    signatures = chain()
    parts = []
    for chunk in [*chunks, b""]:
        signature = signatures.next_chunk(hashlib.sha256(chunk).hexdigest())
        parts.append(b"%x;chunk-signature=%s\r\n" % (len(chunk), signature.encode()))
        parts.append(chunk + b"\r\n" if chunk else b"")
    if trailer:
        signature = signatures.next_trailer(hashlib.sha256(f"{TRAILER}:{trailer}\n".encode()).hexdigest())
        parts.append(f"{TRAILER}:{trailer}{trailer_end}x-amz-trailer-signature:{signature}\r\n".encode())
    return b"".join([*parts, b"\r\n"])


def decode(decoder: AwsChunkedDecoder, body: bytes, cut: Cut = CUTS["whole"]) -> bytes:
    payload = b"".join(b"".join(decoder.feed(memoryview(piece))) for piece in cut(body))
    decoder.finish()
    return payload


def refusal(decoder: AwsChunkedDecoder, body: bytes, cut: Cut = CUTS["whole"]) -> str:
    with pytest.raises(S3Error) as raised:
        decode(decoder, body, cut)
    return raised.value.code


@every_cut
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_what_botocore_frames_comes_out_without_its_frame(cut: Cut, size: int) -> None:
    data = bytes(range(256)) * 4
    wrapper = AwsChunkedWrapper(
        io.BytesIO(data[:size]), CrtCrc64NvmeChecksum, "x-amz-checksum-crc64nvme", chunk_size=300
    )
    decoder = AwsChunkedDecoder(size, None, signed_trailers=False)
    assert decode(decoder, wrapper.read(), cut) == data[:size]
    checksum = CrtCrc64NvmeChecksum()
    checksum.update(data[:size])
    assert decoder.trailers == {"x-amz-checksum-crc64nvme": checksum.b64digest()}


@every_cut
def test_signed_chunks_are_verified(cut: Cut) -> None:
    decoder = AwsChunkedDecoder(12, chain(), signed_trailers=False)
    assert decode(decoder, signed_body([b"hello ", b"world!"]), cut) == b"hello world!"


@every_cut
def test_the_published_trailer_has_the_published_signature(cut: Cut) -> None:
    """Amazon S3 API Reference, "Transferring payload in multiple chunks with trailing headers"."""
    signatures = (
        b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        b"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    )
    body = (
        b"10000;chunk-signature=%s\r\n" % signatures[0] + b"a" * 65536 + b"\r\n"
        b"400;chunk-signature=%s\r\n" % signatures[1] + b"a" * 1024 + b"\r\n"
        b"0;chunk-signature=%s\r\n" % signatures[2] + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        b"x-amz-trailer-signature:%s\r\n\r\n" % signatures[3]
    )
    decoder = AwsChunkedDecoder(66560, chain(), signed_trailers=True)
    assert decode(decoder, body, cut) == b"a" * 66560
    assert decoder.trailers == {TRAILER: "sOO8/Q=="}


@every_cut
@pytest.mark.parametrize("where", [0, 30, 100, 120, 200, 290, 380])
def test_a_flipped_bit_in_signed_chunks_is_found(cut: Cut, where: int) -> None:
    body = bytearray(signed_body([b"hello " * 5, b"world!" * 5], "sOO8/Q=="))
    body[where] ^= 1
    code = refusal(AwsChunkedDecoder(60, chain(), signed_trailers=True), bytes(body), cut)
    assert code in ("SignatureDoesNotMatch", "InvalidRequest", "IncompleteBody")


def test_chunks_in_another_order_are_refused() -> None:
    body = signed_body([b"one", b"two"])
    size = len(body[: body.index(b"two")]) - len(body[: body.index(b"one")])
    swapped = body[size : 2 * size] + body[:size] + body[2 * size :]
    assert refusal(AwsChunkedDecoder(6, chain(), signed_trailers=False), swapped) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\none\r\n0\r\n\r\n",
        b"3;chunk-signature=\r\none\r\n0;chunk-signature=\r\n\r\n",
        b"3;other=1\r\none\r\n0\r\n\r\n",
    ],
)
def test_unsigned_chunks_where_signed_ones_were_announced_are_refused(body: bytes) -> None:
    assert refusal(AwsChunkedDecoder(3, chain(), signed_trailers=False), body) == "SignatureDoesNotMatch"


def test_a_trailer_that_is_not_signed_is_refused() -> None:
    body = signed_body([b"one"])[:-2] + f"{TRAILER}:sOO8/Q==\r\n\r\n".encode()
    assert refusal(AwsChunkedDecoder(3, chain(), signed_trailers=True), body) == "SignatureDoesNotMatch"


@every_cut
def test_a_body_that_ends_early_is_incomplete(cut: Cut) -> None:
    body = signed_body([b"hello ", b"world!"])
    for end in (0, 10, len(body) - 90, len(body) - 2, len(body) - 1):
        decoder = AwsChunkedDecoder(12, chain(), signed_trailers=False)
        assert refusal(decoder, body[:end], cut) == "IncompleteBody"


@every_cut
@pytest.mark.parametrize("length", [0, 11, 13])
def test_a_payload_of_another_length_than_announced_is_refused(cut: Cut, length: int) -> None:
    body = signed_body([b"hello ", b"world!"])
    assert refusal(AwsChunkedDecoder(length, chain(), signed_trailers=False), body, cut) == "IncompleteBody"


@every_cut
@pytest.mark.parametrize("tail", [b"x", b"0\r\n\r\n", b"\r\n" * 9])
def test_bytes_after_the_end_are_refused(cut: Cut, tail: bytes) -> None:
    decoder = AwsChunkedDecoder(3, None, signed_trailers=False)
    assert refusal(decoder, b"3\r\none\r\n0\r\n\r\n" + tail, cut) == "InvalidRequest"


@every_cut
def test_trailers_may_end_as_older_clients_end_them(cut: Cut) -> None:
    body = f"3\r\none\r\n0\r\n{TRAILER}:sOO8/Q==\n\r\n\r\n".encode()
    decoder = AwsChunkedDecoder(3, None, signed_trailers=False)
    assert decode(decoder, body, cut) == b"one"
    assert decoder.trailers == {TRAILER: "sOO8/Q=="}


def test_a_repeated_trailer_is_refused() -> None:
    body = b"0\r\na:1\r\na:2\r\n\r\n"
    assert refusal(AwsChunkedDecoder(0, None, signed_trailers=False), body) == "InvalidRequest"


def test_payload_is_not_copied() -> None:
    body = bytearray(b"400\r\n" + b"a" * 1024 + b"\r\n0\r\n\r\n")
    (payload,) = AwsChunkedDecoder(1024, None, signed_trailers=False).feed(memoryview(body))
    assert payload.obj is body


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5), cuts=st.data())
def test_however_it_is_cut_the_payload_is_the_same(chunks: list[bytes], cuts: st.DataObject) -> None:
    body = signed_body(chunks, "sOO8/Q==")
    places = sorted(cuts.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[i:j] for i, j in zip([0, *places], [*places, len(body)], strict=True)]
    decoder = AwsChunkedDecoder(sum(map(len, chunks)), chain(), signed_trailers=True)
    assert decode(decoder, body, lambda _: pieces) == b"".join(chunks)


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_refused_as_s3_refuses(garbage: bytes, is_signed: bool) -> None:
    decoder = AwsChunkedDecoder(5, chain() if is_signed else None, signed_trailers=is_signed)
    assert refusal(decoder, garbage) in ("InvalidRequest", "IncompleteBody", "SignatureDoesNotMatch")


def test_the_chain_begins_with_the_empty_hash_of_nothing() -> None:
    assert hashlib.sha256(b"").hexdigest() == EMPTY_SHA256
