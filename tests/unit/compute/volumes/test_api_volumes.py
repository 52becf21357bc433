"""Making, listing, showing, changing and deleting volumes, as clients see it."""

import json
from typing import Any

import pytest

from tests.unit.compute.volumes.service import Service

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def test_a_volume_is_creating_then_available(service: Service) -> None:
    attributes = {"size": "2", "name": " disk ", "description": "mine", "metadata": {"a": "b"}}
    made = service.member.post("/volumes", {"volume": attributes})["volume"]
    assert (made["status"], made["size"], made["name"]) == ("creating", 2, "disk")
    assert "os-vol-tenant-attr:tenant_id" not in made
    service.work()
    shown = service.member.volume(made["id"])
    assert (shown["status"], shown["metadata"], shown["bootable"]) == ("available", {"a": "b"}, "false")
    assert shown["os-vol-tenant-attr:tenant_id"] == service.member.project_id
    assert service.gateway.volumes[f"volume-{made['id']}"].size == 2 << 30


@pytest.mark.parametrize("size", ["#$%", "", "0", "-1", 0, -1, 1.5, None, True, "9" * 30])
def test_a_size_that_is_none_is_refused(service: Service, size: Any) -> None:
    service.member.post("/volumes", {"volume": {"size": size}}, 400)
    assert service.member.get("/volumes") == {"volumes": []}


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"volume_type": UNKNOWN}, 404),
        ({"snapshot_id": UNKNOWN}, 404),
        ({"source_volid": UNKNOWN}, 404),
        ({"imageRef": UNKNOWN}, 400),
        ({"availability_zone": "nowhere"}, 400),
        ({"name": "n" * 256}, 400),
        ({"metadata": {"k": "v" * 256}}, 400),
        ({"metadata": {"": "v"}}, 400),
        ({"snapshot_id": UNKNOWN, "source_volid": UNKNOWN}, 400),
        ({"backup_id": UNKNOWN}, 404),
        ({"group_id": UNKNOWN}, 404),
    ],
)
def test_what_there_is_not_is_refused(service: Service, attributes: dict[str, Any], status: int) -> None:
    service.member.post("/volumes", {"volume": {"size": 1, **attributes}}, status)
    assert service.operations() == []


def test_a_body_without_a_volume_is_refused(service: Service) -> None:
    wrong: tuple[Any, ...] = ({}, {"volume": None}, {"volume": []})
    for document in wrong:
        service.member.post("/volumes", document, 400)


def test_a_volume_of_a_snapshot_is_a_clone_of_its_size_or_larger(service: Service) -> None:
    snapshot = service.member.make_snapshot(service.member.make_volume(size=2)["id"])
    service.member.post("/volumes", {"volume": {"snapshot_id": snapshot["id"], "size": 1}}, 400)
    made = service.member.post("/volumes", {"volume": {"snapshot_id": snapshot["id"]}})["volume"]
    assert (made["size"], made["snapshot_id"]) == (2, snapshot["id"])
    service.work()
    assert service.gateway.volumes[f"volume-{made['id']}"].parent is not None


def test_a_volume_of_an_image_knows_its_image(service: Service) -> None:
    image_id = service.images.put(size=3 << 30, min_disk=2)
    refused = service.member.post("/volumes", {"volume": {"size": 2, "imageRef": image_id}}, 400)
    assert "minDisk" in refused["badRequest"]["message"]
    made = service.member.make_volume(size=4, imageRef=image_id)
    assert made["bootable"] == "true"
    assert made["volume_image_metadata"]["image_id"] == image_id
    copy = service.member.make_volume(size=4, source_volid=made["id"])
    assert (copy["bootable"], copy["volume_image_metadata"]) == ("true", made["volume_image_metadata"])


def test_an_image_that_is_not_active_is_refused(service: Service) -> None:
    image_id = service.images.put(status="deactivated")
    service.member.post("/volumes", {"volume": {"size": 1, "imageRef": image_id}}, 400)


