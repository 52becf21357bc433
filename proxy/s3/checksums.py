"""S3's additional checksums: headers, XML, and those of an object made of parts. No I/O.

Source: Amazon S3 User Guide, "Checking object integrity". A full-object checksum covers all bytes;
those of parts can be combined into one for CRCs. A composite one is the checksum of the parts'
checksums, "-" and how many there are.

Kept in an object's `system["checksums"]`: {"crc32": base64, "type": FULL_OBJECT or COMPOSITE}; in an
upload's: {"algorithm": …, "type": …}; in a part's row: {"crc32": base64}; in an object's row,
"checksum": what listings show, a key of LISTED.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.checksums import ALGORITHMS, can_be_full_object, composite, decode, full_object
from proxy.http.message import Headers
from proxy.objects.model import Part
from proxy.s3.errors import S3Error

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
PREFIX = "x-amz-checksum-"

_NO_COMPOSITE = frozenset({"CRC64NVME"})

# what an object's row says of its checksum -> elements of its entry in a listing
LISTED = {
    f"{algorithm} {kind}": (
        f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
    )
    for algorithm in ALGORITHMS
    for kind in (FULL_OBJECT, COMPOSITE)
}

Kept = tuple[Mapping[str, Any], Mapping[str, Any]]  # of `system`, and of `row`
_NOTHING: Kept = ({}, {})


def kept(checksums: Mapping[str, str], kind: str = FULL_OBJECT) -> Kept:
    """Return what is kept with an object whose checksums are {"CRC32": base64, …}."""
    if not checksums:
        return _NOTHING
    values = {algorithm.lower(): value for algorithm, value in checksums.items()}
    return {"checksums": {**values, "type": kind}}, {"checksum": f"{next(iter(checksums))} {kind}"}


def kept_with_part(checksums: Mapping[str, str]) -> Kept:
    """Return what is kept with a part."""
    return ({}, {name.lower(): value for name, value in checksums.items()}) if checksums else _NOTHING


def fields(checksums: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the header fields that show an object's or a part's kept checksums."""
    return [(PREFIX + name, value) for name, value in checksums.items()]


def elements(checksums: Mapping[str, str]) -> str:
    """Return the XML elements that show kept checksums, "type" last, as everywhere in S3's schema."""
    shown = "".join(
        f"<Checksum{name.upper()}>{value}</Checksum{name.upper()}>"
        for name, value in checksums.items()
        if name != "type"
    )
    kind = checksums.get("type")
    return f"{shown}<ChecksumType>{kind}</ChecksumType>" if kind else shown


def requested(headers: Headers) -> dict[str, str]:
    """Return the algorithm and type that a new upload shall have, {} for none. Raise S3Error."""
    algorithm = headers.get("x-amz-checksum-algorithm").upper()
    kind = headers.get("x-amz-checksum-type").upper()
    if not algorithm:
        if kind:
            message = "The x-amz-checksum-type header needs the x-amz-checksum-algorithm header."
            raise S3Error("InvalidRequest", message)
        return {}
    if algorithm not in ALGORITHMS:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again.")
    if not kind:
        kind = FULL_OBJECT if algorithm in _NO_COMPOSITE else COMPOSITE
    possible = algorithm not in _NO_COMPOSITE if kind == COMPOSITE else can_be_full_object(algorithm)
    if kind not in (FULL_OBJECT, COMPOSITE) or not possible:
        message = f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        raise S3Error("InvalidRequest", message)
    return {"algorithm": algorithm, "type": kind}


def of_parts(algorithm: str, kind: str, parts: Sequence[Part]) -> str | None:
    """Return the checksum of an object made of `parts`; None when a part has none, or it can't be known."""
    values = [str(part.row.get(algorithm.lower(), "")) for part in parts]
    if not all(values):
        return None
    if kind == COMPOSITE:
        return composite(algorithm, values)
    if not can_be_full_object(algorithm):
        return None
    return full_object(algorithm, zip(values, (part.size for part in parts), strict=True))


def demanded(headers: Headers) -> dict[str, str]:
    """Return the checksums that `headers` state, by algorithm. Raise S3Error when one is malformed."""
    found: dict[str, str] = {}
    for algorithm in ALGORITHMS:
        header = PREFIX + algorithm.lower()
        value = headers.get(header)
        if value:
            if decode(algorithm, value.partition("-")[0]) is None:
                raise S3Error("InvalidRequest", f"Value for {header} header is invalid.")
            found[algorithm] = value
    return found
