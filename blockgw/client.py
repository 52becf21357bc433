"""Volumes from Python: a client of the block gateway of a cluster on this host. docs/volumes.md has an example.

It asks the gateway's control socket what operators ask it, and reads and writes through its NBD socket. Both are in a
directory of their owner's alone, so it is for the user who runs the cluster. Calls block; objects are for one thread.
"""

import io
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from blockgw.backup.nbd import NbdFailed, NbdVolume
from blockgw.interfaces import MiB
from cluster.layout import Layout
from cluster.supervision.control import ControlError, NotRunning, ask

ANSWER_S = 120.0  # the gateway itself waits half a minute for devices
POLL_S = 0.5
_REQUEST = 8 * MiB  # bytes of a read or write; the gateway takes 32
_ZEROED = 1 << 30  # bytes that are zeroed by a request; it has room for 32 bits


class VolumesError(Exception):
    """The gateway has refused, or does not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A volume as it was."""

    name: str
    id: str
    size: int  # bytes
    created_us: int  # since 1970


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """What there is to know of a volume."""

    name: str
    id: str
    size: int  # bytes
    state: str  # available, trashed or deleting
    created_us: int  # since 1970
    description: str
    snapshots: tuple[SnapshotInfo, ...]


@dataclass(frozen=True, slots=True)
class ShareInfo:
    """What is stored for a volume, for one of its snapshots, or by a clone's parent for it."""

    of: str  # volume, snapshot or parent
    snapshot: str | None
    chunks: int
    data: int  # bytes
    stored: int  # bytes, of all replicas


