"""The range of keys that a 256th of a partition stands for. A partition is a prefix of the key."""

_HASH_BITS = 32  # of a key, the first of which name its partition
_KEY_TAIL = bytes(12)
SUBDIVISION_BITS = 8


def subdivision_range(part_power: int, partition: int, index: int) -> tuple[bytes, bytes | None]:
    """Return the half-open range of keys of 256th `index` of `partition`; the end None: to the last key."""
    bits = part_power + SUBDIVISION_BITS
    assert bits <= _HASH_BITS
    prefix = partition << SUBDIVISION_BITS | index
    shift = _HASH_BITS - bits
    end = (prefix + 1) << shift
    return (
        (prefix << shift).to_bytes(4, "big") + _KEY_TAIL,
        end.to_bytes(4, "big") + _KEY_TAIL if end < 1 << _HASH_BITS else None,
    )
