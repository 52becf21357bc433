"""How an object is cut into the parts of a multipart upload.

S3 takes 10,000 parts. The size of an upload need not be known when it begins, so parts become larger as it goes on: the
first are small, since one at a time is in memory.
"""

MiB = 1 << 20
PARTS_LIMIT = 10_000
_STEPS = ((2_000, 8 * MiB), (6_000, 32 * MiB), (PARTS_LIMIT, 256 * MiB))  # up to which part, its size
LARGEST = 2_000 * 8 * MiB + 4_000 * 32 * MiB + 4_000 * 256 * MiB  # bytes of an object
assert LARGEST > 1 << 40  # as large as any image may be: settings.max_size


def size_of(number: int) -> int:
    """Return how many bytes part `number` has, counted from 1. Raise ValueError when there are no more."""
    for last, size in _STEPS:
        if number <= last:
            return size
    raise ValueError(f"an object has up to {PARTS_LIMIT} parts")
