"""The files of chunks: `chunks/<family>/<chunk number>.<layer>`, sparse, CHUNK_SIZE long. Format: docs/chunks.md.

Its extended attribute names the chunk and a version: what the file is known to have, durably, at least. A file that
has no whole attribute was never checkpointed.

A bounded number of files is open. A descriptor that a thread uses is not closed under it: `lease`.
"""

import contextlib
import os
import struct
from collections import OrderedDict

from storage.chunks.chunk import Chunk
from storage.chunks.version import CHUNK_SIZE, FAMILY_SIZE, Version
from storage.disk import Disk
from storage.log.checksum import crc32c

ATTRIBUTE = "user.holdfast.chunk"
_FORMAT = 1
_COVERED = struct.Struct("<HH16sIIQQQ")  # format, 0, family, chunk, 0, layer, epoch, sequence
_CHECKSUM = struct.Struct("<I")
_TEMPORARY = "tmp"

OPEN_LIMIT = 2048  # files


class FileDamaged(Exception):
    """A file does not say what it is."""


def encode_attribute(family: bytes, number: int, layer: int, version: Version) -> bytes:
    """Return what a file says of itself."""
    covered = _COVERED.pack(_FORMAT, 0, family, number, 0, layer, *version)
    return covered + _CHECKSUM.pack(crc32c(covered))


def decode_attribute(data: bytes | None, family: bytes, number: int, layer: int) -> Version | None:
    """Return the version that a file of that chunk says to have; None when it does not say it."""
    if data is None or len(data) != _COVERED.size + _CHECKSUM.size:
        return None
    (checksum,) = _CHECKSUM.unpack_from(data, _COVERED.size)
    fields = _COVERED.unpack_from(data)
    if crc32c(memoryview(data)[: _COVERED.size]) != checksum or fields[0] != _FORMAT:
        return None
    if (fields[2], fields[3], fields[5]) != (family, number, layer):
        return None
    return fields[6:8]


def name_of(number: int, layer: int) -> str:
    """Return the name of a chunk's file in its family's directory."""
    return f"{number:08x}.{layer:016x}"


def chunk_of(name: str) -> tuple[int, int] | None:
    """Return the chunk number and layer that a file of this name is for; None: for none."""
    with contextlib.suppress(ValueError):
        number, _dot, layer = name.partition(".")
        found = int(number, 16), int(layer, 16)
        return found if name_of(*found) == name else None
    return None


