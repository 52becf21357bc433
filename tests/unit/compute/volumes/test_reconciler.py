"""What was deleted and is still read through goes in the end; and the doctor finds what differs."""

import pytest

from compute.differences import mend
from compute.volumes import remains, volumes
from compute.volumes.audit import Audit
from compute.volumes.reconciler import Reconciler
from compute.volumes.statuses import VolumeStatus
from tests.unit.compute.volumes.memory import MemorySnapshot, MemoryVolume
from tests.unit.compute.volumes.service import Service


@pytest.fixture
def audit(service: Service) -> Audit:
    return Audit(service.database, service.gateway, service.clock)


def leftovers(service: Service) -> list[remains.Remain]:
    with service.database.reading() as connection:
        return remains.waiting(connection)


def test_a_volume_with_a_clone_goes_when_the_clone_stands_alone(service: Service) -> None:
    volume = service.member.make_volume()
    snapshot = service.member.make_snapshot(volume["id"])
    clone = service.member.make_volume(snapshot_id=snapshot["id"])
    service.member.delete(f"/volumes/{volume['id']}?cascade=true")
    service.work()
    name = f"volume-{volume['id']}"
    assert [(each.volume, each.snapshot) for each in leftovers(service)] == [(name, "")]
    assert service.gateway.volumes[name].trashed
    reconciler = Reconciler(service.database, service.gateway)
    reconciler.step()
    assert service.gateway.volumes[f"volume-{clone['id']}"].parent is None
    assert reconciler.step() == 1
    assert leftovers(service) == []
    assert name not in service.gateway.volumes
    assert reconciler.step() == 0


def test_a_snapshot_with_a_clone_does_not_keep_its_volume(service: Service) -> None:
    volume = service.member.make_volume()
    snapshot = service.member.make_snapshot(volume["id"])
    service.member.make_volume(snapshot_id=snapshot["id"])
    service.member.delete(f"/snapshots/{snapshot['id']}")
    service.work()
    assert len(leftovers(service)) == 1
    service.member.delete(f"/volumes/{volume['id']}")
    service.work()
    assert [each.snapshot for each in leftovers(service)] == [""]


def test_in_order_there_is_nothing_to_find(service: Service, audit: Audit) -> None:
    volume = service.member.make_volume(imageRef=service.images.put())
    service.member.make_snapshot(volume["id"])
    service.member.make_backup(volume["id"])
    service.member.post("/volumes", {"volume": {"size": 1}})
    service.gateway.volumes["somebodys"] = MemoryVolume("0" * 32, "somebodys", 1 << 30)
    assert audit.differences() == []


def test_an_unknown_volume_goes_to_the_trash(service: Service, audit: Audit) -> None:
    service.gateway.volumes["volume-x"] = MemoryVolume("0" * 32, "volume-x", 1 << 30)
    (found,) = audit.differences()
    assert str(found).startswith("volume-x: the gateway has it")
    assert mend([found]) == []
    assert service.gateway.volumes["volume-x"].trashed
    assert audit.differences() == []


def test_a_lost_volume_is_in_error(service: Service, audit: Audit) -> None:
    volume = service.member.make_volume()
    del service.gateway.volumes[f"volume-{volume['id']}"]
    assert mend(audit.differences()) == []
    assert service.member.volume(volume["id"])["status"] == "error"
    assert audit.differences() == []


def test_one_in_the_trash_is_for_the_operator(service: Service, audit: Audit) -> None:
    volume = service.member.make_volume()
    service.gateway.volumes[f"volume-{volume['id']}"].trashed = True
    found = audit.differences()
    assert mend(found) == found
    assert "holdfast volume undelete" in str(found[0])


def test_sizes_agree_in_the_end(service: Service, audit: Audit) -> None:
    small, large = service.member.make_volume(size=2), service.member.make_volume(size=1)
    service.gateway.volumes[f"volume-{small['id']}"].size = 1 << 30
    service.gateway.volumes[f"volume-{large['id']}"].size = 3 << 30
    assert len(audit.differences()) == 2
    assert mend(audit.differences()) == []
    assert service.gateway.volumes[f"volume-{small['id']}"].size == 2 << 30
    assert service.member.volume(large["id"])["size"] == 3
    assert audit.differences() == []


def test_snapshots_on_one_side_only(service: Service, audit: Audit) -> None:
    volume = service.member.make_volume()
    lost = service.member.make_snapshot(volume["id"])
    stored = service.gateway.volumes[f"volume-{volume['id']}"]
    stored.snapshots = {
        "snapshot-x": MemorySnapshot("1" * 32, 1, b""),
        "holdfast-backup-y": MemorySnapshot("2" * 32, 1, b""),  # not ours
        "mine": MemorySnapshot("3" * 32, 1, b""),
    }
    assert len(audit.differences()) == 2
    mend(audit.differences())
    assert service.member.get(f"/snapshots/{lost['id']}")["snapshot"]["status"] == "error"
    Reconciler(service.database, service.gateway).step()
    assert set(stored.snapshots) == {"holdfast-backup-y", "mine"}
    assert audit.differences() == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("extending", "available"),
        ("uploading", "available"),
        ("deleting", "error"),
        ("creating", "error"),
        ("backing-up", "available"),
        ("restoring-backup", "error"),
    ],
)
def test_what_is_stuck_is_freed(service: Service, audit: Audit, status: str, expected: str) -> None:
    volume = service.member.make_volume()
    with service.database.writing() as connection:
        volumes.change(connection, volume["id"], 1, status=VolumeStatus(status), reserved_gb=3)
    (found,) = audit.differences()
    assert "nothing is done to it" in str(found)
    mend([found])
    assert service.member.volume(volume["id"])["status"] == expected
    told = service.member.get(f"/os-quota-sets/{service.member.project_id}?usage=true")["quota_set"]
    assert told["gigabytes"]["reserved"] == 0
