"""The client of NBD, on the server of NBD with a volume in memory."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blockgw.backup import nbd
from blockgw.backup.nbd import Connection, NbdFailed, NbdVolume
from blockgw.client import VolumeFile

MiB = 1 << 20
SIZE = 8 * MiB


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """Serve "memory", of 8 MiB; return the socket."""
    yield from serving(tmp_path, 1)


@pytest.fixture
def sectors(tmp_path: Path) -> Iterator[Path]:
    """The same, of which nothing smaller than 4 KiB is read or written, as of an encrypted volume."""
    yield from serving(tmp_path, 4096)


def serving(tmp_path: Path, block: int) -> Iterator[Path]:
    path = tmp_path / "nbd.sock"
    options = ["--deferred", "--block", str(block)]
    command = [sys.executable, "-m", "tests.unit.blockgw.memory_export", str(path), str(SIZE), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield path
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.stdout.close()


def test_what_is_written_by_several_threads_is_read(server: Path) -> None:
    with NbdVolume(str(server), "memory") as volume, ThreadPoolExecutor(4) as threads:
        assert volume.size == SIZE
        contents = [os.urandom(MiB) for _ in range(8)]
        list(threads.map(lambda number: volume.write(number * MiB, contents[number]), range(8)))
        volume.flush()
        volume.zero(MiB, MiB)
        found = list(threads.map(lambda number: volume.read(number * MiB, MiB), range(8)))
    assert found == [contents[0], bytes(MiB), *contents[2:]]


def test_what_is_refused_is_said_and_the_connection_is_still_good(server: Path) -> None:
    with NbdVolume(str(server), "memory") as volume:
        with pytest.raises(NbdFailed, match="READ of 4096 bytes"):
            volume.read(SIZE, 4096)
        assert volume.read(0, 512) == bytes(512)
    with pytest.raises(NbdFailed, match="nobody cannot be opened"):
        NbdVolume(str(server), "nobody")


def test_a_connection_that_breaks_is_made_anew(server: Path) -> None:
    made: list[Connection] = []

    def connect(path: str, export: str) -> Connection:
        made.append(Connection(path, export))
        return made[-1]

    with NbdVolume(str(server), "memory", connect) as volume:
        volume.write(0, b"x" * 512)
        made[0].close()
        assert volume.read(0, 512) == b"x" * 512
        made[1].close()
        with pytest.raises(NbdFailed, match="not known whether"):
            volume.flush()
        volume.flush()
    assert len(made) == 3


def test_without_a_server_one_waits_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbd, "PATIENCE_S", 0.02)
    monkeypatch.setattr(nbd, "_PAUSE_S", 0.01)
    with pytest.raises(NbdFailed, match="cannot be reached"):
        NbdVolume(str(tmp_path / "nothing"), "memory")


def test_a_volume_that_has_sectors_is_opened_by_who_keeps_to_them(sectors: Path) -> None:
    with NbdVolume(str(sectors), "memory") as volume:
        assert volume.block == 4096
        volume.write(4096, b"x" * 8192)
        assert volume.read(0, 16384) == bytes(4096) + b"x" * 8192 + bytes(4096)


def test_a_volume_that_has_sectors_is_a_file_of_bytes_all_the_same(sectors: Path) -> None:
    """For programs; compared with bytes in memory."""
    chance, expected = random.Random(7), bytearray(SIZE)
    with VolumeFile(NbdVolume(str(sectors), "memory"), True) as disk:
        for _ in range(100):
            offset, length = chance.randrange(SIZE - 40_000), chance.choice([1, 511, 4096, 5000, 12_288, 40_000])
            if chance.random() < 0.3:
                disk.zero(offset, length)
                expected[offset : offset + length] = bytes(length)
            else:
                data = chance.randbytes(length)
                disk.seek(offset)
                assert disk.write(data) == length
                expected[offset : offset + length] = data
            disk.seek(offset)
            assert disk.read(100) == expected[offset : offset + 100]
        disk.seek(0)
        assert disk.readall() == expected
