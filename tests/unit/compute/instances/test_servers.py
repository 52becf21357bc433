"""Servers: made, shown, listed, changed, deleted."""

import re
from typing import Any

import pytest

from tests.unit.compute.instances.service import Service


def test_a_server_is_made_of_an_image(service: Service) -> None:
    image_id = service.images.put(data=b"golden")
    network_id = service.network.put()
    made = service.make_server(imageRef=image_id, networks=[{"uuid": network_id}], metadata={"a": "b"})
    assert made["OS-EXT-STS:vm_state"] == "active"
    assert made["OS-EXT-STS:power_state"] == 1
    assert made["image"]["id"] == image_id
    assert [each["OS-EXT-IPS:type"] for each in made["addresses"]["net"]] == ["fixed"]
    host = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]]
    guest = host.guests[made["id"]].guest
    assert service.gateway.volumes[f"server-{made['id']}"].data == b"golden"
    assert guest.disks[0].size == 1 << 30  # as the flavor says
    assert guest.disks[0].export.startswith(f"server-{made['id']}~{made['id']}-0~")
    assert guest.told.meta_data["meta"] == {"a": "b"}
    assert [nic.network_id for nic in guest.nics] == [network_id]


def test_a_server_that_is_deleted_leaves_nothing(service: Service) -> None:
    volume_id = service.volumes.put()
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume_id}})
    service.work()
    assert len(service.leftovers()) == 4
    service.member.delete(f"/servers/{made['id']}")
    service.work()
    assert service.leftovers() == []
    service.member.get(f"/servers/{made['id']}", 404)


def test_a_server_boots_from_volumes_of_all_kinds(service: Service) -> None:
    """Nova's block_device_mapping_v2, all sources."""
    image_id = service.images.put()
    snapshot_id = service.volumes.put_snapshot(size=2)
    volume_id = service.volumes.put(size=3)
    mapping: list[dict[str, Any]] = [
        {"source_type": "image", "destination_type": "volume", "uuid": image_id, "volume_size": 5, "boot_index": 0},
        {"source_type": "snapshot", "destination_type": "volume", "uuid": snapshot_id, "delete_on_termination": True},
        {"source_type": "volume", "destination_type": "volume", "uuid": volume_id, "tag": "data"},
        {"source_type": "blank", "destination_type": "volume", "volume_size": 7, "boot_index": -1},
    ]
    made = service.make_server(block_device_mapping_v2=mapping)
    assert made["image"] == ""
    host = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]]
    sizes = [disk.size >> 30 for disk in host.guests[made["id"]].guest.disks]
    assert sizes == [5, 2, 3, 7]
    assert {each.status for each in service.volumes.attachments.values()} == {"attached"}
    service.member.delete(f"/servers/{made['id']}")
    service.work()
    assert service.leftovers() == []
    assert len(service.volumes.volumes) == 3  # without the one of the snapshot


def test_no_token_of_a_user_stays_in_the_database_unsealed(service: Service) -> None:
    mapping = [{"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": 0}]
    service.begin_server(block_device_mapping_v2=mapping)
    (operation,) = service.operations()
    assert "alice" not in str(operation.details)


@pytest.mark.parametrize(
    ("attributes", "status", "words"),
    [
        ({"flavorRef": "none"}, 400, "Flavor none could not be found"),
        ({"imageRef": "11111111-1111-1111-1111-111111111111"}, 400, "Can not find requested image"),
        ({"networks": [{"uuid": "11111111-1111-1111-1111-111111111111"}]}, 400, "Network .* could not be found"),
        ({"key_name": "none"}, 400, "Invalid key_name"),
        ({"security_groups": [{"name": "none"}]}, 400, "Security group none"),
        ({"availability_zone": "mars"}, 400, "availability zone"),
        ({"user_data": "not base64 at all!"}, 400, "user_data|base 64"),
        ({"min_count": 3, "max_count": 2}, 400, "min_count"),
        ({"max_count": 11, "min_count": 11}, 403, "Quota exceeded"),
        ({"personality": []}, 400, "personality"),
        ({"block_device_mapping_v2": [{"source_type": "blank", "destination_type": "local"}]}, 400, "Boot sequence"),
    ],
)
def test_what_cannot_be_is_refused(service: Service, attributes: Any, status: int, words: str) -> None:
    wanted = {"name": "web", "flavorRef": "1", "networks": "none", **attributes}
    if "imageRef" not in wanted and "block_device_mapping_v2" not in wanted:
        wanted["imageRef"] = service.images.put()
    answer = service.member.request("POST", "/servers", {"server": wanted}, status)
    assert re.search(words, answer.text), answer.text
    assert service.operations() == []


