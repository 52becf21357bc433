"""A device's file system in memory, with what a power cut and a bad disk make of it.

Every file is there twice: as the page cache shows it, and as the device would after a power cut. Writing changes the
first; syncing brings the second up to it. When the power goes, each sector written since the last sync is kept or
lost as the seed says (none, all, a prefix, or any of them), and so are sizes, attributes, and, in order per directory,
the names made, moved and removed since the directory was synced. Files that have no name are gone. A process that
is only killed leaves the page cache as it is.

Beyond that a test can have calls fail (`Faults`), bits turned over in what is stored, and writes go astray.

LMDB maps files by itself, so what lies below a directory "tables" is the real file system's. See docs/simulator.md.
"""

import builtins
import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.disk import Buffer, RealDisk, Space, TemporaryFile
from tests.sim.process import Process, ProcessKilled

SECTOR = 512
ENDLESS = 1 << 40  # bytes: the capacity of a disk that never fills
MiB = 1 << 20
_TABLES = "/tables"


class File:
    """An inode."""

    __slots__ = ("attributes", "data", "dirty", "durable", "durable_attributes", "durable_size", "size")

    def __init__(self) -> None:
        self.data = bytearray()  # as the page cache has it; what is beyond it, up to `size`, is zeros
        self.size = 0
        self.attributes: dict[str, bytes] = {}
        self.durable = bytearray()
        self.durable_size = 0
        self.durable_attributes: dict[str, bytes] = {}
        self.dirty: list[tuple[int, bytes]] = []  # writes since the last sync: offset and bytes

    def __repr__(self) -> str:
        return f"File({self.size} bytes, {len(self.dirty)} writes not synced)"

    def write(self, offset: int, data: bytes) -> None:
        """Write into the page cache."""
        _put(self.data, offset, data)
        self.size = max(self.size, offset + len(data))
        self.dirty.append((offset, data))

    def read(self, offset: int, length: int) -> bytes:
        """Return what the page cache has; zeros where nothing was written."""
        length = max(0, min(length, self.size - offset))
        found = bytes(self.data[offset : offset + length])
        return found + bytes(length - len(found))

    def truncate(self, size: int) -> None:
        """Cut or extend. What is cut off is zeros when it comes back."""
        if size < self.size:
            del self.data[size:]
            self.dirty = [(at, data[: max(0, size - at)]) for at, data in self.dirty if at < size]
        self.size = size

    def sync_data(self) -> None:
        """Make content and size durable."""
        for offset, data in self.dirty:
            _put(self.durable, offset, data)
        self.dirty.clear()
        self.durable_size = self.size
        del self.durable[self.size :]

    def sync(self) -> None:
        """Make all of it durable."""
        self.sync_data()
        self.durable_attributes = dict(self.attributes)

    def fail_to_sync(self, chance: random.Random) -> None:
        """Forget what is dirty, having written some of it."""
        for offset, data in self.dirty:
            if chance.random() < 0.5:
                _put(self.durable, offset, data)
        self.dirty.clear()
        del self.durable[self.durable_size :]

    def lose_power(self, chance: random.Random, keep: "Keep") -> None:
        """Become what is found after a power cut."""
        content, size = self.durable, self.durable_size
        if self.dirty or self.size != self.durable_size:
            if keep.one(chance):
                size = self.size
            for offset, data in self.dirty:
                for at, piece in _sectors(offset, data):
                    if keep.one(chance):
                        _put(content, at, piece)
            del content[size:]
        if self.attributes != self.durable_attributes and keep.one(chance):
            self.durable_attributes = dict(self.attributes)
        self.durable, self.data = content, bytearray(content)
        self.durable_size = self.size = size
        self.attributes = dict(self.durable_attributes)
        self.dirty.clear()


@dataclass(slots=True)
class Keep:
    """Which of the things that were not synced are kept."""

    share: float  # of those that are decided one by one
    first: int | None = None  # so many in order, then none

    def one(self, chance: random.Random) -> bool:
        """Decide of the next thing."""
        if self.first is None:
            return chance.random() < self.share
        self.first -= 1
        return self.first >= 0


def any_keep(chance: random.Random) -> Keep:
    """Return a way to lose things: nothing kept, all, some, or a prefix."""
    kind = chance.randrange(4)
    if kind == 3:
        return Keep(0.0, chance.randrange(40))
    return Keep((0.0, 1.0, chance.random())[kind])


