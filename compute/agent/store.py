"""What each guest of a host shall be, kept on the host: one file per guest, written whole before libvirt is asked.

    DIR/guests/ID.json      the record, in JSON
    DIR/guests/ID/          what else is there for the guest: its console's log, its config drive

A record is replaced by renaming, after fsync; a file that cannot be read is moved aside, and told of. Fields that are
not known are let be, so an older agent reads a newer one's; one that is missing has its default.
"""

import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cluster.telemetry.log import get_logger
from compute.agent.guest import Guest, Nic, document_of, value_of

FORM = 1  # of the files
_log = get_logger("agent")


class Wish(StrEnum):
    """What was asked of a guest last."""

    RUNNING = "running"
    OFF = "off"
    PAUSED = "paused"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A guest, and what it shall do."""

    guest: Guest
    wish: Wish = Wish.OFF
    starting: bool = False  # it is to be started, and was not yet
    crashed: bool = False  # it ended by a fault, and was not started again
    off_by_us: int = 0  # when it is turned off that was asked to end by itself; 0: it was not asked
    reboot_id: str = ""  # of the last reboot that was asked for
    reboot_of: int = 0  # the run that the reboot under way ends; 0: there is none
    removed: bool = False  # it is to be forgotten
    leaving: tuple[Nic, ...] = ()  # cards that it shall not have any more, and did not let go of yet
    trouble: str = ""  # in words: why it does not do what was asked

    def but(self, **changes: Any) -> "Record":
        """Return it with other values."""
        return dataclasses.replace(self, **changes)


class Store:
    """The records of one host. Raise OSError when the disk fails."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in directory.glob("*.json"):
            record = _read(path)
            if record is not None:
                self._records[record.guest.id] = record

    def __repr__(self) -> str:
        return f"Store({self._directory}, {len(self._records)} guests)"

    def all(self) -> Mapping[str, Record]:
        """Return all records, by the guest's id."""
        with self._lock:
            return dict(self._records)

    def get(self, guest_id: str) -> Record | None:
        """Return a record; None: there is none."""
        with self._lock:
            return self._records.get(guest_id)

    def put(self, record: Record) -> None:
        """Keep a record in place of the one before it."""
        guest_id = record.guest.id
        if self.get(guest_id) == record:
            return
        document = {"form": FORM, **document_of(record)}
        _write(self._directory / f"{guest_id}.json", json.dumps(document).encode())
        with self._lock:
            self._records[guest_id] = record

    def drop(self, guest_id: str) -> None:
        """Forget a guest, with all its files."""
        shutil.rmtree(self._directory / guest_id, ignore_errors=True)
        (self._directory / f"{guest_id}.json").unlink(missing_ok=True)
        _sync(self._directory)
        with self._lock:
            self._records.pop(guest_id, None)

    def files(self, guest_id: str) -> Path:
        """Return the directory of a guest's other files; it is made."""
        path = self._directory / guest_id
        path.mkdir(mode=0o700, exist_ok=True)
        return path


def _read(path: Path) -> Record | None:
    try:
        document = json.loads(path.read_bytes())
        guest = value_of(Guest, document["guest"])
        known = {each.name for each in dataclasses.fields(Record)} - {"guest"}
        rest = {name: value for name, value in document.items() if name in known}
        leaving = tuple(value_of(Nic, nic) for nic in rest.pop("leaving", ()))
        record = Record(guest=guest, leaving=leaving, **{**rest, "wish": Wish(rest.get("wish", Wish.OFF))})
        if path.name != f"{guest.id}.json":
            raise ValueError(f"it is about guest {guest.id}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        aside = path.with_suffix(".damaged")
        _log.error("guest_record_damaged", path=path, error=error, kept_as=aside)
        os.replace(path, aside)
        return None
    return record


def _write(path: Path, data: bytes) -> None:
    """Replace a file so that there is the old one or the new one, whenever the power goes."""
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(part, path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
