"""A target, a volume and a sink in memory, that can fail at any request; and what tests make of them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from blockgw.backup.errors import NoSuchObject, TargetFailed
from blockgw.backup.target import Entry
from blockgw.backup.volume import Snapshot, Source

PIECE = 4096  # bytes, in these tests
VOLUME_ID = "0123456789abcdef" * 2


class MemoryTarget:
    """See Target. `fails(call, name)`: whether that request fails."""

    def __init__(self, place: str = "here") -> None:
        self.place = place
        self.objects: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.fails: Callable[[str, str], bool] = lambda _call, _name: False
        self.unlisted: set[str] = set()  # that a listing does not show yet
        self.gone: dict[str, int] = {}  # that a listing shows still, with their sizes
        self._mutex = threading.Lock()

    def _asked(self, call: str, name: str) -> None:
        with self._mutex:
            self.log.append((call, name))
            if self.fails(call, name):
                raise TargetFailed(f"{call} {name} fails")

    def put(self, name: str, data: bytes) -> None:
        self._asked("put", name)
        self.objects[name] = bytes(data)

    def put_new(self, name: str, data: bytes) -> bool:
        self._asked("put_new", name)
        with self._mutex:
            return self.objects.setdefault(name, data) is data

    def get(self, name: str) -> bytes:
        self._asked("get", name)
        if name not in self.objects:
            raise NoSuchObject(name)
        return self.objects[name]

    def size(self, name: str) -> int | None:
        self._asked("size", name)
        return len(self.objects[name]) if name in self.objects else None

    def list(self, prefix: str) -> Iterator[Entry]:
        self._asked("list", prefix)
        yield from [
            Entry(name, len(data))
            for name, data in self.objects.items()
            if name.startswith(prefix) and name not in self.unlisted
        ]
        yield from [
            Entry(name, size)
            for name, size in self.gone.items()
            if name.startswith(prefix) and name not in self.objects
        ]

    def folders(self) -> Sequence[str]:
        return sorted({name.partition("/")[0] for name in self.objects})

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._asked("delete", name)
            self.objects.pop(name, None)

    def names(self, part: str) -> Sequence[str]:
        """Return the names of the objects in a folder."""
        return sorted(name for name in self.objects if f"/{part}/" in name)


class MemoryVolume:
    """See blockgw.backup.volume.Volume: it is what `data` is, and its snapshots are copies."""

    def __init__(self, size: int, name: str = "disk") -> None:
        self.id, self.name = VOLUME_ID, name
        self.data = bytearray(size)
        self.copies: dict[str, tuple[Snapshot, bytes]] = {}
        self.taken = 0
        self.reads: list[int] = []  # offsets
        self.on_read: Callable[[int], None] = lambda _offset: None

    def write(self, offset: int, data: bytes | bytearray) -> None:
        self.data[offset : offset + len(data)] = data

    def snapshots(self) -> Sequence[Snapshot]:
        return [snapshot for snapshot, _data in self.copies.values()]

    def take(self, name: str) -> Snapshot:
        self.taken += 1
        snapshot = Snapshot(f"{self.taken:032x}", name, len(self.data), 1_700_000_000_000_000 + self.taken)
        self.copies[name] = snapshot, bytes(self.data)
        return snapshot

    def give_up(self, name: str) -> None:
        del self.copies[name]

    def changed(self, snapshot: str, since: str | None) -> Iterable[int]:
        new, old = self.copies[snapshot][1], b"" if since is None else self.copies[since][1]
        end = max(len(new), len(old))
        new, old = new.ljust(end, b"\0"), old.ljust(end, b"\0")
        return [at // PIECE for at in range(0, end, PIECE) if new[at : at + PIECE] != old[at : at + PIECE]]

    @contextmanager
    def open(self, snapshot: str) -> Iterator[Source]:
        yield _Source(self, self.copies[snapshot][1])


class _Source:
    def __init__(self, volume: MemoryVolume, data: bytes) -> None:
        self._volume, self._data = volume, data

    def read(self, offset: int, length: int) -> bytes:
        self._volume.reads.append(offset)
        self._volume.on_read(offset)
        assert offset + length <= len(self._data)
        return self._data[offset : offset + length]


class MemorySink:
    """See Sink."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.writes: list[int] = []  # offsets
        self.flushed = False

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        assert offset + len(data) <= len(self.data)
        self.writes.append(offset)
        self.data[offset : offset + len(data)] = data

    def zero(self, offset: int, length: int) -> None:
        self.data[offset : offset + length] = bytes(length)

    def flush(self) -> None:
        self.flushed = True
