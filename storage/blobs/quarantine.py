"""Versions that are here, and whose bytes are not what was written. Each stays listed until it is made good.

Nothing is moved: what is damaged is refused by every read, because every read verifies. The list says what a replica
has to give back. A version leaves it when its bytes lie in another place (it was healed, or moved whole), or when
something newer has replaced it. The list is kept in a small file; losing it costs nothing but time, for reads and the
next scrub find the same again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgpack

from cluster.clock import TIMESTAMP_SIZE, Timestamp
from storage.blobs.index import BlobIndex
from storage.disk import Disk, read_small_file, replace_small_file
from storage.messages import KEY_SIZE

LIMIT = 10_000  # versions; what is found beyond is found again
Place = int | bytes  # position of a log record, or data id of a file


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A version that did not match its checksums."""

    key: bytes
    timestamp: Timestamp
    reason: str
    place: Place  # what is damaged


class Quarantine:
    """Of one device."""

    def __init__(self, disk: Disk, path: str, index: BlobIndex) -> None:
        self._disk = disk
        self._path = path
        self._index = index
        self._found: dict[tuple[bytes, Timestamp], Quarantined] = {}
        self._changed = False
        self.found_count = 0  # since the device was opened
        self.healed_count = 0

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Quarantined]:
        return iter(list(self._found.values()))

    @property
    def crowded(self) -> bool:
        """Whether those who look for more should wait until some of it is healed."""
        return len(self._found) >= LIMIT // 2

    def load(self) -> None:
        """Read what was known when the device stopped. Blocking."""
        content = read_small_file(self._disk, self._path)
        try:
            known = [] if content is None else [_quarantined(*item) for item in msgpack.unpackb(content)]
        except (ValueError, TypeError, msgpack.UnpackException):
            return  # of another version, or damaged itself
        self._found = {(found.key, found.timestamp): found for found in known if self._is_here(found)}

    def save(self) -> bytes | None:
        """Return what `write` is to be given, None when nothing has changed."""
        if not self._changed:
            return None
        self._changed = False
        known = [(found.key, found.timestamp, found.reason, found.place) for found in self._found.values()]
        packed: bytes = msgpack.packb(known)
        return packed

    def write(self, content: bytes) -> None:
        """Keep it. Blocking."""
        replace_small_file(self._disk, self._path, content)

    def add(self, found: Quarantined) -> bool:
        """List a version; tell whether that is news."""
        name = found.key, found.timestamp
        known = self._found.get(name)
        if (known is not None and known.place == found.place) or not self._is_here(found):
            return False
        if known is None and len(self._found) >= LIMIT:
            return False
        self._found[name] = found
        self._changed = True
        self.found_count += known is None
        return True

    def settle(self) -> list[Quarantined]:
        """Take off the list what has been made good or replaced; return it."""
        settled = [found for found in self._found.values() if not self._is_here(found)]
        for found in settled:
            del self._found[found.key, found.timestamp]
            self.healed_count += self._index.timestamp(found.key) == found.timestamp
        self._changed |= bool(settled)
        return settled

    def is_listed(self, key: bytes, timestamp: Timestamp) -> bool:
        """Tell whether this version is damaged here."""
        return (key, timestamp) in self._found

    def _is_here(self, found: Quarantined) -> bool:
        entry = self._index.get(found.key)
        if entry is None or entry.timestamp != found.timestamp:
            return False
        if isinstance(found.place, int):
            return entry.position == found.place
        return self._index.data_id(found.key) == found.place


def _quarantined(key: object, timestamp: object, reason: object, place: object) -> Quarantined:
    """Return what the file says. ValueError, when it cannot be: nothing but its form tells that it is damaged."""
    if not isinstance(key, bytes) or not isinstance(timestamp, bytes) or not isinstance(reason, str):
        raise ValueError("not a version and a reason")
    if len(key) != KEY_SIZE or len(timestamp) != TIMESTAMP_SIZE or not isinstance(place, int | bytes):
        raise ValueError("not a version and a place")
    return Quarantined(key, Timestamp(timestamp), reason, place)
