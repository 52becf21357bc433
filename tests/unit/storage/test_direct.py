"""storage.direct: writes past the page cache."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.direct import BLOCK, staging_buffer, write_direct
from storage.disk import RealDisk


class _Blocks(RealDisk):
    """Notes what is written, and refuses what no device would take; a file of any kind stands for one."""

    def open_direct(self, fd: int) -> int:
        return os.dup(fd)

    def pwritev(self, fd: int, buffers: "list[memoryview]", offset: int) -> int:  # type: ignore[override]
        assert offset % BLOCK == 0
        assert sum(map(len, buffers)) % BLOCK == 0
        return super().pwritev(fd, buffers, offset)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3 * BLOCK), st.lists(st.integers(0, 5 * BLOCK), max_size=6), st.integers(1, 3))
def test_what_is_written_is_read_and_what_precedes_it_stays(
    tmp_path_factory: pytest.TempPathFactory, offset: int, sizes: list[int], staging_blocks: int
) -> None:
    disk = _Blocks()
    path = tmp_path_factory.mktemp("direct") / "file"
    before, buffers = os.urandom(offset), [os.urandom(size) for size in sizes]
    path.write_bytes(before)
    fd = disk.open(str(path))
    direct_fd = disk.open_direct(fd)
    staging = staging_buffer()[: staging_blocks * BLOCK]
    end = write_direct(disk, fd, direct_fd, staging, buffers, offset)
    content = path.read_bytes()
    data = before + b"".join(buffers)
    assert content[: len(data)] == data
    assert not any(content[len(data) :])
    if data[offset:]:
        assert end == len(content)
        assert end % BLOCK == 0
    os.close(direct_fd)
    os.close(fd)


def test_staging_memory_is_aligned(tmp_path: Path) -> None:
    """open(2), O_DIRECT: memory, offset and length are multiples of the block; a real file takes ours."""
    disk = RealDisk()
    fd = disk.create(str(tmp_path / "file"))
    try:
        direct_fd = disk.open_direct(fd)
    except OSError as error:
        pytest.skip(f"the file system has no direct writes: {error}")
    data = os.urandom(3_000_000)
    assert write_direct(disk, fd, direct_fd, staging_buffer(), [data], 0) >= len(data)
    assert (tmp_path / "file").read_bytes()[: len(data)] == data
    os.close(direct_fd)
    os.close(fd)
