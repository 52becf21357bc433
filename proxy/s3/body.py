"""Request bodies as S3's handlers get them: payload without framing, verified at its end.

Source: Amazon S3 API Reference, "Checking object integrity", and x-amz-content-sha256 in "Authenticating
Requests". `read` raises S3Error instead of returning the end when the payload is not what the client
says, so nothing that fails is ever committed.
"""

import hashlib
import re
from collections import deque
from collections.abc import Mapping

from proxy.checksums import HEADERS as CHECKSUM_HEADERS
from proxy.checksums import decode, encode, new_checksum
from proxy.http.message import Body, Buffer, Headers, Request
from proxy.s3.checksums import demanded
from proxy.s3.chunked import AwsChunkedDecoder
from proxy.s3.errors import S3Error
from proxy.s3.signature import UNSIGNED_PAYLOAD, SignatureChain

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_AND_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_AND_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

WHOLE_LIMIT = 1 << 20  # bytes of payload that come as one piece, as the object service stores them
JOIN_LIMIT = 256 * 1024  # bytes; smaller slices of one piece are joined: each costs a message per replica

SLICES_LIMIT = 1024  # that wait to be joined: a slice of one byte takes 200 of memory, and chunks may be that short

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ALGORITHM_HEADER = "x-amz-sdk-checksum-algorithm"
_NONE: Mapping[str, str] = {}


class Verification:
    """What a payload is to be compared with, and what is counted of it meanwhile."""

    __slots__ = ("_expected", "_in_trailer", "_running", "_sha256", "checksums")

    def __init__(self, sha256: str | None, expected: Mapping[str, str], in_trailer: str | None) -> None:
        self.checksums: Mapping[str, str] = _NONE  # after `finish`: what was found right
        self._sha256 = None if sha256 is None else (sha256, hashlib.sha256())
        self._expected = dict(expected)
        self._in_trailer = in_trailer  # algorithm of the checksum that comes last
        algorithms = [*expected, in_trailer] if in_trailer else list(expected)
        self._running = {name: new_checksum(name) for name in algorithms}

    def update(self, data: Buffer) -> None:
        """Count payload."""
        if self._sha256 is not None:
            self._sha256[1].update(data)
        for checksum in self._running.values():
            checksum.update(data)

    def finish(self, trailers: Mapping[str, str]) -> None:
        """Compare. Raise S3Error when something differs."""
        if self._sha256 is not None and self._sha256[1].hexdigest() != self._sha256[0]:
            claimed, computed = self._sha256[0], self._sha256[1].hexdigest()
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=claimed,
                S3ComputedContentSHA256=computed,
            )
        if self._in_trailer:
            name = f"x-amz-checksum-{self._in_trailer.lower()}"
            if name not in trailers:
                raise S3Error("InvalidRequest", f"The trailer {name} is missing.")
            if decode(self._in_trailer, trailers[name]) is None:
                raise S3Error("InvalidRequest", f"Value for {name} trailing header is invalid.")
            self._expected[self._in_trailer] = trailers[name]
        for algorithm, value in self._expected.items():
            if encode(self._running[algorithm].digest()) != value:
                message = f"The {algorithm} you specified did not match the calculated checksum."
                raise S3Error("BadDigest", message)
        self.checksums = self._expected


class PlainBody:
    """A body that is its payload."""

    __slots__ = ("_source", "_verification")

    def __init__(self, source: Body, verification: Verification) -> None:
        self._source = source
        self._verification = verification

    @property
    def length(self) -> int | None:
        """Return how many bytes will come, None when the client has not said."""
        return self._source.length

    @property
    def checksums(self) -> Mapping[str, str]:
        """Return, after the end, the client's checksums by algorithm."""
        return self._verification.checksums

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end. Raise S3Error when the payload is not as claimed."""
        piece = await self._source.read()
        if piece:
            self._verification.update(piece)
        else:
            self._verification.finish(_NONE)
        return piece


class ChunkedBody:
    """The payload of an aws-chunked body."""

    __slots__ = ("_decoder", "_ready", "_small", "_source", "_verification", "length")

    def __init__(
        self, source: Body, length: int, decoder: AwsChunkedDecoder, verification: Verification
    ) -> None:
        self.length = length
        self._source = source
        self._decoder = decoder
        self._verification = verification
        self._ready: deque[Buffer] = deque()
        self._small: list[memoryview] = []  # to be joined

    @property
    def checksums(self) -> Mapping[str, str]:
        """Return, after the end, the client's checksums by algorithm."""
        return self._verification.checksums

    async def read(self) -> Buffer:
        """Return the next piece, empty at the end. Raise S3Error when the payload is not as claimed."""
        while not self._ready:
            piece = await self._source.read()
            if not piece:
                self._join()
                if self._ready:
                    break
                self._decoder.finish()
                self._verification.finish(self._decoder.trailers)
                return b""
            for payload in self._decoder.feed(memoryview(piece)):
                self._take(payload)
            if self.length > WHOLE_LIMIT:
                self._join()
        return self._ready.popleft()

    def _take(self, payload: memoryview) -> None:
        self._verification.update(payload)
        if self.length > WHOLE_LIMIT and len(payload) >= JOIN_LIMIT:
            self._join()
            self._ready.append(payload)
        else:
            self._small.append(payload)
            if len(self._small) == SLICES_LIMIT:
                self._small = [memoryview(b"".join(self._small))]

    def _join(self) -> None:
        if self._small:
            whole = self._small[0] if len(self._small) == 1 else b"".join(self._small)
            self._small = []
            self._ready.append(whole)