class ChunkFiles:
    """Of one device. What says "blocking" is for threads; the rest is the loop's."""

    def __init__(self, disk: Disk, directory: str, open_limit: int = OPEN_LIMIT) -> None:
        """Make the directories, and remove what a crash has left. Blocking."""
        self._disk = disk
        self.directory = directory
        self._open_limit = open_limit
        self._open: OrderedDict[Chunk, None] = OrderedDict()  # least recently used first
        self._families = set(self.families())
        for family in self._families:
            self.sync_family(family)
        self._temporary = os.path.join(directory, _TEMPORARY)
        disk.make_directories(self._temporary)
        for name in disk.list(self._temporary):
            disk.unlink(os.path.join(self._temporary, name))

    def __repr__(self) -> str:
        return f"ChunkFiles({len(self._open)} open)"

    # what is there (blocking)

    def families(self) -> list[bytes]:
        """Return the families that have a directory."""
        names = self._disk.list(self.directory)
        return [bytes.fromhex(name) for name in names if len(name) == 2 * FAMILY_SIZE]

    def chunks(self, family: bytes) -> list[tuple[int, int]]:
        """Return number and layer of the chunks of a family that have files."""
        found = map(chunk_of, self._disk.list(self._family_path(family)))
        return [place for place in found if place is not None]

    def path(self, family: bytes, number: int, layer: int) -> str:
        """Return where the file of a chunk is."""
        return os.path.join(self.directory, family.hex(), name_of(number, layer))

    def _family_path(self, family: bytes) -> str:
        return os.path.join(self.directory, family.hex())

    def load(self, family: bytes, number: int, layer: int) -> Chunk:
        """Return a chunk that has a file, open. FileDamaged, FileNotFoundError."""
        fd = self._disk.open(self.path(family, number, layer))
        version = decode_attribute(self._disk.get_attribute(fd, ATTRIBUTE), family, number, layer)
        if version is None:
            self._disk.close(fd)
            raise FileDamaged(self.path(family, number, layer))
        chunk = Chunk(family, number, layer, version)
        chunk.fd = fd
        self._keep(chunk)
        return chunk

    def figures(self, family: bytes, number: int, layer: int) -> tuple[Version | None, int]:
        """Return the version that a file says to have, and how many bytes it takes. OSError."""
        fd = self._disk.open(self.path(family, number, layer))
        try:
            version = decode_attribute(self._disk.get_attribute(fd, ATTRIBUTE), family, number, layer)
            return version, self._disk.allocated(fd)
        finally:
            self._disk.close(fd)

    # open files

    def fd(self, chunk: Chunk) -> int:
        """Return the open file of a chunk that has one."""
        if chunk.fd < 0:
            chunk.fd = self._disk.open(self.path(chunk.family, chunk.number, chunk.layer))
            self._keep(chunk)
        else:
            self._open.move_to_end(chunk)
        return chunk.fd

    def lease(self, chunk: Chunk) -> int:
        """The same, for a thread; `give_back`."""
        fd = self.fd(chunk)
        chunk.users += 1
        return fd

    def give_back(self, chunk: Chunk) -> None:
        """End a lease."""
        chunk.users -= 1
        if chunk not in self._open and not chunk.users:
            self._close(chunk)

    def adopt(self, chunk: Chunk) -> None:
        """Take over the open file that `create` has left in a chunk."""
        self._keep(chunk)

    def forget(self, chunk: Chunk) -> None:
        """Close the file of a chunk, when no thread uses it any more."""
        self._open.pop(chunk, None)
        if not chunk.users:
            self._close(chunk)

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self.forget(next(iter(self._open)))

    def _keep(self, chunk: Chunk) -> None:
        self._open[chunk] = None
        if len(self._open) > self._open_limit:
            idle = next((other for other in self._open if not other.users and other is not chunk), None)
            if idle is not None:
                self.forget(idle)

    def _close(self, chunk: Chunk) -> None:
        fd, chunk.fd = chunk.fd, -1
        if fd >= 0:
            self._disk.close(fd)

    # making and replacing files (blocking)

    def create(self, chunk: Chunk, source_fd: int | None) -> None:
        """Make the file of a chunk anew, as a copy of another one or empty, and leave it open in the chunk."""
        self.make_family(chunk.family)
        path = self.path(chunk.family, chunk.number, chunk.layer)
        try:
            fd = self._disk.create(path)
        except FileExistsError:  # made before a crash, and never checkpointed
            fd = self._disk.open(path)
            self._disk.truncate(fd, 0)
        try:
            if source_fd is not None:
                self._disk.clone(source_fd, fd, CHUNK_SIZE)
            self._disk.truncate(fd, CHUNK_SIZE)
        except BaseException:
            self._disk.close(fd)
            self._disk.unlink(path)
            raise
        chunk.fd = fd

    def make_family(self, family: bytes) -> None:
        """Make the directory of a family."""
        if family not in self._families:
            self._disk.make_directories(self._family_path(family))
            self._disk.fsync_directory(self.directory)
            self._families.add(family)

    def claim(self, fd: int, family: bytes, number: int, layer: int, version: Version) -> None:
        """Have a file say that it has `version`. What makes that true was synced before."""
        self._disk.set_attribute(fd, ATTRIBUTE, encode_attribute(family, number, layer, version))

    def create_copy(self, name: str) -> int:
        """Create a file that is to replace one, and goes if it comes to nothing; return it open."""
        fd = self._disk.create(os.path.join(self._temporary, name))
        self._disk.truncate(fd, CHUNK_SIZE)
        return fd

    def install_copy(self, name: str, family: bytes, number: int, layer: int) -> None:
        """Put a copy, complete and durable, in its place; durable when this returns."""
        self.make_family(family)
        self._disk.rename(os.path.join(self._temporary, name), self.path(family, number, layer))
        self._disk.fsync_directory(self._family_path(family))

    def drop_copy(self, name: str) -> None:
        """Remove a copy that has come to nothing."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(os.path.join(self._temporary, name))

    def remove(self, family: bytes, number: int, layer: int) -> None:
        """Remove a chunk's file, which may be gone already. Durable after `sync_family`."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(self.path(family, number, layer))

    def sync_family(self, family: bytes) -> None:
        """Make durable which files of a family there are."""
        if family in self._families:
            self._disk.fsync_directory(self._family_path(family))
