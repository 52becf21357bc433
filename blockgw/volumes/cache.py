"""What was read from devices of other hosts, kept for the next read, for all volumes of a gateway together. No I/O.

In whole blocks. A block belongs to a *content*: an object that stands for what a chunk holds, and that its volume
replaces when it finds out anew what that is. A volume adds only what it has read while nothing was on its way into the
chunk, and drops what it is about to write; nobody else writes. So a block is what every replica of a quorum has.

Memory is bounded by `limit`, whatever volumes there are and do; a block that is found no more falls out in time.
"""

from collections import OrderedDict

from blockgw.interfaces import Buffer

BLOCK = 16 << 10  # bytes; larger: fewer entries, and more is read that nobody wants


class ReadCache:
    """Blocks, those that were used last."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self.limit = limit
        self._blocks: OrderedDict[tuple[object, int], bytes] = OrderedDict()  # least recently used first
        self.hits = self.misses = 0  # reads

    def __repr__(self) -> str:
        return f"ReadCache({self.size} of {self.limit} bytes, {self.hits} hits, {self.misses} misses)"

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        return len(self._blocks) * BLOCK

    def find(self, content: object, start: int, length: int) -> list[Buffer | int] | None:
        """Return a range of a chunk; None unless all of it is here."""
        found: list[Buffer | int] = []
        position, end = start, start + length
        while position < end:
            number, skipped = divmod(position, BLOCK)
            block = self._blocks.get((content, number))
            if block is None:
                self.misses += 1
                return None
            self._blocks.move_to_end((content, number))
            size = min(BLOCK - skipped, end - position)
            found.append(block if size == BLOCK else memoryview(block)[skipped : skipped + size])
            position += size
        self.hits += 1
        return found

    def add(self, content: object, start: int, data: Buffer) -> None:
        """Keep what a chunk has from `start` on, where a block begins: the whole blocks of it."""
        assert start % BLOCK == 0
        view = memoryview(data)
        for at in range(0, len(view) - BLOCK + 1, BLOCK):
            # a copy: a view would keep all that was read
            self._blocks[content, (start + at) // BLOCK] = bytes(view[at : at + BLOCK])
        while self.size > self.limit:
            self._blocks.popitem(last=False)

    def drop(self, content: object, start: int, length: int) -> None:
        """Forget a range of a chunk: it is about to be written."""
        if self._blocks:
            for number in range(start // BLOCK, -(-(start + length) // BLOCK)):
                self._blocks.pop((content, number), None)