class Volumes:
    """The volumes of a cluster. Methods raise VolumesError."""

    def __init__(self, directory: str | os.PathLike[str], gateway: int = 0) -> None:
        """`directory` is the data directory of the cluster, as --data of the command."""
        layout = Layout(Path(os.path.abspath(os.path.expanduser(directory))))
        self._control = layout.gateway_socket(gateway)
        self._nbd = os.fspath(layout.nbd_socket(gateway))

    def __repr__(self) -> str:
        return f"Volumes({self._control})"

    def list(self) -> tuple[VolumeInfo, ...]:
        """Return all volumes, those in the trash too, by name."""
        found: list[VolumeInfo] = []
        first: str | None = ""
        while first is not None:
            answer = self._ask("list", first=first)
            found += map(_volume, answer["volumes"])
            first = answer["next"]
        return tuple(found)

    def show(self, name: str) -> VolumeInfo:
        """Return one volume."""
        return self._volume("show", name=name)

    def create(self, name: str, size: int, description: str = "") -> VolumeInfo:
        """Make an empty volume of `size` bytes."""
        return self._volume("create", name=name, size=size, description=description)

    def clone(self, parent: str, snapshot: str, name: str) -> VolumeInfo:
        """Make a volume that begins as a snapshot."""
        return self._volume("clone", parent=parent, snapshot=snapshot, name=name)

    def snapshot(self, name: str, snapshot: str) -> VolumeInfo:
        """Keep a volume as it is now."""
        return self._volume("snapshot", name=name, snapshot=snapshot)

    def snapshot_together(self, names: "tuple[str, ...]", snapshot: str) -> tuple[VolumeInfo, ...]:
        """Keep volumes as they are at one moment."""
        return tuple(_volume(each) for each in self._ask("snapshot-group", names=names, snapshot=snapshot)["volumes"])

    def delete_snapshot(self, name: str, snapshot: str) -> VolumeInfo:
        """Give up a snapshot; its space comes back in the background."""
        return self._volume("delete-snapshot", name=name, snapshot=snapshot)

    def rollback(self, name: str, snapshot: str) -> VolumeInfo:
        """Make a volume as it was; nobody may use it."""
        return self._volume("rollback", name=name, snapshot=snapshot)

    def resize(self, name: str, size: int, shrink: bool = False) -> VolumeInfo:
        """Give a volume another size; with `shrink` a smaller one, too."""
        return self._volume("resize", name=name, size=size, shrink=shrink)

    def flatten(self, name: str) -> None:
        """Make a clone independent of its parent; return when that is done."""
        job = self._ask("flatten", name=name)["job"]
        while job["state"] == "running":
            time.sleep(POLL_S)
            jobs = [each for each in self._ask("jobs")["jobs"] if (each["kind"], each["volume"]) == ("flatten", name)]
            if not jobs:
                raise VolumesError(f"the gateway was started again; it goes on to flatten {name}: ask for it again")
            job = jobs[-1]
        if job["state"] != "done":
            raise VolumesError(str(job["error"]))

    def limit(self, name: str, **limits: float) -> VolumeInfo:
        """Change what clients of a volume may do: fields of blockgw.catalog.volume.Limits; 0: no limit."""
        return self._volume("limit", name=name, **limits)

    def trash(self, name: str, keep_s: float | None = None) -> VolumeInfo:
        """Have nobody open a volume any more; it is deleted after `keep_s`, or (None) when somebody does."""
        return self._volume("trash", name=name, keep_s=keep_s)

    def undelete(self, name: str) -> VolumeInfo:
        """Take a volume out of the trash."""
        return self._volume("undelete", name=name)

    def delete(self, name: str) -> None:
        """Delete a volume with its data. It must have no snapshots, and no clients."""
        self._ask("delete", name=name)

    def usage(self, name: str) -> tuple[ShareInfo, ...]:
        """Return what a volume takes up, by snapshot."""
        return tuple(ShareInfo(**each) for each in self._ask("du", name=name)["shares"])

    def diff(self, name: str, snapshot: str, other: str | None = None, fast: bool = False) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what differs between a snapshot and another, or the volume as it is."""
        first: int | None = 0
        while first is not None:
            answer = self._ask("diff", name=name, snapshot=snapshot, other=other, fast=fast, first=first)
            yield from ((offset, length) for offset, length in answer["extents"])
            first = answer["next"]

    def open(self, name: str) -> "VolumeFile":
        """Open a volume to read and write it, or NAME@SNAPSHOT to read."""
        try:
            return VolumeFile(NbdVolume(self._nbd, name), "@" not in name)
        except NbdFailed as error:
            raise VolumesError(str(error)) from error

    def _volume(self, do: str, **about: Any) -> VolumeInfo:
        return _volume(self._ask(do, **about)["volume"])

    def _ask(self, do: str, **about: Any) -> dict[str, Any]:
        try:
            return ask(self._control, do, timeout_s=ANSWER_S, **about)
        except NotRunning as error:
            raise VolumesError(f"the block gateway does not answer: {error}") from error
        except ControlError as error:
            raise VolumesError(str(error)) from error


class VolumeFile(io.RawIOBase):
    """A volume as a file of bytes: its size is fixed; `flush` makes durable what was written, and so does `close`.

    Of an encrypted volume whole sectors are read and written, so a write of a part of one reads it first: nobody else
    may write to it meanwhile.
    """

    def __init__(self, volume: NbdVolume, may_write: bool) -> None:
        super().__init__()
        self._volume = volume
        self._may_write = may_write
        self._position = 0
        self.size = volume.size

    def __repr__(self) -> str:
        return f"VolumeFile({self.size} bytes, at {self._position})"

    def readable(self) -> bool:
        """See io.IOBase."""
        return True

    def writable(self) -> bool:
        """See io.IOBase."""
        return self._may_write

    def seekable(self) -> bool:
        """See io.IOBase."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.IOBase."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"{base + offset} is no position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read as much as fits and is there, by up to 8 MiB."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self.size - self._position, _REQUEST))
        if length:
            view[:length] = self._read(self._position, length)
        self._position += length
        return length

    def write(self, data: Any) -> int:
        """Write as much as has room, by up to 8 MiB; return how much that was. OSError at the end of the volume."""
        self._check_writable()
        view = memoryview(data).cast("B")
        length = min(len(view), self.size - self._position, _REQUEST)
        if length <= 0 < len(view):
            raise OSError("this is the end of the volume")
        if length:
            self._write(self._position, view[:length])
        self._position += max(0, length)
        return max(0, length)

    def zero(self, offset: int, length: int) -> None:
        """Have a range read as zeros, and give its space back."""
        self._check_writable()
        if not 0 <= offset <= offset + length <= self.size:
            raise ValueError(f"{length} bytes at {offset} are not within {self.size}")
        block = self._volume.block
        begin, end = -(-offset // block) * block, (offset + length) // block * block  # of whole blocks
        if begin >= end:
            self._write(offset, memoryview(bytes(length)))
            return
        self._write(offset, memoryview(bytes(begin - offset)))
        for start in range(begin, end, _ZEROED):
            with _translated():
                self._volume.zero(start, min(_ZEROED, end - start))
        self._write(end, memoryview(bytes(offset + length - end)))

    def flush(self) -> None:
        """Make durable what was written. Raise OSError when it is not known to be."""
        if self._may_write and not self.closed:
            with _translated():
                self._volume.flush()

    def close(self) -> None:
        """Flush, and hang up."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            self._volume.close()

    def _whole_blocks(self, offset: int, length: int) -> tuple[int, int]:
        """Return where the blocks that have a range begin and end."""
        block = self._volume.block
        return offset // block * block, -(-(offset + length) // block) * block

    def _read(self, offset: int, length: int) -> bytes:
        begin, end = self._whole_blocks(offset, length)
        with _translated():
            found = self._volume.read(begin, end - begin)
        return found[offset - begin : offset - begin + length]

    def _write(self, offset: int, data: memoryview) -> None:
        if not data:
            return
        begin, end = self._whole_blocks(offset, len(data))
        if (begin, end) == (offset, offset + len(data)):
            written = bytes(data)
        else:
            whole = bytearray(self._read(begin, end - begin))
            whole[offset - begin : offset - begin + len(data)] = data
            written = bytes(whole)
        with _translated():
            self._volume.write(begin, written)

    def _check_writable(self) -> None:
        if not self._may_write:
            raise io.UnsupportedOperation("a snapshot is not written to")


def uri_of(socket: Path, name: str) -> str:
    """Return how clients of NBD on this host find a volume, or NAME@SNAPSHOT, of the gateway that has `socket`."""
    return f"nbd+unix:///{quote(name)}?socket={quote(os.fspath(socket))}"


@contextmanager
def _translated() -> Iterator[None]:
    """Give errors of NBD the type that users of files expect."""
    try:
        yield
    except NbdFailed as error:
        raise OSError(str(error)) from error


def _volume(told: Mapping[str, Any]) -> VolumeInfo:
    snapshots = tuple(
        SnapshotInfo(each["name"], each["id"], each["size"], each["created_us"]) for each in told["snapshots"]
    )
    names = ("name", "id", "size", "state", "created_us", "description")
    return VolumeInfo(snapshots=snapshots, **{name: told[name] for name in names})
