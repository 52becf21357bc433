"""Which containers may have to be split or merged: found by the database thread, taken by the loop.

Only what changed is looked at, and after a start what the catalog says: nobody walks over all databases.
"""

import threading

from storage.indexes.header import Header
from storage.messages import DatabaseKind
from storage.ranges.plan import due
from storage.ranges.pointers import RANGES, RangeMap
from storage.ranges.state import accepted_of, counts_of


def is_unsettled(header: Header, split_rows: int) -> bool:
    """Tell whether a split is undecided here, or the root of a container says that one is due.

    A range database that was moved counts until somebody has seen to it that its root knows (`Unsettled.drop`).
    """
    if header.kind != DatabaseKind.CONTAINER or not header.exists:
        return False
    if accepted_of(header.metadata) is not None:
        return True
    moved = header.moved
    if header.account == RANGES or not split_rows:
        return header.account == RANGES and moved is not None
    if moved is None:
        return header.object_count > split_rows
    counts = {range_id: objects for range_id, (_, objects, _) in counts_of(header.metadata).items()}
    return due(RangeMap(moved[1]).spans, counts, split_rows) is not None


class Unsettled:
    """The keys of such databases."""

    def __init__(self, split_rows: int) -> None:
        self._split_rows = split_rows
        self._keys: set[bytes] = set()
        self._lock = threading.Lock()

    def look_at(self, header: Header) -> None:
        """Note whether there is something to do for a database."""
        with self._lock:
            if is_unsettled(header, self._split_rows):
                self._keys.add(header.key)
            else:
                self._keys.discard(header.key)

    def drop(self, key: bytes) -> None:
        """Forget a database, until it changes."""
        with self._lock:
            self._keys.discard(key)

    def take(self) -> list[bytes]:
        """Return all keys. They stay until a look finds nothing more to do."""
        with self._lock:
            return sorted(self._keys)
