"""Memory for large payloads, used again as soon as nobody holds it any more.

A fresh megabyte has to be cleared, and mapped page by page, before the kernel copies into it: measured, that
doubles the CPU time of receiving one. Whether a buffer is free its reference count tells: payloads are
the caller's for as long as he keeps them, or any view of them, and he never has to give them back.
"""

import sys

BUFFER_LIMIT = 1 << 20  # bytes; larger ones are rare and are not kept
COUNT_LIMIT = 8  # buffers kept

_probe = [bytearray(1)]
_FREE = sys.getrefcount(_probe[0])  # what a buffer shows that only a list holds


class BufferPool:
    """The large buffers of one connection."""

    __slots__ = ("_buffers", "_used")

    def __init__(self) -> None:
        self._buffers: list[bytearray] = []
        self._used = False  # since the last `trim`

    def __repr__(self) -> str:
        return f"BufferPool({[len(buffer) for buffer in self._buffers]})"

    def take(self, length: int) -> bytearray:
        """Return a buffer of at least `length` bytes, whatever is in it."""
        if length > BUFFER_LIMIT:
            return bytearray(length)
        self._used = True
        capacity = 1 << (length - 1).bit_length()
        buffers = self._buffers
        for index in range(len(buffers)):
            if sys.getrefcount(buffers[index]) == _FREE:
                if len(buffers[index]) != capacity:
                    buffers[index] = bytearray(capacity)
                return buffers[index]
        buffer = bytearray(capacity)
        if len(buffers) < COUNT_LIMIT:
            buffers.append(buffer)
        return buffer

    def trim(self) -> None:
        """Let go of the buffers when none was taken since the last time; those in use are their holders'."""
        if not self._used:
            self._buffers.clear()
        self._used = False
