"""Hash of a name and its partition: Swift's, so that placement can be compared with it bit by bit.

Source: OpenStack Swift, swift/common/utils, `hash_path`; swift/common/ring/ring.py, `get_part`.
The cluster's prefix and suffix are secrets: without them nobody can choose names that all fall on one
device. md5 is a placement hash here, not a protection.
"""

import struct

try:
    # the interpreter's own, which takes half as long as OpenSSL's for something as short as a name
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5

KEY_SIZE = 16
_FIRST_BITS = struct.Struct(">I")


class NameHash:
    """Hashes names under one cluster's secrets."""

    __slots__ = ("_start", "_suffix")

    def __init__(self, prefix: bytes, suffix: bytes) -> None:
        self._start = prefix + b"/"
        self._suffix = suffix

    def __repr__(self) -> str:
        return "NameHash(…)"  # the prefix and suffix stay out of logs

    def key(self, account: str, container: str = "", object: str = "") -> bytes:  # noqa: A002  the field's word
        """Return the hash of an account, of a container, or of an object: KEY_SIZE bytes."""
        if object:
            assert container, "an object is in a container"
            path = f"{account}/{container}/{object}"
        else:
            path = f"{account}/{container}" if container else account
        digest: bytes = md5(self._start + path.encode() + self._suffix, usedforsecurity=False).digest()
        return digest


def partition_of(key: bytes, part_power: int) -> int:
    """Return the partition of `key`: its first `part_power` bits."""
    return _FIRST_BITS.unpack_from(key)[0] >> (32 - part_power)  # type: ignore[no-any-return]
