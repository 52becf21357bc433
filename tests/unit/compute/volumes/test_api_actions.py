"""What is done to volumes and snapshots beside making and deleting them."""

from typing import Any

import pytest

from tests.unit.compute.volumes.service import Service

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_extending(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-extend", {"new_size": 3})
    shown = service.member.volume(volume_id)
    assert (shown["status"], shown["size"]) == ("extending", 1)
    service.work()
    shown = service.member.volume(volume_id)
    assert (shown["status"], shown["size"]) == ("available", 3)
    assert service.gateway.volumes[f"volume-{volume_id}"].size == 3 << 30


@pytest.mark.parametrize("about", [{"new_size": 0}, {"new_size": 1}, {"new_size": "abc"}, {"new_size": None}, {}, None])
def test_extending_to_what_is_not_larger_is_refused(service: Service, about: Any) -> None:
    service.member.act(service.member.make_volume()["id"], "os-extend", about, 400)


def test_extending_while_in_use_takes_a_version(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-attach", {"host_name": "h", "mountpoint": "/dev/vdb"})
    service.member.speaking("volume 3.41").act(volume_id, "os-extend", {"new_size": 2}, 400)
    service.member.act(volume_id, "os-extend", {"new_size": 2})
    service.work()
    assert service.member.volume(volume_id)["status"] == "in-use"
    service.admin.act(volume_id, "os-extend_volume_completion", {}, 400)


def test_an_unknown_action_is_refused(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-explode", {}, 400)
    document = {"os-reserve": None, "os-extend": {"new_size": 2}}
    service.member.post(f"/volumes/{volume_id}/action", document, 400)
    service.member.act(UNKNOWN, "os-reserve", status=404)


def test_bootable_and_read_only(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    for value, shown in ((True, "true"), ("False", "false")):
        service.member.act(volume_id, "os-set_bootable", {"bootable": value}, 200)
        assert service.member.volume(volume_id)["bootable"] == shown
    service.member.act(volume_id, "os-set_bootable", {"bootable": "maybe"}, 400)
    service.member.act(volume_id, "os-update_readonly_flag", {"readonly": "true"})
    assert service.member.volume(volume_id)["metadata"] == {"readonly": "True"}


def test_image_metadata(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    told = service.member.act(volume_id, "os-set_image_metadata", {"metadata": {"os": "linux"}}, 200)
    assert told == {"metadata": {"os": "linux"}}
    assert service.member.act(volume_id, "os-show_image_metadata", None, 200) == told
    assert len(service.member.get("/volumes?glance_metadata={'os': 'linux'}")["volumes"]) == 1
    service.member.act(volume_id, "os-unset_image_metadata", {"key": "os"}, 200)
    service.member.act(volume_id, "os-unset_image_metadata", {"key": "os"}, 404)
    assert "volume_image_metadata" not in service.member.volume(volume_id)


def test_resetting_a_state_is_for_administrators(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-reset_status", {"status": "error"}, 403)
    service.admin.act(volume_id, "os-reset_status", {"status": "error"})
    assert service.member.volume(volume_id)["status"] == "error"
    service.admin.act(volume_id, "os-reset_status", {"status": "nothing"}, 400)
    service.admin.act(volume_id, "os-reset_status", {}, 400)


def test_reverting_goes_to_the_newest_snapshot_only(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    old = service.member.make_snapshot(volume_id)
    new = service.member.make_snapshot(volume_id)
    service.member.act(volume_id, "revert", {"snapshot_id": old["id"]}, 400)
    service.member.act(volume_id, "revert", {"snapshot_id": UNKNOWN}, 404)
    service.member.speaking("volume 3.39").act(volume_id, "revert", {"snapshot_id": new["id"]}, 404)
    service.member.act(volume_id, "revert", {"snapshot_id": new["id"]})
    assert service.member.get(f"/snapshots/{new['id']}")["snapshot"]["status"] == "restoring"
    service.member.act(volume_id, "revert", {"snapshot_id": new["id"]}, 409)
    service.work()
    assert service.member.volume(volume_id)["status"] == "available"
    service.member.act(volume_id, "os-extend", {"new_size": 2})
    service.work()
    service.member.act(volume_id, "revert", {"snapshot_id": new["id"]}, 400)


def test_retyping(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.admin.post("/types", {"volume_type": {"name": "other"}}, 200)
    service.member.act(volume_id, "os-retype", {"new_type": "__DEFAULT__"}, 400)
    service.member.act(volume_id, "os-retype", {"new_type": "nothing"}, 404)
    service.member.act(volume_id, "os-retype", {"new_type": "other", "migration_policy": "sometimes"}, 400)
    service.member.act(volume_id, "os-retype", {"new_type": "other", "migration_policy": "never"})
    assert service.member.volume(volume_id)["status"] == "retyping"
    service.work()
    shown = service.member.volume(volume_id)
    assert (shown["status"], shown["volume_type"]) == ("available", "other")


def test_retyping_to_an_encrypted_type_is_refused(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    kind = service.admin.post("/types", {"volume_type": {"name": "sealed"}}, 200)["volume_type"]
    encryption = {"encryption": {"provider": "luks", "control_location": "front-end"}}
    service.admin.post(f"/types/{kind['id']}/encryption", encryption, 200)
    service.member.act(volume_id, "os-retype", {"new_type": "sealed"}, 400)


def test_uploading(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    about = {"hw_disk_bus": "virtio", "image_id": "x"}
    service.member.act(volume_id, "os-set_image_metadata", {"metadata": about}, 200)
    wanted = {"image_name": "mine", "disk_format": "qcow2", "visibility": "shared", "protected": "true"}
    told = service.member.act(volume_id, "os-volume_upload_image", wanted)["os-volume_upload_image"]
    assert (told["status"], told["image_name"], told["disk_format"]) == ("uploading", "mine", "qcow2")
    assert service.member.volume(volume_id)["status"] == "uploading"
    assert service.images.announced == {told["image_id"]}
    service.work()
    assert service.member.volume(volume_id)["status"] == "available"
    image = service.images.uploaded[told["image_id"]]
    assert (image.owner, image.visibility, image.protected) == (service.member.project_id, "shared", True)
    assert image.properties == {"hw_disk_bus": "virtio"}
    for wrong in (
        {"image_name": ""},
        {"image_name": "x", "disk_format": "vdi"},
        {"image_name": "x", "container_format": "ova"},
    ):
        service.member.act(volume_id, "os-volume_upload_image", wrong, 400)


def test_only_administrators_make_public_images(service: Service) -> None:
    volume_id, wanted = service.member.make_volume()["id"], {"image_name": "ours", "visibility": "public"}
    service.member.act(volume_id, "os-volume_upload_image", wanted, 403)
    told = service.admin.act(volume_id, "os-volume_upload_image", wanted)["os-volume_upload_image"]
    service.work()
    assert service.images.uploaded[told["image_id"]].visibility == "public"


def test_snapshots_of_what_is_in_use(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-attach", {"host_name": "h", "mountpoint": "/dev/vdb"})
    old = service.member.speaking("volume 3.65")
    old.post("/snapshots", {"snapshot": {"volume_id": volume_id}}, 400)
    old.post("/snapshots", {"snapshot": {"volume_id": volume_id, "force": True}})
    service.member.post("/snapshots", {"snapshot": {"volume_id": volume_id}})
    service.member.post("/snapshots", {"snapshot": {"volume_id": volume_id, "force": False}}, 400)
    service.work()
    assert {each["status"] for each in service.member.get("/snapshots")["snapshots"]} == {"available"}


def test_a_snapshot_is_shown_and_changed(service: Service) -> None:
    volume = service.member.make_volume(size=2)
    made = service.member.make_snapshot(volume["id"], name="s", metadata={"a": "b"})
    assert (made["size"], made["metadata"], made["os-extended-snapshot-attributes:progress"]) == (2, {"a": "b"}, "100%")
    path = f"/snapshots/{made['id']}"
    assert service.member.put(path, {"snapshot": {"name": "t", "description": "d"}})["snapshot"]["name"] == "t"
    service.member.put(path, {"snapshot": {}}, 400)
    assert service.member.post(f"{path}/metadata", {"metadata": {"c": "d"}}, 200)["metadata"] == {"a": "b", "c": "d"}
    service.stranger.get(path, 404)
    service.stranger.delete(path, 404)
    service.reader.delete(path, 403)
    service.member.post("/snapshots", {"snapshot": {"volume_id": UNKNOWN}}, 404)
    service.member.post("/snapshots", {"snapshot": {}}, 400)


def test_a_snapshot_whose_clone_is_being_made_stays(service: Service) -> None:
    made = service.member.make_snapshot(service.member.make_volume()["id"])
    service.member.post("/volumes", {"volume": {"snapshot_id": made["id"]}})
    service.member.delete(f"/snapshots/{made['id']}", 400)
    service.work()
    service.member.delete(f"/snapshots/{made['id']}")
    service.work()
    service.member.get(f"/snapshots/{made['id']}", 404)


def test_states_of_snapshots_set_by_hand(service: Service) -> None:
    path = f"/snapshots/{service.member.make_snapshot(service.member.make_volume()['id'])['id']}"
    service.member.post(f"{path}/action", {"os-reset_status": {"status": "error"}}, 403)
    service.admin.post(f"{path}/action", {"os-reset_status": {"status": "creating"}})
    service.member.delete(path, 400)
    service.member.post(f"{path}/action", {"os-update_snapshot_status": {"status": "error", "progress": "80%"}})
    assert service.member.get(path)["snapshot"]["os-extended-snapshot-attributes:progress"] == "80%"
    service.admin.post(f"{path}/action", {"os-update_snapshot_status": {"status": "available"}}, 400)
    service.admin.post(f"{path}/action", {"os-reset_status": {"status": "deleting"}})
    service.admin.post(f"{path}/action", {"os-force_delete": {}})
    service.work()
    service.member.get(path, 404)


def test_what_failed_is_told(service: Service) -> None:
    wanted = {"volume": {"size": 1, "imageRef": service.images.put()}}
    volume_id = service.member.post("/volumes", wanted)["volume"]["id"]
    service.images.images.clear()
    service.work()
    (told,) = service.member.get("/messages")["messages"]
    assert (told["resource_uuid"], told["message_level"], told["resource_type"]) == (volume_id, "ERROR", "VOLUME")
    assert told["user_message"].startswith("create volume: there is no image")
    assert service.stranger.get("/messages") == {"messages": []}
    service.stranger.get(f"/messages/{told['id']}", 404)
    service.member.delete(f"/messages/{told['id']}", 204)
    service.member.get(f"/messages/{told['id']}", 404)