def image_of_snapshots(service: Service, *snapshots: tuple[str, int | None]) -> str:
    """Return an image as the compute service makes it of a server's volumes, with their boot indexes."""
    mapping = [
        {"source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot_id, "boot_index": index}
        for snapshot_id, index in snapshots
    ]
    return service.images.put(size=0, data=b"", about={"block_device_mapping": json.dumps(mapping)})


def test_a_volume_of_an_image_that_consists_of_snapshots_is_one_of_the_first(service: Service) -> None:
    """Cinder, 3.46: what `server image create` of a server that begins with a volume makes."""
    root = service.member.make_volume(size=2, imageRef=service.images.put(data=b"root"))
    other = service.member.make_volume(size=3)
    snapshots = [service.member.make_snapshot(each["id"])["id"] for each in (other, root)]
    image_id = image_of_snapshots(service, (snapshots[0], None), (snapshots[1], 0))
    refused = service.member.post("/volumes", {"volume": {"size": 1, "imageRef": image_id}}, 400)
    assert "smaller than the snapshot size 2GB" in refused["badRequest"]["message"]
    made = service.member.make_volume(size=4, imageRef=image_id)
    assert (made["size"], made["bootable"], made["snapshot_id"]) == (4, "true", snapshots[1])
    assert made["volume_image_metadata"] == root["volume_image_metadata"]
    assert service.gateway.volumes[f"volume-{made['id']}"].data == b"root"


def test_an_image_of_snapshots_shows_nobody_the_snapshots_of_others(service: Service) -> None:
    snapshot = service.member.make_snapshot(service.member.make_volume()["id"])
    image_id = image_of_snapshots(service, (snapshot["id"], 0))
    service.stranger.post("/volumes", {"volume": {"size": 1, "imageRef": image_id}}, 404)
    gone = image_of_snapshots(service, (UNKNOWN, 0))
    service.member.post("/volumes", {"volume": {"size": 1, "imageRef": gone}}, 404)


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[{"source_type": "snapshot", "boot_index": 0}]'])
def test_what_is_no_mapping_is_a_property_like_others(service: Service, text: str) -> None:
    image_id = service.images.put(data=b"data", about={"block_device_mapping": text})
    made = service.member.make_volume(size=1, imageRef=image_id)
    assert service.gateway.volumes[f"volume-{made['id']}"].data == b"data"


def test_a_volume_waits_for_its_image_to_be_converted(service: Service) -> None:
    image_id = service.images.put()
    service.images.converting.add(image_id)
    volume_id = service.member.post("/volumes", {"volume": {"size": 1, "imageRef": image_id}})["volume"]["id"]
    for _ in range(50):  # longer than one has patience with a gateway
        service.clock.now_us += 60_000_000
        service.work()
    assert service.member.volume(volume_id)["status"] == "creating"
    service.images.converting.clear()
    service.settle()
    assert service.member.volume(volume_id)["status"] == "available"


def test_strangers_see_nothing(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    assert service.stranger.get("/volumes") == {"volumes": []}
    service.stranger.get(f"/volumes/{volume_id}", 404)
    service.stranger.put(f"/volumes/{volume_id}", {"volume": {"name": "x"}}, 404)
    service.stranger.delete(f"/volumes/{volume_id}", 404)
    service.stranger.act(volume_id, "os-extend", {"new_size": 2}, 404)
    service.stranger.post("/volumes", {"volume": {"size": 1, "source_volid": volume_id}}, 404)


def test_readers_look_and_do_not_touch(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    assert service.reader.volume(volume_id)["id"] == volume_id
    service.reader.post("/volumes", {"volume": {"size": 1}}, 403)
    service.reader.put(f"/volumes/{volume_id}", {"volume": {"name": "x"}}, 403)
    service.reader.delete(f"/volumes/{volume_id}", 403)
    service.reader.act(volume_id, "os-extend", {"new_size": 2}, 403)


def test_an_administrator_sees_all_projects_when_asked_to(service: Service) -> None:
    volume = service.member.make_volume()
    assert service.admin.get("/volumes") == {"volumes": []}
    assert len(service.admin.get("/volumes?all_tenants=1")["volumes"]) == 1
    query = f"all_tenants=True&project_id={volume['os-vol-tenant-attr:tenant_id']}"
    assert len(service.admin.get(f"/volumes/detail?{query}")["volumes"]) == 1
    assert service.stranger.get("/volumes?all_tenants=1") == {"volumes": []}
    assert service.stranger.get(f"/volumes?project_id={service.member.project_id}") == {"volumes": []}


def test_changing_a_volume(service: Service) -> None:
    volume_id = service.member.make_volume(name="before", description="kept")["id"]
    changed = service.member.put(f"/volumes/{volume_id}", {"volume": {"name": "after", "metadata": {"x": "y"}}})
    assert (changed["volume"]["name"], changed["volume"]["description"]) == ("after", "kept")
    assert changed["volume"]["metadata"] == {"x": "y"}
    service.member.put(f"/volumes/{volume_id}", {"volume": {}}, 400)
    service.member.put(f"/volumes/{UNKNOWN}", {"volume": {"name": "x"}}, 404)


def test_metadata_by_itself(service: Service) -> None:
    path = f"/volumes/{service.member.make_volume(metadata={'a': '1'})['id']}/metadata"
    assert service.member.post(path, {"metadata": {"b": "2"}}, 200)["metadata"] == {"a": "1", "b": "2"}
    assert service.member.put(path, {"metadata": {"c": "3"}})["metadata"] == {"c": "3"}
    assert service.member.get(f"{path}/c") == {"meta": {"c": "3"}}
    assert service.member.put(f"{path}/c", {"meta": {"c": "4"}}) == {"meta": {"c": "4"}}
    service.member.put(f"{path}/c", {"meta": {"d": "4"}}, 400)
    service.member.delete(f"{path}/c", 200)
    service.member.delete(f"{path}/c", 404)
    service.member.get(f"{path}/c", 404)
    service.reader.put(path, {"metadata": {}}, 403)


def test_metadata_that_were_changed_by_others_are_not_overwritten(service: Service) -> None:
    path = f"/volumes/{service.member.make_volume(metadata={'a': '1'})['id']}/metadata"
    etag = service.member.request("GET", path).headers["ETag"]
    service.member.put(path, {"metadata": {"a": "2"}})
    service.member.request("PUT", path, {"metadata": {"a": "3"}}, 412, {"If-Match": etag})
    etag = service.member.request("GET", path).headers["ETag"]
    service.member.request("PUT", path, {"metadata": {"a": "3"}}, 200, {"If-Match": etag})


def test_a_volume_is_deleting_then_gone(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.delete(f"/volumes/{volume_id}")
    assert service.member.volume(volume_id)["status"] == "deleting"
    service.member.delete(f"/volumes/{volume_id}", 400)
    service.work()
    service.member.get(f"/volumes/{volume_id}", 404)
    assert service.gateway.volumes == {}


def test_a_volume_with_snapshots_goes_only_with_them(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    snapshot = service.member.make_snapshot(volume_id)
    service.member.delete(f"/volumes/{volume_id}", 400)
    service.member.delete(f"/volumes/{volume_id}?cascade=true")
    service.work()
    service.member.get(f"/snapshots/{snapshot['id']}", 404)


def test_a_volume_is_not_deleted_while_one_is_made_of_it(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.post("/volumes", {"volume": {"source_volid": volume_id}})
    service.member.delete(f"/volumes/{volume_id}", 400)
    service.work()
    service.member.delete(f"/volumes/{volume_id}")


def test_a_volume_that_somebody_is_connected_to_is_not_deleted(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.gateway.in_use.add(f"volume-{volume_id}")
    service.member.delete(f"/volumes/{volume_id}")
    service.settle()
    assert service.member.volume(volume_id)["status"] == "error_deleting"
    service.gateway.in_use.clear()
    service.member.delete(f"/volumes/{volume_id}")
    service.work()
    service.member.get(f"/volumes/{volume_id}", 404)


def test_only_an_administrator_forces(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.admin.act(volume_id, "os-reset_status", {"status": "error_backing-up"})
    service.member.delete(f"/volumes/{volume_id}", 400)
    service.member.delete(f"/volumes/{volume_id}?force=true", 403)
    service.member.act(volume_id, "os-force_delete", status=403)
    service.admin.act(volume_id, "os-force_delete")
    service.work()
    service.member.get(f"/volumes/{volume_id}", 404)


def test_a_summary(service: Service) -> None:
    service.member.make_volume(size=2, metadata={"a": "1"})
    service.member.make_volume(size=3, metadata={"a": "2"})
    service.stranger.make_volume()
    told = service.member.get("/volumes/summary")["volume-summary"]
    assert told == {"total_size": 5, "total_count": 2, "metadata": {"a": ["1", "2"]}}
    told = service.admin.get("/volumes/summary?all_tenants=true")["volume-summary"]
    assert told["total_count"] == 3
