"""ring.disk"""

import os
from pathlib import Path

import pytest

from ring import disk
from ring.errors import DamagedFile


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "object.ring"
    path.write_bytes(b"old")
    disk.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["object.ring"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "object.ring"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        disk.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["object.ring"]


def test_an_unusable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "object.ring"
    path.write_bytes(b"half a ri")

    def load(_data: bytes) -> None:
        raise DamagedFile("it is cut short")

    with pytest.raises(DamagedFile, match=r"object\.ring is not a ring that can be used: it is cut short"):
        disk.read(path, load, "ring")
