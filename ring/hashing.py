"""Hash of a name and its partition: Swift's, so that placement can be compared with it bit by bit.

Source: OpenStack Swift, swift/common/utils, `hash_path`; swift/common/ring/ring.py, `get_part`.
The cluster's prefix and suffix are secrets: without them nobody can choose names that all fall on one
device. md5 is a placement hash here, not a protection.
"""

from hashlib import md5

KEY_SIZE = 16


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
        return md5(self._start + path.encode() + self._suffix, usedforsecurity=False).digest()


def partition_of(key: bytes, part_power: int) -> int:
    """Return the partition of `key`: its first `part_power` bits."""
    return int.from_bytes(key[:4], "big") >> (32 - part_power)
