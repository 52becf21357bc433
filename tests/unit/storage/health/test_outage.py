"""storage.health.outage and guard: a device that cannot be opened."""

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster.config import Config, DeviceConfig, fresh_cluster
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.wire import RemoteError, Request
from storage.health import outage as outages
from storage.health.condition import Condition
from storage.health.examination import MOUNTED, memory_key
from storage.health.guard import Guard
from storage.health.judgement import Verdict
from storage.health.marker import MARKER_FILE
from storage.health.outage import Outage, looked
from storage.messages import Operation, Refusal

FAILED = Verdict(Condition.UNREADABLE, "opening it: Input/output error")


def test_an_outage_refuses_and_explains() -> None:
    outage = Outage(3, FAILED, lambda: FAILED)
    serves, status = outage.health()
    assert not serves
    assert status["health"]["condition"] == "unreadable"
    assert "Input/output error" in status["failure"]
    assert outage.handle(Request(Operation.STATUS, (), b"", None, 0.0)).metadata[0]["device"] == 3
    with pytest.raises(RemoteError) as refused:
        outage.handle(Request(Operation.BLOB_GET, (), b"", None, 0.0))
    assert refused.value.code == Refusal.DEVICE_FAILED


def test_an_outage_ends_when_the_disk_is_well_and_tells_what_it_is_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "LOOK_S", 0.02)
    found = [FAILED, Verdict(Condition.VANISHED, "gone"), Verdict(Condition.OK)]
    outage = Outage(3, FAILED, lambda: found.pop(0) if len(found) > 1 else found[0])
    asyncio.run(asyncio.wait_for(outage.over(pause_s=0.3), 5))
    assert outage.health()[1]["health"]["condition"] == "vanished"


def test_a_look_that_hangs_is_left_alone() -> None:
    released = threading.Event()

    def look() -> Verdict:
        released.wait(10)
        return FAILED

    assert asyncio.run(looked(look, 0.05)) is None
    released.set()


class Setting:
    """A device's place in a data directory."""

    def __init__(self, tmp_path: Path) -> None:
        self.layout = Layout(tmp_path)
        self.layout.run.mkdir()
        self.config = Config(
            cluster=fresh_cluster(), devices=(DeviceConfig(id=0, node="0", directory="nodes/0/d0"),)
        )
        self.directory = tmp_path / "nodes" / "0" / "d0"

    def connect(self) -> EmbeddedCoordination:
        return EmbeddedCoordination(self.layout.coordination)

    def guard(self) -> Guard:
        return Guard(self.config, self.layout, 0, self.connect)


def test_what_a_directory_was_is_remembered_outside_of_it(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    examined = asyncio.run(setting.guard().examine())
    assert examined.verdict.condition is Condition.OK
    assert (setting.directory / MARKER_FILE).exists()
    coordination = setting.connect()
    coordination.put(memory_key(0), MOUNTED)  # as if a file system had been mounted there
    coordination.close()
    again = asyncio.run(setting.guard().examine())
    assert again.verdict.condition is Condition.VANISHED


def test_the_next_process_knows_that_the_disk_failed(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    guard = setting.guard()
    examined = guard.cannot_open(OSError(errno.EROFS, "Read-only file system"))
    assert examined.verdict.condition is Condition.READ_ONLY
    after = setting.guard()
    assert after.suspicion.pending
    after.recovered()
    assert not setting.guard().suspicion.pending


@pytest.mark.parametrize(("code", "trusted"), [(errno.EROFS, False), (errno.EIO, False), (errno.ENOSPC, True)])
def test_after_a_failure_of_the_disk_the_index_is_made_anew(
    tmp_path: Path, monkeypatch: Any, code: int, trusted: bool
) -> None:
    """It is never synced: the file system may have been mounted again since, without what was in memory."""
    monkeypatch.setattr("faulthandler.enable", lambda *_a, **_k: None)
    setting = Setting(tmp_path)
    state = setting.directory / "blobs" / "index" / "state"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"running this boot\n")
    setting.guard().cannot_open(OSError(code, os.strerror(code)))
    after = setting.guard()
    after.distrust_what_failed()
    assert state.exists() == trusted
    state.write_bytes(b"running this boot\n")
    after.recovered()
    setting.guard().distrust_what_failed()
    assert state.exists()


def test_after_a_bus_error_the_index_is_made_anew(tmp_path: Path, monkeypatch: Any) -> None:
    setting = Setting(tmp_path)
    state = setting.directory / "blobs" / "index" / "state"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"clean\n")
    crash = setting.layout.run / "storage-0.crash"
    crash.write_text("Fatal Python error: Bus error\n")
    monkeypatch.setattr("faulthandler.enable", lambda *_a, **_k: None)
    setting.guard().distrust_what_failed()
    assert not state.exists()
    assert crash.read_text() == ""
