"""A store of contents in memory, which can be told to fail."""

from collections.abc import Iterator

from compute.errors import Unavailable


class MemoryStore:
    """`compute.images.store.interface.Store`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.begun: dict[str, MemoryWriting] = {}  # neither finished nor removed
        self.failing: set[str] = set()  # of: begin, write, finish, read, remove

    def prepare(self) -> None:
        self.check("prepare")

    def begin(self, key: str) -> "MemoryWriting":
        self.check("begin")
        writing = self.begun[key] = MemoryWriting(self, key)
        return writing

    def read(self, key: str, begin: int, end: int) -> Iterator[bytes]:
        self.check("read")
        if key not in self.objects:
            raise Unavailable("there is no such object")
        data = self.objects[key][begin:end]
        for offset in range(0, len(data), 1000):
            yield data[offset : offset + 1000]

    def remove(self, key: str) -> None:
        self.check("remove")
        self.objects.pop(key, None)
        self.begun.pop(key, None)

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing, whole or in parts."""
        return not self.objects and not self.begun

    def check(self, what: str) -> None:
        if what in self.failing:
            raise Unavailable(f"{what} fails")


class MemoryWriting:
    """`compute.images.store.interface.Writing`."""

    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store = store
        self._key = key
        self.data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self._store.check("write")
        self.data += data

    def finish(self) -> None:
        self._store.check("finish")
        self._store.objects[self._key] = bytes(self.data)
        self._store.begun.pop(self._key, None)

    def abandon(self) -> None:
        """Leave what was written, as one that cannot be reached would."""
