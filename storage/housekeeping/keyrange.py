"""The ranges of keys that a partition, and a 256th of one, stand for. A partition is a prefix of the key."""

_HASH_BITS = 32  # of a key, the first of which name its partition
_KEY_TAIL = bytes(12)
SUBDIVISION_BITS = 8


def partition_range(part_power: int, partition: int) -> tuple[bytes, bytes | None]:
    """Return the half-open range of keys of `partition`; the end None: to the last key."""
    return _prefix_range(part_power, partition)


def subdivision_range(part_power: int, partition: int, index: int) -> tuple[bytes, bytes | None]:
    """Return the same of 256th `index` of `partition`."""
    return _prefix_range(part_power + SUBDIVISION_BITS, partition << SUBDIVISION_BITS | index)


def _prefix_range(bits: int, prefix: int) -> tuple[bytes, bytes | None]:
    assert bits <= _HASH_BITS
    shift = _HASH_BITS - bits
    end = (prefix + 1) << shift
    return (
        (prefix << shift).to_bytes(4, "big") + _KEY_TAIL,
        end.to_bytes(4, "big") + _KEY_TAIL if end < 1 << _HASH_BITS else None,
    )
