"""What a gateway is asked for a backup, whoever asks it."""

from pathlib import Path
from typing import Any

import pytest

from blockgw.backup.errors import BackupError
from blockgw.backup.gateway_volume import GatewayVolume
from blockgw.backup.volume import Snapshot


class Gateway:
    """Has one volume, and pages of two chunks."""

    def __init__(self) -> None:
        self.snapshots = ["monday"]
        self.asked: list[dict[str, Any]] = []

    def ask(self, do: str, **about: Any) -> dict[str, Any]:
        self.asked.append({"do": do, **about})
        if do == "snapshot":
            self.snapshots.append(about["snapshot"])
        if do == "delete-snapshot":
            self.snapshots.remove(about["snapshot"])
        if do == "changed":
            found = [each for each in (0, 3, 4, 9, 10) if each >= about["first"]]
            return {"chunks": found[:2], "next": found[2] if found[2:] else None}
        told = [{"id": name[0], "name": name, "size": 512, "created_us": 1} for name in self.snapshots]
        return {"volume": {"id": "0" * 32, "snapshots": told}}


def volume(gateway: Gateway, kept: str | None = None) -> GatewayVolume:
    return GatewayVolume(gateway.ask, Path("/nowhere"), "disk", kept)


def test_a_backup_takes_a_snapshot_and_gives_it_up() -> None:
    gateway = Gateway()
    disk = volume(gateway)
    assert (disk.id, disk.name) == ("0" * 32, "disk")
    assert disk.take("backup-1") == Snapshot("b", "backup-1", 512, 1)
    assert [each.name for each in disk.snapshots()] == ["monday", "backup-1"]
    disk.give_up("backup-1")
    assert gateway.snapshots == ["monday"]


def test_one_of_a_snapshot_that_is_there_takes_none_and_leaves_it() -> None:
    gateway = Gateway()
    disk = volume(gateway, "monday")
    assert disk.take("backup-1").name == "monday"
    disk.give_up("backup-1")
    assert gateway.snapshots == ["monday"]
    with pytest.raises(BackupError, match="no snapshot tuesday"):
        volume(gateway, "tuesday").take("backup-1")


def test_what_has_changed_comes_by_pages() -> None:
    gateway = Gateway()
    assert list(volume(gateway).changed("monday", "sunday")) == [0, 3, 4, 9, 10]
    assert [each["first"] for each in gateway.asked if each["do"] == "changed"] == [0, 4, 10]
    assert {each.get("since") for each in gateway.asked} == {None, "sunday"}
