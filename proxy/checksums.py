"""The checksums that S3 clients send along with data, and how those of parts make up that of the whole.

Source: Amazon S3 User Guide, "Checking object integrity". Values are big-endian, in base64. A COMPOSITE
checksum is one over the parts' checksums, followed by their count; a FULL_OBJECT one is that of all the
bytes, and is put together from the parts' CRCs, without reading a byte again.

CRCs are linear: crc(A + B) = crc(A) * x^(8 * len(B)) + crc(B), modulo the polynomial, over GF(2).
Polynomials are reflected, as the registers are: the highest bit stands for x^0.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from typing import Protocol

from awscrt.checksums import crc32c, crc64nvme

Buffer = bytes | bytearray | memoryview


class ChecksumType(Enum):
    """How the checksum of a multipart object comes about."""

    COMPOSITE = "COMPOSITE"
    FULL_OBJECT = "FULL_OBJECT"


class Checksum(Protocol):
    """A checksum that grows with the data."""

    def update(self, data: Buffer, /) -> None:
        """Add data."""

    def digest(self) -> bytes:
        """Return the checksum of what was added, in its raw bytes."""


class _Crc:
    """A CRC by a function (data, previous value) -> value."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[Buffer, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_CONSTRUCTORS: dict[str, Callable[[], Checksum]] = {
    "CRC32": lambda: _Crc(zlib.crc32, 4),
    "CRC32C": lambda: _Crc(crc32c, 4),
    "CRC64NVME": lambda: _Crc(crc64nvme, 8),
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
}
_POLYNOMIALS = {"CRC32": (0xEDB88320, 32), "CRC32C": (0x82F63B78, 32), "CRC64NVME": (0x9A6C9329AC4BC9B5, 64)}

ALGORITHMS = tuple(_CONSTRUCTORS)
DIGEST_SIZES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
HEADERS = {f"x-amz-checksum-{name.lower()}": name for name in ALGORITHMS}


def new_checksum(algorithm: str) -> Checksum:
    """Return an empty checksum; `algorithm` is one of ALGORITHMS."""
    return _CONSTRUCTORS[algorithm]()


def encode(digest: bytes) -> str:
    """Return a digest as headers and XML have it."""
    return base64.b64encode(digest).decode("ascii")


def decode(algorithm: str, value: str) -> bytes | None:
    """Return the digest that `value` says, None when it cannot be one of `algorithm`."""
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_SIZES[algorithm] else None


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """Return the COMPOSITE checksum of parts with these checksums (base64), e.g. "2jmj7l5rSw…=-3"."""
    checksum = new_checksum(algorithm)
    count = 0
    for value in parts:
        checksum.update(base64.b64decode(value))
        count += 1
    return f"{encode(checksum.digest())}-{count}"


def full_object(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """Return the checksum of all bytes, of parts with these CRCs (base64) and lengths, in order."""
    polynomial, bits = _POLYNOMIALS[algorithm]
    crc = 0
    for value, length in parts:
        part = int.from_bytes(base64.b64decode(value), "big")
        crc = _multiply(crc, _shift(polynomial, bits, length), polynomial, bits) ^ part
    return encode(crc.to_bytes(bits // 8, "big"))


def can_be_full_object(algorithm: str) -> bool:
    """Tell whether checksums of parts of this algorithm make up that of the whole."""
    return algorithm in _POLYNOMIALS


def _multiply(a: int, b: int, polynomial: int, bits: int) -> int:
    """Return the product of two polynomials modulo `polynomial`, all reflected."""
    product = 0
    for position in range(bits - 1, -1, -1):
        if a >> position & 1:
            product ^= b
        b = b >> 1 ^ (polynomial if b & 1 else 0)
    return product


@lru_cache(maxsize=256)
def _shift(polynomial: int, bits: int, length: int) -> int:
    """Return x^(8 * length) modulo `polynomial`: by squaring, as length is a sum of powers of two."""
    one = 1 << (bits - 1)
    power = one >> 8  # x^8
    result = one
    while length:
        if length & 1:
            result = _multiply(result, power, polynomial, bits)
        power = _multiply(power, power, polynomial, bits)
        length >>= 1
    return result
