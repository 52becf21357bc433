"""Files that are restored to."""

import os
from pathlib import Path

import pytest

from blockgw.backup.errors import BackupError
from blockgw.backup.file_sink import FileSink

MiB = 1 << 20


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with FileSink(path, 4 * MiB) as sink:
        assert not sink.is_begun
        sink.write(MiB, b"data" * 1000)
        assert sink.read(MiB, 4) == b"data"
        sink.flush()
        assert not path.exists()
        sink.finish()
    assert os.listdir(tmp_path) == ["disk"]
    data = path.read_bytes()
    assert data == (bytes(MiB) + b"data" * 1000).ljust(4 * MiB, b"\0")
    assert path.stat().st_blocks * 512 < MiB
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_begun_is_found_and_zeros_take_no_space_in_it(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with FileSink(path, 4 * MiB) as sink:
        sink.write(0, b"x" * 4096)
    with FileSink(path, 4 * MiB) as sink:
        assert sink.is_begun
        sink.zero(0, 4096)
        sink.zero(MiB, MiB)
        sink.finish()
    assert path.read_bytes() == bytes(4 * MiB)
    assert path.stat().st_blocks * 512 <= 8192


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_text("mine")
    with pytest.raises(BackupError, match="already"):
        FileSink(path, MiB)
    path.rename(tmp_path / "away")
    with FileSink(path, MiB) as sink:
        path.write_text("came meanwhile")
        with pytest.raises(FileExistsError):
            sink.finish()
    assert path.read_text() == "came meanwhile"


def test_a_file_that_somebody_made_shorter_is_noticed(tmp_path: Path) -> None:
    with FileSink(tmp_path / "disk", MiB) as sink:
        os.truncate(tmp_path / "disk.part", 10)
        with pytest.raises(BackupError, match="shorter"):
            sink.read(0, 20)


def test_two_do_not_restore_to_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is through first would have a file that the other still writes to."""
    path = tmp_path / "disk"
    opened = os.open
    with FileSink(path, 4096) as first:
        with pytest.raises(BackupError, match="somebody else"):
            FileSink(path, 4096)
        first.write(0, b"1" * 4096)

        def open_late(name: str | Path, *how: int) -> int:
            file = opened(name, *how)
            monkeypatch.undo()
            first.finish()
            os.close(first._file)
            return file

        monkeypatch.setattr(os, "open", open_late)
        with pytest.raises(BackupError, match="somebody else"):
            FileSink(path, 4096)
        first._file = opened(path, os.O_RDONLY)  # to be closed
    assert path.read_bytes() == b"1" * 4096
