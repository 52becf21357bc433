"""How far to read ahead: decided by whether reads follow each other. Pure.

A volume may be read by several at a time, each in order: so a few streams are followed. A read that goes on where a
stream has stopped belongs to it, and the longer the stream, the further ahead of it is read. Other reads begin one,
and nothing is read ahead for them.
"""

from collections import OrderedDict

STREAMS = 16  # followed; more: a search takes longer
FIRST, FURTHEST = 128 << 10, 2 << 20  # bytes ahead of a stream; more: more is read in vain when it ends


class ReadAhead:
    """Of one volume."""

    def __init__(self) -> None:
        self._streams: OrderedDict[int, int] = OrderedDict()  # where the next read is expected -> bytes ahead

    def __repr__(self) -> str:
        return f"ReadAhead({dict(self._streams)})"

    def ahead(self, offset: int, length: int) -> int:
        """Take note of a read; return how many bytes behind its end will be wanted soon, 0 when nobody knows."""
        window = self._streams.pop(offset, None)
        reaches = 0 if window is None else min(max(FIRST, 2 * window), FURTHEST)
        self._streams[offset + length] = reaches
        if len(self._streams) > STREAMS:
            self._streams.popitem(last=False)
        return reaches
