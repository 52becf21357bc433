"""proxy.s3.checksums"""

import base64
import zlib

import pytest

from proxy.http.message import Headers
from proxy.objects.model import Part
from proxy.s3 import checksums
from proxy.s3.errors import S3Error


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def part(number: int, data: bytes) -> Part:
    return Part(number, len(data), "", 0, {"crc32": crc32(data)})


def test_what_is_kept_can_be_shown() -> None:
    system, row = checksums.kept({"CRC32": "AAAAAA=="})
    assert row["checksum"] in checksums.LISTED
    assert checksums.fields(system["checksums"]) == [
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ]
    assert checksums.elements(system["checksums"]) == (
        "<ChecksumCRC32>AAAAAA==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType>"
    )
    assert checksums.kept({}) == ({}, {})


def test_the_whole_is_made_of_its_parts() -> None:
    parts = [part(1, b"a" * 100), part(2, b""), part(3, b"b" * 33)]
    assert checksums.of_parts("CRC32", checksums.FULL_OBJECT, parts) == crc32(b"a" * 100 + b"b" * 33)
    raw = b"".join(base64.b64decode(item.row["crc32"]) for item in parts)
    assert checksums.of_parts("CRC32", checksums.COMPOSITE, parts) == crc32(raw) + "-3"


def test_a_part_without_a_checksum_leaves_the_whole_without_one() -> None:
    parts = [part(1, b"a"), Part(2, 1, "", 0, {})]
    assert checksums.of_parts("CRC32", checksums.FULL_OBJECT, parts) is None
    assert checksums.of_parts("CRC32", checksums.COMPOSITE, parts) is None


def requested(algorithm: str, kind: str = "") -> dict[str, str]:
    return checksums.requested(
        Headers([("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)])
    )


def test_an_upload_has_the_type_that_suits_its_algorithm() -> None:
    """Amazon S3 User Guide, "Checking object integrity", table of full object and composite checksums."""
    assert requested("crc32") == {"algorithm": "CRC32", "type": "COMPOSITE"}
    assert requested("CRC64NVME") == {"algorithm": "CRC64NVME", "type": "FULL_OBJECT"}
    assert requested("SHA1") == {"algorithm": "SHA1", "type": "COMPOSITE"}
    assert requested("CRC32C", "FULL_OBJECT") == {"algorithm": "CRC32C", "type": "FULL_OBJECT"}
    assert requested("") == {}


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("MD4", ""), ("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE"), ("CRC32", "X"), ("", "COMPOSITE")],
)
def test_what_does_not_suit_is_refused(algorithm: str, kind: str) -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        requested(algorithm, kind)


def test_a_stated_checksum_must_have_the_form_of_one() -> None:
    stated = Headers([("x-amz-checksum-crc32", "AAAAAA==-3"), ("x-amz-checksum-type", "COMPOSITE")])
    assert checksums.demanded(stated) == {"CRC32": "AAAAAA==-3"}
    with pytest.raises(S3Error, match="InvalidRequest"):
        checksums.demanded(Headers([("x-amz-checksum-sha256", "AAAAAA==")]))