@pytest.mark.parametrize(
    ("action", "about"), [("os-stop", None), ("resize", {"flavorRef": "2"}), ("shelve", None), ("rebuild", {})]
)
def test_how_long_a_guest_is_let_end_by_itself_its_image_may_say(service: Service, action: str, about: Any) -> None:
    """Nova's documentation of images' properties, os_shutdown_timeout."""
    image_id = service.images.put(properties={"os_shutdown_timeout": "7"})
    made = service.make_server(imageRef=image_id)
    service.act(made["id"], action, {"imageRef": image_id} if about == {} else about)
    assert [each for host in service.hosts.by_name.values() for each in host.patience_s if each] == [7.0]


def test_no_host_has_room(service: Service) -> None:
    for name in ("one", "two"):
        service.see(name, memory_mib=128)
    made = service.make_server("ERROR")
    assert "No valid host" in made["fault"]["message"]
    assert service.leftovers() == []
    service.member.delete(f"/servers/{made['id']}")
    service.work()
    service.member.get(f"/servers/{made['id']}", 404)


def test_a_host_that_refuses_is_not_the_last_one(service: Service) -> None:
    service.hosts.by_name["one"].refuses = "no such machine"
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    assert made["OS-EXT-SRV-ATTR:host"] == "two"
    assert service.hosts.guests() == {made["id"]: ["two"]}
    service.hosts.by_name["two"].refuses = "no such machine"
    failed = service.make_server("ERROR")
    assert "no such machine" in failed["fault"]["message"] or "No valid host" in failed["fault"]["message"]
    assert list(service.hosts.guests()) == [made["id"]]


def test_a_server_can_be_deleted_while_it_is_made(service: Service) -> None:
    image_id = service.images.put()
    service.images.converting.add(image_id)
    server_id = service.begin_server(imageRef=image_id, networks=[{"uuid": service.network.put()}])
    service.work()
    assert service.server(server_id)["status"] == "BUILD"
    service.member.delete(f"/servers/{server_id}")
    assert service.server(server_id)["OS-EXT-STS:task_state"] == "deleting"
    service.settle()
    assert service.leftovers() == []
    service.member.get(f"/servers/{server_id}", 404)


def test_listings(service: Service) -> None:
    first = service.make_server(name="alpha", tags=["x"])
    second = service.make_server(name="beta", tags=["x", "y"])
    service.make_server(name="gamma", client=service.stranger)

    def names(query: str, client: Any = service.member) -> list[str]:
        return [each["name"] for each in client.get(f"/servers/detail?{query}")["servers"]]

    assert names("") == ["beta", "alpha"]
    assert names("name=^al") == ["alpha"]
    assert names("status=ACTIVE&sort_key=display_name&sort_dir=asc") == ["alpha", "beta"]
    assert names("status=SHUTOFF") == []
    assert names("tags=x,y") == ["beta"]
    assert names("not-tags-any=y") == ["alpha"]
    assert names("limit=1") == ["beta"]
    assert names(f"marker={second['id']}") == ["alpha"]
    assert names("all_tenants=1", service.admin) == ["gamma", "beta", "alpha"]
    assert names(f"all_tenants=1&host={first['OS-EXT-SRV-ATTR:host']}", service.admin)
    service.member.get("/servers?all_tenants=1", 403)
    page = service.member.get("/servers?limit=1")
    assert f"marker={second['id']}" in page["servers_links"][0]["href"]


def test_documents_by_version(service: Service) -> None:
    made = service.make_server()
    old = service.member.speaking(1).get(f"/servers/{made['id']}")["server"]
    assert set(old["flavor"]) == {"id", "links"}
    assert "locked" not in old
    new = service.member.get(f"/servers/{made['id']}")["server"]
    assert new["flavor"]["original_name"] == "m1.tiny"
    assert new["locked"] is False
    assert new["server_groups"] == []
    assert "OS-EXT-SRV-ATTR:host" not in new


def test_several_servers_at_once(service: Service) -> None:
    service.begin_server(min_count=2, max_count=2, name="web")
    service.work()
    found = service.member.get("/servers/detail?sort_key=display_name&sort_dir=asc")["servers"]
    assert [each["name"] for each in found] == ["web-1", "web-2"]
    assert [each["status"] for each in found] == ["ACTIVE", "ACTIVE"]


def test_changes(service: Service) -> None:
    made = service.make_server()
    path = f"/servers/{made['id']}"
    changed = service.member.put(path, {"server": {"name": "new", "description": "d"}})["server"]
    assert (changed["name"], changed["description"]) == ("new", "d")
    assert service.member.post(f"{path}/metadata", {"metadata": {"k": "v"}})["metadata"] == {"k": "v"}
    assert service.member.put(f"{path}/metadata/k", {"meta": {"k": "w"}})["meta"] == {"k": "w"}
    service.member.delete(f"{path}/metadata/k")
    assert service.member.get(f"{path}/metadata")["metadata"] == {}
    service.member.put(f"{path}/tags/blue", None, 201)
    assert service.member.get(f"{path}/tags")["tags"] == ["blue"]
    service.reader.request("PUT", path, {"server": {"name": "x"}}, 403)
    service.stranger.request("PUT", path, {"server": {"name": "x"}}, 404)
