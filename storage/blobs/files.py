"""Files of large objects: made nameless, complete and durable before anything refers to them.

A file's extended attribute holds its full identity: the log record's metadata and the checksums of
its blocks. What the file system has no room for (ext4 has about 4 KB per file) is put behind the data,
and the attribute says where. Format: docs/blob-format.md.

After a crash a named file is there whole or is referred to by nothing: `publish` returns when data,
attribute and directory entry are durable, and only then is the log record appended. The name
is made before the sync, so that one journal commit of the file system covers both.
"""

import contextlib
import errno
import os
import struct
from typing import NamedTuple

from storage.direct import staging_pool
from storage.disk import Disk, TemporaryFile, read_fully, write_fully
from storage.log.checksum import crc32c

ATTRIBUTE = "user.holdfast.identity"
_ATTRIBUTE_LIMIT = 3 << 10  # bytes: ext4's 4 KiB less what others keep there
_NO_ROOM = (errno.E2BIG, errno.ENOSPC, errno.ERANGE, errno.EOPNOTSUPP)
_VERSION = 1
_HERE, _BEHIND_DATA = 0, 1
_HEAD = struct.Struct("<BBHIIIQ")  # version, where, 0, crc of both, metadata length, checksums length, offset
_ALIGNMENT = 4096  # of what is put behind the data


class FileIdentity(NamedTuple):
    """What a file says of itself."""

    metadata: bytes  # as in its log record
    checksums: bytes  # of its blocks


class FileStore:
    """The files of one device. All calls block."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._files = os.path.join(directory, "files")
        self._temporary = os.path.join(directory, "tmp")
        self._durable: set[str] = set()  # directories that a power cut does not take away any more
        self.staging = staging_pool()  # for the threads that write uploads

    def open(self) -> None:
        """Make the directories, and remove temporary files that a crash left."""
        self._disk.make_directories(self._files)
        self._disk.make_directories(self._temporary)
        for name in self._disk.list(self._temporary):
            self._disk.unlink(os.path.join(self._temporary, name))
        for directory in (self._directory, self._files):  # who made what is there may have died before it was durable
            self._disk.fsync_directory(directory)
        self._durable = {os.path.join(self._files, shard) for shard in self.shards()}

    def create(self) -> TemporaryFile:
        """Create a file for an upload."""
        return self._disk.create_temporary(self._temporary)

    def path(self, data_id: bytes) -> str:
        """Return where the file of `data_id` is."""
        name = data_id.hex()
        return os.path.join(self._files, name[:2], name)

    def publish(
        self, file: TemporaryFile, data_id: bytes, size: int, identity: FileIdentity, named: bool
    ) -> None:
        """Make a complete file durable under its name, which it may have already."""
        path = self.path(data_id)
        self._identify(file.fd, size, identity)
        shard = os.path.dirname(path)
        if not named:
            if shard not in self._durable:  # that it is there is not enough: another thread may be making it just now
                self._disk.make_directories(shard)
                self._disk.fsync_directory(self._files)
                self._durable.add(shard)
            self._disk.name(file, path)
        self._disk.fsync(file.fd)
        self._disk.fsync_directory(shard)

    def identify(self, data_id: bytes, size: int, identity: FileIdentity) -> None:
        """Give an existing file a new identity, durably."""
        fd = self._disk.open(self.path(data_id))
        try:
            self._identify(fd, size, identity)
            self._disk.fsync(fd)
        finally:
            self._disk.close(fd)

    def identity(self, data_id: bytes) -> FileIdentity | None:
        """Return what a file says of itself; None when that is damaged."""
        fd = self._disk.open(self.path(data_id))
        try:
            return self._read_identity(fd)
        finally:
            self._disk.close(fd)

    def size(self, data_id: bytes) -> int:
        """Return the size of a file, 0 when it is gone."""
        try:
            fd = self._disk.open(self.path(data_id))
        except FileNotFoundError:
            return 0
        try:
            return self._disk.size(fd)
        finally:
            self._disk.close(fd)

    def remove(self, data_id: bytes) -> None:
        """Delete a file; whoever has it open can read on. It may be gone already."""
        try:
            self._disk.unlink(self.path(data_id))
        except FileNotFoundError:
            return

    def discard(self, file: TemporaryFile) -> None:
        """Close a file that was never named, and with it remove it."""
        self._disk.close(file.fd)
        if file.path is not None:
            with contextlib.suppress(FileNotFoundError):  # it has got a name, and is gone by that
                self._disk.unlink(file.path)

    def shards(self) -> list[str]:
        """Return the names of the directories that the files are in, at most 256."""
        return self._disk.list(self._files)

    def data_ids(self, shard: str) -> list[bytes]:
        """Return the data ids of the files in one directory."""
        names = self._disk.list(os.path.join(self._files, shard))
        return [bytes.fromhex(name) for name in names if len(name) == 32 and name.startswith(shard)]

    def _identify(self, fd: int, size: int, identity: FileIdentity) -> None:
        content = identity.metadata + identity.checksums
        lengths = len(identity.metadata), len(identity.checksums)
        checksum = crc32c(content)
        if len(content) + _HEAD.size <= _ATTRIBUTE_LIMIT:
            try:
                head = _HEAD.pack(_VERSION, _HERE, 0, checksum, *lengths, 0)
                self._disk.set_attribute(fd, ATTRIBUTE, head + content)
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
        end = max(size, self._disk.size(fd))
        offset = (
            -(-end // _ALIGNMENT) * _ALIGNMENT
        )  # what an older attribute refers to stays until we replace it
        write_fully(self._disk, fd, [content], offset)
        head = _HEAD.pack(_VERSION, _BEHIND_DATA, 0, checksum, *lengths, offset)
        try:
            self._disk.set_attribute(fd, ATTRIBUTE, head)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # no attributes at all: the log's record must do
                raise

    def _read_identity(self, fd: int) -> FileIdentity | None:
        value = self._disk.get_attribute(fd, ATTRIBUTE)
        if value is None or len(value) < _HEAD.size:
            return None
        version, where, _, checksum, metadata_length, checksums_length, offset = _HEAD.unpack_from(value)
        length = metadata_length + checksums_length
        if version != _VERSION or length > self._disk.size(fd) + _ATTRIBUTE_LIMIT:
            return None
        content = value[_HEAD.size :] if where == _HERE else bytes(read_fully(self._disk, fd, offset, length))
        if len(content) != length or crc32c(content) != checksum:
            return None
        return FileIdentity(content[:metadata_length], content[metadata_length:])