@dataclass(slots=True)
class Faults:
    """What goes wrong with calls from now on."""

    read_error: float = 0.0  # share of reads that fail with EIO
    write_error: float = 0.0
    sync_error: float = 0.0
    uncached: float = 0.1  # share of reads that the page cache does not answer at once
    slow_s: float = 0.0  # that every call in a thread takes more
    astray: float = 0.0  # share of writes that go somewhere else, without a word
    kill_after: int | None = None  # calls that change something; then `kill` in the midst of the next


# a change of a directory: a name, and the file that it stands for from now on (None: nothing)
_Change = list[tuple[str, File | None]]


class Storage:
    """What a device holds: outlives the processes that use it."""

    def __init__(self, chance: random.Random, capacity: int = ENDLESS) -> None:
        self.chance = chance
        self.capacity = capacity
        self.names: dict[str, File] = {}
        self.durable_names: dict[str, File] = {}
        self.changes: dict[str, list[_Change]] = {}  # by directory, not synced
        self.directories: set[str] = set()
        self.faults = Faults()
        self.had_errors = False  # calls have failed: what was written may not be here
        self.kill: Callable[[], None] = lambda: None  # what happens when `kill_after` is reached
        self.call_count = 0

    def __repr__(self) -> str:
        return f"Storage({len(self.names)} files)"

    def note(self, change: _Change, *directories: str) -> None:
        """Change names; durable when their directories are synced."""
        for path, file in change:
            if file is None:
                self.names.pop(path, None)
            else:
                self.names[path] = file
        self.changes.setdefault(directories[0], []).append(change)

    def sync_directory(self, directory: str) -> None:
        """Make the names in `directory` durable."""
        for change in self.changes.pop(directory, ()):
            self._make_durable(change)

    def _make_durable(self, change: _Change) -> None:
        for path, file in change:
            if file is None:
                self.durable_names.pop(path, None)
            else:
                self.durable_names[path] = file

    def lose_power(self) -> None:
        """Become what is found after a power cut."""
        for directory in sorted(self.changes):
            changes = self.changes[directory]
            for change in changes[: self.chance.randint(0, len(changes))]:
                self._make_durable(change)
        self.changes.clear()
        self.names = dict(self.durable_names)
        for path in sorted(self.names):
            self.names[path].lose_power(self.chance, any_keep(self.chance))

    def used(self) -> int:
        """Return how many bytes are taken."""
        return sum(len(file.data) for file in self.names.values())

    def wipe(self) -> None:
        """Be a new disk."""
        self.names.clear()
        self.durable_names.clear()
        self.changes.clear()
        self.directories.clear()
        self.faults = Faults()

    # damage at rest

    def flip(self, count: int) -> list[str]:
        """Turn over bits in what has been stored for a while; return where.

        Not in what was written last: there nobody can tell a flipped bit from a write that the power cut short.
        """
        hit = []
        for path in self._at_rest():
            file = self.names[path]
            end = len(file.durable) if "/files/" in path else len(file.durable) // 2
            for _ in range(count):
                offset = self.chance.randrange(end)
                file.data[offset] ^= 1 << self.chance.randrange(8)
                file.durable[offset] = file.data[offset]
                hit.append(f"{path}@{offset}")
        return hit

    def _at_rest(self) -> list[str]:
        """Return the files to damage: one or two of those that hold data."""
        places = [
            path
            for path in sorted(self.names)
            if ("/log/" in path or "/files/" in path) and len(self.names[path].durable) > 4 * SECTOR
        ]
        return self.chance.sample(places, min(2, len(places)))


