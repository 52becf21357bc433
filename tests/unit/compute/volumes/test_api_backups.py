"""Backups and transfers, as clients see them."""

import base64
import json
import uuid

from tests.unit.compute.volumes.service import Service

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_a_backup_is_taken(service: Service) -> None:
    volume = service.member.make_volume(size=2)
    document = {"backup": {"volume_id": volume["id"], "name": "b", "container": "weekly"}}
    made = service.member.post("/backups", document)["backup"]
    assert (made["name"], set(made)) == ("b", {"id", "name", "links"})
    assert service.member.volume(volume["id"])["status"] == "backing-up"
    service.member.post("/backups", document, 400)
    service.work()
    shown = service.member.get(f"/backups/{made['id']}")["backup"]
    assert (shown["status"], shown["size"], shown["container"]) == ("available", 2, "weekly")
    assert shown["volume_id"] == volume["id"]
    assert not shown["is_incremental"]
    assert service.member.volume(volume["id"])["status"] == "available"
    assert [key.split()[0] for key in service.archive.backups] == [f"s3://backups/{service.member.project_id}/weekly"]


def test_incremental_ones_need_one_before(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    document = {"backup": {"volume_id": volume_id, "incremental": True}}
    service.member.post("/backups", document, 400)
    first = service.member.make_backup(volume_id, container="monthly")
    second = service.member.make_backup(volume_id, incremental=True)
    assert (second["is_incremental"], second["container"]) == (True, "monthly")
    service.member.delete(f"/backups/{first['id']}")
    service.work()
    assert service.member.get(f"/backups/{second['id']}")["backup"]["status"] == "available"


def test_what_is_in_use_takes_force(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-attach", {"host_name": "h", "mountpoint": "/dev/vdb"})
    service.member.post("/backups", {"backup": {"volume_id": volume_id}}, 400)
    service.member.make_backup(volume_id, force=True)
    assert service.member.volume(volume_id)["status"] == "in-use"


def test_backups_that_cannot_be(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    other = service.member.make_snapshot(service.member.make_volume()["id"])
    for attributes, status in (
        ({"volume_id": UNKNOWN}, 404),
        ({"volume_id": volume_id, "snapshot_id": UNKNOWN}, 404),
        ({"volume_id": volume_id, "snapshot_id": other["id"]}, 400),
        ({"volume_id": volume_id, "container": "../elsewhere"}, 400),
        ({}, 400),
    ):
        service.member.post("/backups", {"backup": attributes}, status)
    service.stranger.post("/backups", {"backup": {"volume_id": volume_id}}, 404)
    service.reader.post("/backups", {"backup": {"volume_id": volume_id}}, 403)


def test_a_volume_has_one_backup_taken_at_a_time(service: Service) -> None:
    """What an interrupted one has left is found by what was there before: of two nobody could tell whose it is."""
    volume_id = service.member.make_volume()["id"]
    kept = [service.member.make_snapshot(volume_id)["id"] for _ in range(2)]
    documents = [{"backup": {"volume_id": volume_id, "snapshot_id": each}} for each in kept]
    service.member.post("/backups", documents[0])
    service.member.post("/backups", documents[1], 400)
    service.member.post("/backups", {"backup": {"volume_id": volume_id}}, 400)
    service.work()
    service.member.post("/backups", documents[1])
    service.work()
    assert len(service.archive.backups) == 2


def test_restoring(service: Service) -> None:
    volume = service.member.make_volume(size=2, metadata={"a": "b"}, imageRef=service.images.put())
    backup = service.member.make_backup(volume["id"])
    path = f"/backups/{backup['id']}/restore"
    told = service.member.post(path, {"restore": {}})["restore"]
    assert told["volume_name"] == f"restore_backup_{backup['id']}"
    assert service.member.volume(told["volume_id"])["status"] == "restoring-backup"
    assert service.member.get(f"/backups/{backup['id']}")["backup"]["status"] == "restoring"
    service.member.post(path, {"restore": {}}, 400)
    service.work()
    restored = service.member.volume(told["volume_id"])
    assert (restored["status"], restored["bootable"], restored["metadata"], restored["size"]) == (
        "available",
        "true",
        {"a": "b"},
        2,
    )
    small = service.member.make_volume(size=1)
    service.member.post(path, {"restore": {"volume_id": small["id"]}}, 400)
    service.member.post(path, {"restore": {"volume_id": UNKNOWN}}, 404)
    service.stranger.post(path, {"restore": {}}, 404)
    made = service.member.make_volume(size=3, backup_id=backup["id"])
    assert (made["size"], made["bootable"]) == (3, "true")


def test_a_backup_outlives_its_volume(service: Service) -> None:
    volume = service.member.make_volume()
    backup = service.member.make_backup(volume["id"])
    service.member.delete(f"/volumes/{volume['id']}")
    service.work()
    service.member.post(f"/backups/{backup['id']}/restore", {"restore": {"name": "again"}})
    service.work()
    assert [each["name"] for each in service.member.get("/volumes")["volumes"]] == ["again"]


def test_changing_and_deleting(service: Service) -> None:
    path = f"/backups/{service.member.make_backup(service.member.make_volume()['id'])['id']}"
    service.member.put(path, {"backup": {"name": "n", "description": "d", "metadata": {"a": "b"}}})
    shown = service.member.get(path)["backup"]
    assert (shown["name"], shown["description"], shown["metadata"]) == ("n", "d", {"a": "b"})
    service.member.put(path, {"backup": {}}, 400)
    service.member.speaking("volume 3.8").put(path, {"backup": {"name": "x"}}, 404)
    service.member.delete(path)
    service.work()
    service.member.get(path, 404)


def test_records_are_exported_and_imported_by_administrators(service: Service) -> None:
    path = f"/backups/{service.member.make_backup(service.member.make_volume()['id'])['id']}"
    service.member.get(f"{path}/export_record", 403)
    record = service.admin.get(f"{path}/export_record")["backup-record"]
    service.admin.post("/backups/import_record", {"backup-record": record}, 400)  # it is there already
    told = json.loads(base64.b64decode(record["backup_url"]))
    told["id"] = str(uuid.uuid4())
    record["backup_url"] = base64.b64encode(json.dumps(told).encode()).decode()
    service.member.post("/backups/import_record", {"backup-record": record}, 403)
    made = service.admin.post("/backups/import_record", {"backup-record": record}, 201)["backup"]
    assert made["id"] == told["id"]
    service.admin.post(f"/backups/{made['id']}/restore", {"restore": {}})
    service.work()
    service.admin.delete(f"/backups/{made['id']}")
    service.work()
    assert len(service.archive.backups) == 1  # the other record is of the same objects
    for wrong in (
        {"backup_service": "other", "backup_url": "x"},
        {"backup_service": record["backup_service"], "backup_url": "?"},
    ):
        service.admin.post("/backups/import_record", {"backup-record": wrong}, 400)


def test_states_set_by_hand(service: Service) -> None:
    path = f"/backups/{service.member.make_backup(service.member.make_volume()['id'])['id']}"
    service.member.post(f"{path}/action", {"os-reset_status": {"status": "error"}}, 403)
    service.admin.post(f"{path}/action", {"os-reset_status": {"status": "error"}})
    service.member.post(f"{path}/restore", {"restore": {}}, 400)
    service.admin.post(f"{path}/action", {"os-reset_status": {"status": "gone"}}, 400)
    service.admin.post(f"{path}/action", {"os-force_delete": {}})
    service.work()
    service.member.get(path, 404)


def test_a_volume_changes_hands_with_its_snapshots(service: Service) -> None:
    volume = service.member.make_volume(size=2)
    service.member.make_snapshot(volume["id"])
    made = service.member.post("/volume-transfers", {"transfer": {"volume_id": volume["id"], "name": "t"}})["transfer"]
    assert service.member.volume(volume["id"])["status"] == "awaiting-transfer"
    shown = service.member.get(f"/volume-transfers/{made['id']}")["transfer"]
    assert "auth_key" not in shown
    assert len(service.member.get("/os-volume-transfer")["transfers"]) == 1
    path = f"/volume-transfers/{made['id']}/accept"
    service.stranger.get(f"/volume-transfers/{made['id']}", 404)
    service.stranger.post(path, {"accept": {"auth_key": "guess"}}, 404)
    service.member.post(path, {"accept": {"auth_key": "guess"}}, 400)
    service.stranger.post(path, {"accept": {"auth_key": made["auth_key"]}})
    taken = service.stranger.volume(volume["id"])
    assert (taken["status"], taken["user_id"]) == ("available", "user-bob")
    service.member.get(f"/volumes/{volume['id']}", 404)
    assert len(service.stranger.get("/snapshots")["snapshots"]) == 1
    service.stranger.post(path, {"accept": {"auth_key": made["auth_key"]}}, 404)


def test_a_transfer_counts_against_who_takes_it(service: Service) -> None:
    volume = service.member.make_volume()
    service.admin.put(f"/os-quota-sets/{service.stranger.project_id}", {"quota_set": {"volumes": 0}})
    made = service.member.post("/os-volume-transfer", {"transfer": {"volume_id": volume["id"]}})["transfer"]
    accept = {"accept": {"auth_key": made["auth_key"]}}
    service.stranger.post(f"/os-volume-transfer/{made['id']}/accept", accept, 413)
    service.member.delete(f"/os-volume-transfer/{made['id']}")
    assert service.member.volume(volume["id"])["status"] == "available"


def test_what_cannot_be_offered(service: Service) -> None:
    volume = service.member.make_volume()
    service.member.make_snapshot(volume["id"])
    service.member.post("/volume-transfers", {"transfer": {"volume_id": volume["id"], "no_snapshots": True}}, 400)
    service.member.act(volume["id"], "os-reserve")
    service.member.post("/volume-transfers", {"transfer": {"volume_id": volume["id"]}}, 400)
    service.member.post("/volume-transfers", {"transfer": {"volume_id": UNKNOWN}}, 404)
    service.member.speaking("volume 3.54").get("/volume-transfers", 404)


def test_backups_of_encrypted_volumes_are_sealed_and_stay_so(service: Service) -> None:
    kind = service.admin.post("/types", {"volume_type": {"name": "sealed"}}, 200)["volume_type"]
    encryption = {"encryption": {"provider": "luks", "control_location": "back-end"}}
    service.admin.post(f"/types/{kind['id']}/encryption", encryption, 200)
    service.member.make_backup(service.member.make_volume()["id"])
    assert not service.archive.sealed
    backup = service.member.make_backup(service.member.make_volume(volume_type="sealed")["id"])
    assert len(service.archive.sealed) == 1
    path = f"/backups/{backup['id']}/restore"
    plain = service.member.make_volume()
    service.member.post(path, {"restore": {"volume_id": plain["id"]}}, 400)
    wanted = {"volume": {"size": 1, "backup_id": backup["id"], "volume_type": "__DEFAULT__"}}
    service.member.post("/volumes", wanted, 400)
    told = service.member.post(path, {"restore": {}})["restore"]
    service.work()
    assert service.member.volume(told["volume_id"])["encrypted"]
