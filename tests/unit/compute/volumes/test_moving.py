"""What moves data: backups that are found again, restores and copies over anything, and processes that end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from blockgw.backup.piece import PIECE
from blockgw.backup.volume import Snapshot
from cluster.layout import Layout
from compute.stored import Unreachable
from compute.volumes.moving import child
from compute.volumes.moving.parent import ROOT, Runner
from tests.unit.blockgw.backup.places import MemorySink, MemoryTarget, MemoryVolume

SIZE = 3 * PIECE
PLACE = {"url": "s3://bucket/prefix", "endpoint": None}


class Sink(MemorySink):
    """A volume that is written to; full of something else to begin with."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size
        self.data[:] = b"x" * size


class Data:
    """A snapshot that is read."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        self.bytes_read += length
        return self._data[offset : offset + length]


class Volume(MemoryVolume):
    """A volume of the gateway: what is changed is told in pieces."""

    def __init__(self) -> None:
        super().__init__(SIZE)
        self.written = Sink(SIZE + PIECE // 2)

    def changed(self, snapshot: str, since: str | None) -> list[int]:
        data = self.copies[snapshot][1]
        return [at // PIECE for at in range(0, SIZE, PIECE) if any(data[at : at + PIECE])]

    @contextmanager
    def open(self, snapshot: str) -> Iterator[Any]:
        yield Data(self.copies[snapshot][1])

    @contextmanager
    def sink(self) -> Iterator[Sink]:
        yield self.written


@pytest.fixture
def volume(monkeypatch: pytest.MonkeyPatch) -> Volume:
    made, target = Volume(), MemoryTarget()
    made.write(0, b"first")
    made.write(2 * PIECE, b"third")
    monkeypatch.setattr(child, "_volume", lambda _task, _name, _kept=None: made)
    monkeypatch.setattr(child, "_target", lambda _place: target)
    return made


def task(**about: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "volume": "v",
        "snapshot": None,
        "place": PLACE,
        "full": False,
        "sealed": False,
        "known": [],
    }
    return {"directory": "/nowhere", "seal": "00" * 32, **usual, **about}


def whole(volume: Volume) -> bytes:
    return bytes(volume.data) + bytes(PIECE // 2)


def test_a_backup_that_an_interrupted_attempt_has_left_is_this_one(volume: Volume) -> None:
    first = child.take(task())
    assert child.known(task()) == {"known": [first["location"]["backup"]]}
    assert child.take(task()) == first
    second = child.take(task(known=[first["location"]["backup"]]))
    assert second["location"]["backup"] != first["location"]["backup"]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_restore_makes_a_volume_what_it_was(volume: Volume, sealed: bool) -> None:
    location = child.take(task(sealed=sealed))["location"]
    assert child.bring_back(task(location=location)) == {}
    assert volume.written.data == whole(volume)
    assert volume.written.flushed


def test_a_sealed_backup_takes_its_key(volume: Volume) -> None:
    location = child.take(task(sealed=True))["location"]
    assert "error" in child.run(task(do="restore", location={**location, "sealed": False}))
    assert "error" in child.run(task(do="restore", location=location, seal="11" * 32))


def test_a_volume_that_is_too_small_is_left_alone(volume: Volume) -> None:
    location = child.take(task())["location"]
    volume.written = Sink(PIECE)
    assert "too small" in child.run(task(do="restore", location=location))["error"]
    assert volume.written.data == b"x" * PIECE


def test_a_backup_is_deleted_once(volume: Volume) -> None:
    location = child.take(task())["location"]
    for _ in range(2):
        assert child.remove(task(location=location)) == {}
    answer = child.run(task(do="restore", location=location))
    assert "again" not in answer
    assert "error" in answer


def test_a_copy_has_zeros_where_there_is_nothing(volume: Volume) -> None:
    volume.copies["s"] = Snapshot("0" * 32, "s", SIZE, 1), bytes(volume.data)
    assert child.copy(task(source="v@s", target="w")) == {}
    assert volume.written.data == whole(volume)
    assert volume.written.flushed


def test_what_was_never_written_to_is_sent_unread(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    volume.copies["s"] = Snapshot("0" * 32, "s", SIZE, 1), bytes(volume.data)
    data, sent = Data(bytes(volume.data) + bytes(1000)), bytearray()
    monkeypatch.setattr(volume, "open", lambda _snapshot: nullcontext(data))

    def put(_task: Any, body: Any, size: int) -> None:
        while piece := body.read(PIECE - 512):
            sent.extend(piece)
        assert size == len(sent)

    monkeypatch.setattr(child, "_put", put)
    assert child.send(task(source="v@s", format="raw")) == {}
    assert sent == volume.data + bytes(1000)
    assert data.bytes_read == 2 * PIECE


def test_a_process_that_dies_is_to_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="has died"):
        Runner(Layout(tmp_path), {}, bytes(32)).run("nothing that there is")


def test_a_process_ends_with_the_one_who_asks() -> None:
    script = "import threading\nfrom compute.volumes.moving import child\nchild._end_with_parent()"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 1
