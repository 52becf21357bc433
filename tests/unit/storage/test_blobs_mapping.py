"""storage.blobs.mapping: the index on a file system without room. Needs root, for a small file system."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.blobs.mapping import NoRoom, grown, reserve
from storage.blobs.tables import Origin, Tables
from storage.log.interface import START

MiB = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(where)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a file system")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(directory: Path, left: int) -> Path:
    """Leave `left` bytes free."""
    ballast = directory / "ballast"
    figures = os.statvfs(directory)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, figures.f_bavail * figures.f_frsize - left)
    return ballast


def test_a_map_grows_by_doubling_and_then_by_steps() -> None:
    assert grown(4 * MiB) == 8 * MiB
    assert grown(1024 * MiB) == 1280 * MiB


def test_every_page_of_the_map_has_blocks(tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    about = (tmp_path / "data.mdb").stat()
    assert about.st_blocks * 512 >= about.st_size >= 4 * MiB
    tables.close()


def test_a_map_that_cannot_grow_is_an_error_and_no_signal(small: Path) -> None:
    (small / "index").mkdir()
    tables = Tables(str(small / "index"))
    tables.begin(Origin(b"l" * 16, 10))
    ballast = fill(small, left=64 << 10)
    written = 0
    with pytest.raises(NoRoom):  # noqa: PT012 (how much fits is for the file system to say)
        for batch in range(1000):
            keys = [batch.to_bytes(8, "big") + index.to_bytes(8, "big") for index in range(500)]
            tables.merge({}, dict.fromkeys(keys, b"t" * 16), {}, START, 6)
            written += len(keys)
    assert tables.unlisted_count == written > 0  # what was there is there
    ballast.unlink()
    tables.merge({}, {b"k" * 16: b"t" * 16}, {}, START, 6)
    assert tables.unlisted_count == written + 1
    tables.close()


def test_without_room_for_the_first_map_nothing_is_opened(small: Path) -> None:
    (small / "index").mkdir()
    fill(small, left=1 * MiB)
    with pytest.raises(NoRoom):
        Tables(str(small / "index"))
    with pytest.raises(NoRoom):
        reserve(str(small / "index"), 64 * MiB)
