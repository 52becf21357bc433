import base64
import hashlib
import zlib

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from proxy import checksums

CHECK = b"123456789"


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("CRC32", (0xCBF43926).to_bytes(4, "big")),
        ("CRC32C", (0xE3069283).to_bytes(4, "big")),
        ("CRC64NVME", (0xAE8B14860A799888).to_bytes(8, "big")),
        ("SHA1", hashlib.sha1(CHECK).digest()),
        ("SHA256", hashlib.sha256(CHECK).digest()),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_checksum_is_that_of_the_published_check_value(algorithm: str, digest: bytes, kind: type) -> None:
    """Check values of the CRC catalogue, reveng.sourceforge.io."""
    checksum = checksums.new_checksum(algorithm)
    checksum.update(kind(CHECK[:4]))
    checksum.update(kind(CHECK[4:]))
    assert checksum.digest() == digest
    assert checksums.decode(algorithm, checksums.encode(digest)) == digest


def test_a_value_that_is_no_digest_of_the_algorithm_is_none() -> None:
    for value in ("", "AAAA", "AAAAAA", "AAAAAA==AA", "é", "AAAAAAA=="):
        assert checksums.decode("CRC32", value) is None


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
@given(parts=st.lists(st.binary(max_size=300), max_size=8))
def test_crcs_of_parts_make_up_that_of_the_whole(algorithm: str, parts: list[bytes]) -> None:
    def crc(data: bytes) -> str:
        checksum = checksums.new_checksum(algorithm)
        checksum.update(data)
        return checksums.encode(checksum.digest())

    assert checksums.full_object(algorithm, [(crc(p), len(p)) for p in parts]) == crc(b"".join(parts))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 5 * 2**30))
def test_combining_agrees_with_the_native_library(first: int, second: int, length: int) -> None:
    def text(value: int, size: int) -> str:
        return base64.b64encode(value.to_bytes(size, "big")).decode()

    for algorithm, combine, size in (
        ("CRC32", crt.combine_crc32, 4),
        ("CRC32C", crt.combine_crc32c, 4),
        ("CRC64NVME", crt.combine_crc64nvme, 8),
    ):
        parts = [(text(first, size), 1), (text(second, size), length)]
        assert checksums.full_object(algorithm, parts) == text(combine(first, second, length), size)


def test_a_composite_checksum_is_one_over_the_parts_raw_digests() -> None:
    digests = [zlib.crc32(part).to_bytes(4, "big") for part in (b"one", b"two", b"three")]
    whole = zlib.crc32(b"".join(digests)).to_bytes(4, "big")
    expected = base64.b64encode(whole).decode() + "-3"
    assert checksums.composite("CRC32", [checksums.encode(digest) for digest in digests]) == expected


def test_only_crcs_can_be_of_the_full_object() -> None:
    able = [name for name in checksums.ALGORITHMS if checksums.can_be_full_object(name)]
    assert able == ["CRC32", "CRC32C", "CRC64NVME"]