S3Body = PlainBody | ChunkedBody


def open_body(request: Request, payload: str, chain: SignatureChain | None) -> S3Body:
    """Return the payload of a request; `payload` is its x-amz-content-sha256, `chain` that of a SigV4 header.

    Raise S3Error when the headers contradict each other.
    """
    headers = request.headers
    expected = _expected_checksums(request)
    in_trailer = _trailing_algorithm(headers)
    if in_trailer and expected:
        raise _several()
    if payload.startswith("STREAMING-"):
        length = _decoded_length(headers)
        verification = Verification(None, expected, in_trailer)
        return ChunkedBody(request.body, length, _decoder(payload, length, chain), verification)
    if in_trailer:
        raise S3Error("InvalidRequest", "A checksum in a trailer needs an aws-chunked body.")
    sha256 = None if payload in ("", UNSIGNED_PAYLOAD) else payload
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        message = f"x-amz-content-sha256 must be {UNSIGNED_PAYLOAD}, a STREAMING- value or a valid sha256 value."
        raise S3Error(
            "InvalidArgument", message, ArgumentName="x-amz-content-sha256", ArgumentValue=payload
        )
    return PlainBody(request.body, Verification(sha256, expected, None))


def _decoder(payload: str, length: int, chain: SignatureChain | None) -> AwsChunkedDecoder:
    if payload == UNSIGNED_CHUNKS_AND_TRAILER:
        return AwsChunkedDecoder(length, None, signed_trailers=False)
    if payload not in (SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER):
        raise S3Error("NotImplemented", f"{payload} is not supported.")
    if chain is None:
        raise S3Error("InvalidRequest", "Signed chunks need an Authorization header of version 4.")
    return AwsChunkedDecoder(length, chain, signed_trailers=payload == SIGNED_CHUNKS_AND_TRAILER)


def _decoded_length(headers: Headers) -> int:
    text = headers.get("x-amz-decoded-content-length")
    if not text:
        raise S3Error("MissingContentLength", "You must provide the x-amz-decoded-content-length header.")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        name = "x-amz-decoded-content-length"
        raise S3Error("InvalidArgument", f"{name} is not a number.", ArgumentName=name, ArgumentValue=text)
    return int(text)


def _expected_checksums(request: Request) -> Mapping[str, str]:
    """Return the checksum that the headers state of this payload."""
    headers = request.headers
    if _ALGORITHM_HEADER not in headers and CHECKSUM_HEADERS.keys().isdisjoint(headers):
        return _NONE
    if request.method == "POST" and "uploadId=" in request.query:
        return _NONE  # completing an upload: it is that of the object, which the handler knows
    expected = demanded(headers)
    if len(expected) > 1:
        raise _several()
    algorithm = headers.get(_ALGORITHM_HEADER).upper()
    if algorithm and not expected and "x-amz-trailer" not in headers:
        missing = "no corresponding x-amz-checksum-* or x-amz-trailer headers were found"
        message = f"{_ALGORITHM_HEADER} specified, but {missing}."
        raise S3Error("InvalidRequest", message)
    if algorithm and expected and algorithm not in expected:
        raise S3Error("InvalidRequest", f"Value for {_ALGORITHM_HEADER} header is invalid.")
    return expected


def _several() -> S3Error:
    message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    return S3Error("InvalidRequest", message)


def _trailing_algorithm(headers: Headers) -> str | None:
    """Return the algorithm of the checksum that x-amz-trailer announces."""
    announced = headers.get("x-amz-trailer")
    if not announced:
        return None
    names = [name.strip().lower() for name in announced.split(",")]
    algorithms = [CHECKSUM_HEADERS.get(name) for name in names]
    if len(algorithms) > 1:
        raise _several()
    if algorithms[0] is None:
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return algorithms[0]
