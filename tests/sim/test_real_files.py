"""tests.sim.real_files: what LMDB and SQLite find again after the end of a process."""

import os
import random
from pathlib import Path

from tests.sim.real_files import RealFiles

RESERVED = 1 << 20  # bytes that LMDB has reserved


def files_of_a_device(directory: Path) -> RealFiles:
    """Return a device's files: reserved tables with something at their beginning and end, and a database."""
    (directory / "device" / "tables").mkdir(parents=True)
    with open(directory / "device" / "tables" / "data.mdb", "wb") as tables:
        os.posix_fallocate(tables.fileno(), 0, RESERVED)
        os.pwrite(tables.fileno(), b"first", 0)
        os.pwrite(tables.fileno(), b"last", RESERVED - 4)
    (directory / "device" / "a.db").write_bytes(b"d" * 9000)
    return RealFiles(directory / "device", directory / "graveyard", random.Random(1))


def test_a_killed_process_leaves_every_byte(tmp_path: Path) -> None:
    files = files_of_a_device(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    files.process_died(power_lost=False)
    assert {path: path.read_bytes() for path in before} == before


def test_its_successor_opens_other_files_than_it_has_open(tmp_path: Path) -> None:
    files = files_of_a_device(tmp_path)
    database = tmp_path / "device" / "a.db"
    before = database.stat().st_ino
    files.process_died(power_lost=False)
    assert database.stat().st_ino != before


def test_a_power_cut_leaves_rubbish_of_the_tables_and_what_was_checkpointed_of_the_databases(tmp_path: Path) -> None:
    files = files_of_a_device(tmp_path)
    files.process_died(power_lost=True)
    assert (tmp_path / "device" / "tables" / "data.mdb").stat().st_size < RESERVED
    assert (tmp_path / "device" / "a.db").read_bytes() == b"d" * 9000
