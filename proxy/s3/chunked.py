"""aws-chunked bodies: frame, signatures and trailers, bytes to payload. No I/O.

Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring
Payload in Multiple Chunks", and the same "with trailing headers". The frame is that of HTTP's chunks,
with a signature as extension. Each chunk's signature is verified at its end, so payload is handed out before;
what is handed out counts only when `finish` has agreed. Framing never comes out as payload.
"""

import hashlib
import hmac

from proxy.http.chunked import BodyEnd, ChunkDecoder, ChunkEnd, ChunkStart
from proxy.http.errors import BadBody
from proxy.s3.errors import S3Error
from proxy.s3.signature import EMPTY_SHA256, SignatureChain

TRAILER_SIGNATURE = "x-amz-trailer-signature"
_EXTENSION = "chunk-signature="
_MAX_TAIL = 4  # bytes after the end: some clients send one more empty line


class AwsChunkedDecoder:
    """Decodes one body of `length` bytes of payload, fed in pieces of any size.

    `chain` is None when chunks are not signed; `signed_trailers` says that one of the trailers is a signature.
    """

    def __init__(self, length: int, chain: SignatureChain | None, *, signed_trailers: bool) -> None:
        self.trailers: dict[str, str] = {}
        self._frame = ChunkDecoder(lenient_trailers=True)
        self._missing = length
        self._chain = chain
        self._signed_trailers = signed_trailers
        self._signature = ""  # that the current chunk claims
        self._hash = hashlib.sha256()  # of the current chunk; unsigned ones are not hashed
        self._tail = 0

    @property
    def done(self) -> bool:
        """Tell whether the end of the body has been seen."""
        return self._frame.done

    def feed(self, data: memoryview) -> list[memoryview]:
        """Return the payload in `data`, as slices of it. Raise S3Error."""
        try:
            events, used = self._frame.feed(data)
        except BadBody as error:
            raise S3Error("InvalidRequest", f"The aws-chunked body is malformed: {error.reason}") from None
        payload: list[memoryview] = []
        for event in events:
            if isinstance(event, memoryview):
                self._take(event)
                payload.append(event)
            elif isinstance(event, ChunkStart):
                self._start_chunk(event)
            elif isinstance(event, ChunkEnd):
                self._verify_chunk(self._hash.hexdigest())
            else:
                self._end(event)
        self._check_tail(data[used:])
        return payload

    def finish(self) -> None:
        """Raise S3Error unless the body was whole, and as long as announced."""
        if not self.done or self._missing:
            raise S3Error("IncompleteBody")

    def _take(self, data: memoryview) -> None:
        self._missing -= len(data)
        if self._missing < 0:
            raise S3Error("IncompleteBody", "The body is longer than x-amz-decoded-content-length says.")
        if self._chain is not None:
            self._hash.update(data)

    def _start_chunk(self, chunk: ChunkStart) -> None:
        if self._chain is None:
            return
        if not chunk.extension.startswith(_EXTENSION):
            raise S3Error("SignatureDoesNotMatch", "A chunk of the body is not signed.")
        self._signature = chunk.extension[len(_EXTENSION) :].strip()
        self._hash = hashlib.sha256()
        if chunk.size == 0:
            self._verify_chunk(EMPTY_SHA256)

    def _verify_chunk(self, sha256: str) -> None:
        if self._chain is not None:
            _compare(self._chain.next_chunk(sha256), self._signature)

    def _end(self, end: BodyEnd) -> None:
        signature = ""
        for name, value in end.trailers:
            if name == TRAILER_SIGNATURE:
                signature = value
            elif name in self.trailers:
                raise S3Error("InvalidRequest", f"The trailer {name} is repeated.")
            else:
                self.trailers[name] = value
        if self._signed_trailers and self._chain is not None:
            text = "".join([f"{name}:{value}\n" for name, value in self.trailers.items()])
            _compare(self._chain.next_trailer(hashlib.sha256(text.encode("latin-1")).hexdigest()), signature)

    def _check_tail(self, tail: memoryview) -> None:
        self._tail += len(tail)
        if self._tail > _MAX_TAIL or bytes(tail).strip(b"\r\n"):
            raise S3Error("InvalidRequest", "There are bytes after the end of the aws-chunked body.")


def _compare(expected: str, claimed: str) -> None:
    if not hmac.compare_digest(expected.encode(), claimed.encode("latin-1")):
        raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match.")