class SimulatedDisk:
    """`storage.disk.Disk` for one process: its descriptors, on `storage`. Real files for LMDB."""

    def __init__(self, storage: Storage, process: Process) -> None:
        self._storage = storage
        self._process = process
        self._real = RealDisk()
        self._open: dict[int, File] = {}
        self._next_fd = 3

    def __repr__(self) -> str:
        return f"SimulatedDisk({self._process.name}, {len(self._open)} open)"

    # naming

    def create(self, path: str) -> int:
        """See `storage.disk.Disk`."""
        self._change("create")
        if path in self._storage.names:
            raise FileExistsError(errno.EEXIST, "exists", path)
        self._need_directory(os.path.dirname(path))
        self._need_space(0)
        file = File()
        self._storage.note([(path, file)], os.path.dirname(path))
        return self._opened(file)

    def open(self, path: str) -> int:
        """See `storage.disk.Disk`."""
        self._alive()
        file = self._storage.names.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return self._opened(file)

    def open_direct(self, fd: int) -> int:
        """See `storage.disk.Disk`."""
        raise OSError(errno.EINVAL, "no direct writes here")

    def create_temporary(self, directory: str) -> TemporaryFile:
        """See `storage.disk.Disk`."""
        self._change("create")
        self._need_directory(directory)
        self._need_space(0)
        return TemporaryFile(self._opened(File()), None)

    def name(self, file: TemporaryFile, path: str) -> None:
        """See `storage.disk.Disk`."""
        self._change("name")
        self._need_directory(os.path.dirname(path))
        if path in self._storage.names:
            raise FileExistsError(errno.EEXIST, "exists", path)
        self._storage.note([(path, self._file(file.fd))], os.path.dirname(path))

    def unlink(self, path: str) -> None:
        """See `storage.disk.Disk`."""
        if _TABLES in path:
            self._real.unlink(path)
            return
        self._change("unlink")
        if path not in self._storage.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        self._storage.note([(path, None)], os.path.dirname(path))

    def rename(self, source: str, target: str) -> None:
        """See `storage.disk.Disk`."""
        self._change("rename")
        file = self._storage.names.get(source)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", source)
        self._storage.note([(source, None), (target, file)], os.path.dirname(target))

    def list(self, directory: str) -> list[str]:
        """See `storage.disk.Disk`."""
        if _TABLES in directory:
            return self._real.list(directory)
        self._alive()
        prefix = directory.rstrip("/") + "/"
        paths = [*self._storage.names, *self._storage.directories]
        return sorted({path[len(prefix) :].partition("/")[0] for path in paths if path.startswith(prefix)})

    def make_directories(self, path: str) -> None:
        """See `storage.disk.Disk`. Also for real: SQLite and LMDB live beside."""
        self._alive()
        self._real.make_directories(path)
        while path not in self._storage.directories and path != "/":
            self._storage.directories.add(path)
            path = os.path.dirname(path)

    # content

    def close(self, fd: int) -> None:
        """See `storage.disk.Disk`. A dead process may: Python closes what its generators had open."""
        if self._process.alive:
            del self._open[fd]

    def size(self, fd: int) -> int:
        """See `storage.disk.Disk`."""
        self._alive()
        return self._file(fd).size

    def pwritev(self, fd: int, buffers: Sequence[Buffer], offset: int) -> int:
        """See `storage.disk.Disk`."""
        file = self._file(fd)
        data = b"".join(buffers)
        storage = self._storage
        if storage.faults.kill_after == 0 and data:  # the power goes in the midst
            file.write(offset, data[: storage.chance.randrange(len(data))])
        self._change("write")
        self._may_fail(storage.faults.write_error)
        self._need_space(len(data))
        if storage.faults.astray and data.strip(b"\0") and storage.chance.random() < storage.faults.astray:
            offset = storage.chance.randrange(max(1, file.size)) // SECTOR * SECTOR
        file.write(offset, data)
        return len(data)

    def preadv(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        """See `storage.disk.Disk`."""
        self._alive()
        self._may_fail(self._storage.faults.read_error)
        file, start = self._file(fd), offset
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            found = file.read(offset, len(view))
            view[: len(found)] = found
            offset += len(found)
        return offset - start

    def preadv_cached(self, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        """See `storage.disk.Disk`."""
        faults = self._storage.faults
        if self._storage.chance.random() < max(faults.uncached, faults.read_error):
            return -1
        return self.preadv(fd, buffers, offset)

    def will_need(self, fd: int, offset: int, length: int) -> None:
        """See `storage.disk.Disk`."""

    def truncate(self, fd: int, size: int) -> None:
        """See `storage.disk.Disk`."""
        self._change("truncate")
        self._may_fail(self._storage.faults.write_error)
        self._file(fd).truncate(size)

    def allocate(self, fd: int, size: int) -> None:
        """See `storage.disk.Disk`."""
        self._change("allocate")
        file = self._file(fd)
        if size > file.size:
            self._need_space(0)
            file.size = size

    def clear(self, fd: int, offset: int, length: int, keep_blocks: bool) -> None:
        """See `storage.disk.Disk`. Holes are zeros here."""
        self._change("clear")
        file = self._file(fd)
        self._may_fail(self._storage.faults.write_error)
        length = min(length, file.size - offset)
        if length > 0:
            file.write(offset, bytes(length))

    def clone(self, source_fd: int, fd: int, size: int) -> None:
        """See `storage.disk.Disk`. Copied, not shared."""
        self._change("clone")
        content = bytes(self._file(source_fd).data[:size])
        self._need_space(len(content))
        self._file(fd).truncate(size)
        self._file(fd).write(0, content)

    def extents(self, fd: int, size: int) -> "builtins.list[tuple[int, int]]":
        """See `storage.disk.Disk`."""
        self._alive()
        length = min(size, len(self._file(fd).data))
        return [(0, length)] if length else []

    def allocated(self, fd: int) -> int:
        """See `storage.disk.Disk`."""
        self._alive()
        return len(self._file(fd).data)

    def fdatasync(self, fd: int) -> None:
        """See `storage.disk.Disk`."""
        self._change("fdatasync")
        self._may_fail_to_sync(fd)
        self._file(fd).sync_data()

    def fsync(self, fd: int) -> None:
        """See `storage.disk.Disk`."""
        self._change("fsync")
        self._may_fail_to_sync(fd)
        self._file(fd).sync()

    def fsync_directory(self, path: str) -> None:
        """See `storage.disk.Disk`."""
        if _TABLES in path:
            return
        self._change("fsync")
        self._may_fail(self._storage.faults.sync_error)
        self._need_directory(path)
        self._storage.sync_directory(path)

    def set_attribute(self, fd: int, name: str, value: bytes) -> None:
        """See `storage.disk.Disk`."""
        self._change("attribute")
        self._file(fd).attributes[name] = value

    def get_attribute(self, fd: int, name: str) -> bytes | None:
        """See `storage.disk.Disk`."""
        self._alive()
        return self._file(fd).attributes.get(name)

    def space(self, path: str) -> Space:
        """See `storage.disk.Disk`."""
        self._alive()
        capacity = self._storage.capacity
        free = capacity if capacity == ENDLESS else max(0, capacity - self._storage.used())
        return Space(capacity, free)

    # what may go wrong

    def _alive(self) -> None:
        if not self._process.alive:
            raise ProcessKilled(self._process.name)

    def _change(self, _call: str) -> None:
        """Note a call that changes something; the process may die before it does."""
        self._alive()
        storage = self._storage
        storage.call_count += 1
        if storage.faults.kill_after is not None:
            if storage.faults.kill_after == 0:
                storage.faults.kill_after = None
                storage.kill()
                raise ProcessKilled(self._process.name)
            storage.faults.kill_after -= 1

    def _may_fail(self, share: float) -> None:
        if share and self._storage.chance.random() < share:
            self._storage.had_errors = True
            raise OSError(errno.EIO, "input/output error")

    def _may_fail_to_sync(self, fd: int) -> None:
        """Fail as Linux does: what was to be synced counts as clean, whether the device has it or not."""
        try:
            self._may_fail(self._storage.faults.sync_error)
        except OSError:
            self._file(fd).fail_to_sync(self._storage.chance)
            raise

    def _need_space(self, length: int) -> None:
        capacity = self._storage.capacity
        if capacity < ENDLESS and self._storage.used() + length > capacity:
            raise OSError(errno.ENOSPC, "no space left on device")

    def _need_directory(self, path: str) -> None:
        if path not in self._storage.directories:
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)

    def _file(self, fd: int) -> File:
        file = self._open.get(fd)
        if file is None:
            raise OSError(errno.EBADF, "bad descriptor")
        return file

    def _opened(self, file: File) -> int:
        fd = self._next_fd
        self._next_fd += 1
        self._open[fd] = file
        return fd


def _put(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """Cut a write where the device may."""
    pieces = []
    while data:
        count = min(len(data), SECTOR - offset % SECTOR)
        pieces.append((offset, data[:count]))
        offset, data = offset + count, data[count:]
    return pieces
