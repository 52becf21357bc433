"""What is done to servers: power, volumes, ports, images, moves."""

import json
from typing import Any

import pytest

from compute.agent.guest import Power
from tests.unit.compute.instances.service import Service


def _guest(service: Service, server: Any) -> Any:
    host = service.server(server["id"])["OS-EXT-SRV-ATTR:host"]
    return service.hosts.by_name[host].guests[server["id"]]


@pytest.mark.parametrize(
    ("there", "power", "status", "back"),
    [
        ("os-stop", Power.OFF, "SHUTOFF", "os-start"),
        ("pause", Power.PAUSED, "PAUSED", "unpause"),
        ("suspend", Power.SUSPENDED, "SUSPENDED", "resume"),
    ],
)
def test_power(service: Service, there: str, power: Power, status: str, back: str) -> None:
    made = service.make_server()
    service.act(made["id"], there)
    assert service.server(made["id"])["status"] == status
    assert _guest(service, made).power is power
    service.act(made["id"], there, status=409)
    service.act(made["id"], back)
    assert service.server(made["id"])["status"] == "ACTIVE"
    assert _guest(service, made).power is Power.RUNNING


def test_a_reboot_is_done_once(service: Service) -> None:
    made = service.make_server()
    service.act(made["id"], "reboot", {"type": "SOFT"})
    service.act(made["id"], "reboot", {"type": "HARD"})
    assert _guest(service, made).beginnings == 3
    assert service.server(made["id"])["status"] == "ACTIVE"
    service.act(made["id"], "reboot", {"type": "GENTLE"}, status=400)


def test_a_guest_that_turns_itself_off_is_a_server_that_is_stopped(service: Service) -> None:
    made = service.make_server()
    _guest(service, made).power = Power.OFF
    service.follow()
    assert service.server(made["id"])["status"] == "SHUTOFF"
    _guest(service, made).power = Power.RUNNING
    service.follow()
    assert service.server(made["id"])["status"] == "ACTIVE"


def test_a_locked_server_is_changed_by_administrators_alone(service: Service) -> None:
    made = service.make_server()
    service.act(made["id"], "lock", {"locked_reason": "mine"})
    assert service.server(made["id"])["locked_reason"] == "mine"
    service.act(made["id"], "os-stop", status=409)
    service.member.request("DELETE", f"/servers/{made['id']}", status=409)
    service.act(made["id"], "os-stop", client=service.admin)
    service.act(made["id"], "unlock")
    service.act(made["id"], "os-start")


def test_volumes_come_and_go(service: Service) -> None:
    made, volume_id = service.make_server(), service.volumes.put()
    path = f"/servers/{made['id']}/os-volume_attachments"
    answer = service.member.post(path, {"volumeAttachment": {"volumeId": volume_id}})["volumeAttachment"]
    assert (answer["device"], answer["volumeId"]) == ("/dev/vdb", volume_id)
    service.work()
    assert service.volumes.show(volume_id).status == "in-use"  # type: ignore[union-attr]
    assert [disk.serial for disk in _guest(service, made).guest.disks][1:] == [volume_id]
    again = service.member.request("POST", path, {"volumeAttachment": {"volumeId": volume_id}}, 400)
    assert "already attached" in again.text
    service.member.put(
        f"{path}/{volume_id}", {"volumeAttachment": {"volumeId": volume_id, "delete_on_termination": True}}, 202
    )
    assert service.member.get(f"{path}/{volume_id}")["volumeAttachment"]["delete_on_termination"] is True
    service.member.delete(f"{path}/{volume_id}", 202)
    service.work()
    assert service.volumes.attachments == {}
    assert len(_guest(service, made).guest.disks) == 1
    service.member.get(f"{path}/{volume_id}", 404)


def test_a_volume_that_a_guest_does_not_let_go_of_stays(service: Service) -> None:
    made, volume_id = service.make_server(), service.volumes.put()
    path = f"/servers/{made['id']}/os-volume_attachments"
    service.member.post(path, {"volumeAttachment": {"volumeId": volume_id}})
    service.work()
    host = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]]
    host.holds_on.add(volume_id)
    service.member.delete(f"{path}/{volume_id}", 202)
    service.settle()
    assert len(service.member.get(path)["volumeAttachments"]) == 1
    assert len(service.volumes.attachments) == 1
    host.holds_on.clear()
    service.member.delete(f"{path}/{volume_id}", 202)
    service.work()
    assert service.volumes.attachments == {}


def test_several_volumes_at_once_are_all_attached(service: Service) -> None:
    made = service.make_server()
    volumes = [service.volumes.put() for _each in range(3)]
    for each in volumes:
        document = {"volumeAttachment": {"volumeId": each}}
        service.member.post(f"/servers/{made['id']}/os-volume_attachments", document)
    service.work()
    assert [disk.serial for disk in _guest(service, made).guest.disks][1:] == volumes


def test_a_volume_that_grows_is_larger_in_the_guest(service: Service) -> None:
    made, volume_id = service.make_server(), service.volumes.put(size=1)
    document = {"volumeAttachment": {"volumeId": volume_id}}
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", document)
    service.work()
    service.volumes.volumes[volume_id] = service.volumes.volumes[volume_id].__class__(
        volume_id, "", "available", 3, True, False, "nova"
    )
    event = {"name": "volume-extended", "server_uuid": made["id"], "tag": volume_id}
    service.member.post("/os-server-external-events", {"events": [event]}, 403)
    service.service_user.post("/os-server-external-events", {"events": [event]})
    assert _guest(service, made).guest.disks[1].size == 3 << 30
    done = service.member.get(f"/servers/{made['id']}/os-instance-actions")["instanceActions"]
    assert done[0]["action"] == "extend_volume"


def test_ports_come_and_go(service: Service) -> None:
    made = service.make_server()
    network_id = service.network.put()
    path = f"/servers/{made['id']}/os-interface"
    answer = service.member.post(path, {"interfaceAttachment": {"net_id": network_id}})["interfaceAttachment"]
    assert answer["port_id"] in service.network.ports
    own = service.network.put_port(network_id)
    service.member.post(path, {"interfaceAttachment": {"port_id": own}})
    service.work()
    assert [nic.port_id for nic in _guest(service, made).guest.nics] == [answer["port_id"], own]
    for port_id in (answer["port_id"], own):
        service.member.delete(f"{path}/{port_id}", 202)
    service.work()
    assert list(service.network.ports) == [own]  # which was there before
    assert service.network.ports[own].device_id == ""
    assert _guest(service, made).guest.nics == ()


def test_an_image_of_a_disk(service: Service) -> None:
    made = service.make_server(imageRef=service.images.put(data=b"data"))
    image_id = service.act(made["id"], "createImage", {"name": "snap", "metadata": {"k": "v"}})["image_id"]
    assert service.images.uploaded[image_id] == b"data"
    assert service.images.announced[image_id]["k"] == "v"
    assert service.gateway.volumes[f"server-{made['id']}"].snapshots == {}
    assert service.server(made["id"])["OS-EXT-STS:task_state"] is None


def test_an_image_of_volumes(service: Service) -> None:
    mapping = [{"source_type": "volume", "destination_type": "volume", "uuid": service.volumes.put(), "boot_index": 0}]
    made = service.make_server(block_device_mapping_v2=mapping)
    image_id = service.act(made["id"], "createImage", {"name": "snap"})["image_id"]
    (device,) = json.loads(service.images.announced[image_id]["block_device_mapping"])
    assert device["snapshot_id"] in service.volumes.snapshots
    assert service.images.uploaded[image_id] == b""


def test_a_resize_can_be_taken_back_or_confirmed(service: Service) -> None:
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    service.act(made["id"], "resize", {"flavorRef": "2"})
    resized = service.server(made["id"])
    assert (resized["status"], resized["flavor"]["ram"]) == ("VERIFY_RESIZE", 2048)
    assert _guest(service, made).guest.memory_mib == 2048
    service.act(made["id"], "revertResize")
    back = service.server(made["id"])
    assert (back["status"], back["flavor"]["ram"]) == ("ACTIVE", 512)
    assert _guest(service, made).guest.memory_mib == 512
    service.act(made["id"], "resize", {"flavorRef": "2"})
    service.act(made["id"], "confirmResize", status=204)
    assert service.server(made["id"])["status"] == "ACTIVE"
    assert _guest(service, made).power is Power.RUNNING
    assert service.gateway.volumes[f"server-{made['id']}"].size == 20 << 30
    service.act(made["id"], "resize", {"flavorRef": "1"}, status=400)  # its disk is smaller


def test_a_migration_goes_to_another_host(service: Service) -> None:
    volume_id = service.volumes.put()
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume_id}})
    service.work()
    source = made["OS-EXT-SRV-ATTR:host"]
    service.act(made["id"], "migrate", client=service.admin)
    moved = service.server(made["id"])
    assert moved["status"] == "VERIFY_RESIZE", moved
    target = moved["OS-EXT-SRV-ATTR:host"]
    assert service.hosts.guests() == {made["id"]: [target]}
    assert target != source
    assert [each.host for each in service.volumes.attachments.values()] == [target]
    assert service.gateway.dismissed  # whoever had its own disk
    assert set(service.network.hosts.values()) == {target}
    service.act(made["id"], "revertResize")
    assert service.hosts.guests() == {made["id"]: [source]}
    found = service.admin.get("/os-migrations")["migrations"]
    assert [(each["migration_type"], each["status"]) for each in found] == [("migration", "reverted")]


def test_a_lost_host_is_evacuated_and_writes_no_more(service: Service) -> None:
    volume_id = service.volumes.put()
    made = service.make_server()
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume_id}})
    service.work()
    source = made["OS-EXT-SRV-ATTR:host"]
    (attachment_id,) = service.volumes.attachments
    service.act(made["id"], "evacuate", {}, 400, service.admin)  # the host is there
    service.lose(source)
    service.act(made["id"], "evacuate", {}, 200, service.admin)
    moved = service.server(made["id"])
    assert moved["status"] == "ACTIVE"
    assert moved["OS-EXT-SRV-ATTR:host"] != source
    assert (f"server-{made['id']}", f"{made['id']}-0") in service.gateway.dismissed
    assert service.volumes.released == [attachment_id]
    service.find(source)
    assert len(service.hosts.guests()[made["id"]]) == 2  # it came back with what it had
    assert service.reconcile() == 1
    assert service.hosts.guests() == {made["id"]: [moved["OS-EXT-SRV-ATTR:host"]]}


def test_a_rebuilt_server_is_the_same_with_another_disk(service: Service) -> None:
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    image_id = service.images.put(data=b"other")
    answer = service.act(made["id"], "rebuild", {"imageRef": image_id, "name": "new"})["server"]
    assert answer["status"] == "REBUILD"
    rebuilt = service.server(made["id"])
    assert (rebuilt["status"], rebuilt["name"], rebuilt["image"]["id"]) == ("ACTIVE", "new", image_id)
    assert rebuilt["addresses"] == made["addresses"]
    assert service.gateway.volumes[f"server-{made['id']}"].data == b"other"


def of_volume(service: Service, gigabytes: int = 5) -> Any:
    """Return a server that begins with a volume."""
    volume_id = service.volumes.put(size=gigabytes)
    volume = {"source_type": "volume", "destination_type": "volume", "uuid": volume_id, "boot_index": 0}
    return service.make_server(block_device_mapping_v2=[volume])


def test_a_server_that_begins_with_a_volume_is_rebuilt_by_filling_that(service: Service) -> None:
    """Nova, 2.93. Nobody else gets the volume meanwhile; the server still has no image."""
    made = of_volume(service)
    (volume,) = made["os-extended-volumes:volumes_attached"]
    image_id = service.images.put(data=b"other")
    service.volumes.is_slow = True
    answer = service.act(made["id"], "rebuild", {"imageRef": image_id, "name": "new"})["server"]
    assert (answer["status"], answer["image"]) == ("REBUILD", "")
    assert service.server(made["id"])["status"] == "REBUILD"
    assert service.hosts.guests() == {}
    assert [each.status for each in service.volumes.attachments.values()] == ["reserved"]
    service.volumes.creating.clear()
    service.settle()
    rebuilt = service.server(made["id"])
    assert (rebuilt["status"], rebuilt["name"], rebuilt["image"]) == ("ACTIVE", "new", "")
    assert service.volumes.filled == {volume["id"]: image_id}
    assert [each.status for each in service.volumes.attachments.values()] == ["attached"]


def test_a_volume_that_cannot_be_filled_is_not_begun_with(service: Service) -> None:
    made = of_volume(service)
    path = f"/servers/{made['id']}/action"
    service.member.speaking(92).post(path, {"rebuild": {"imageRef": service.images.put()}}, 400)
    of_snapshots = service.images.put(size=0, properties={"block_device_mapping": "[]"})
    for image_id in (service.images.put(size=6 << 30), service.images.put(min_disk=6), of_snapshots):
        service.act(made["id"], "rebuild", {"imageRef": image_id}, 400)
    assert service.server(made["id"])["status"] == "ACTIVE"
    assert service.volumes.filled == {}


@pytest.mark.parametrize(
    ("action", "about", "status"),
    [
        ("os-stop", None, "SHUTOFF"),
        ("shelve", None, "SHELVED_OFFLOADED"),
        ("resize", {"flavorRef": "2"}, "VERIFY_RESIZE"),
        ("rebuild", {}, "ACTIVE"),
        ("rescue", {}, "RESCUE"),
    ],
)
def test_a_guest_that_ends_by_itself_is_waited_for(service: Service, action: str, about: Any, status: str) -> None:
    """As in Nova: until it is off the server is what it was, and nothing is done to its disks."""
    made = service.make_server()
    host = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]]
    host.lingers = 100
    if action == "rebuild":
        about = {"imageRef": service.images.put(data=b"other")}
    before = {name: dict(each.snapshots) for name, each in service.gateway.volumes.items()}
    service.act(made["id"], action, about, 200 if action == "rescue" else 202)
    service.follow()
    found = service.server(made["id"])
    assert found["OS-EXT-STS:vm_state"] == "active"
    assert found["OS-EXT-STS:task_state"] is not None
    assert host.guests[made["id"]].power is Power.RUNNING
    assert {name: each.snapshots for name, each in service.gateway.volumes.items() if name in before} == before
    service.settle()
    assert service.server(made["id"])["status"] == status
    assert host.lingers == 0


def test_a_shelved_server_takes_nothing_of_a_host(service: Service) -> None:
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    service.act(made["id"], "shelve")
    assert service.server(made["id"])["status"] == "SHELVED_OFFLOADED"
    assert service.hosts.guests() == {}
    volume_id = service.volumes.put()
    document = {"volumeAttachment": {"volumeId": volume_id}}
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", document)
    service.work()
    attached = service.volumes.show(volume_id)
    assert attached is not None
    assert attached.status == "in-use"
    service.act(made["id"], "unshelve")
    assert service.server(made["id"])["status"] == "ACTIVE"
    assert list(service.hosts.guests()) == [made["id"]]
    assert volume_id in [each.serial for each in _guest(service, made).guest.disks]


def test_the_volume_service_learns_by_which_attachment_a_server_has_a_volume(service: Service) -> None:
    """It asks before it lets go of one; it sees nothing else of servers."""
    made = of_volume(service)
    (volume,) = made["os-extended-volumes:volumes_attached"]
    path = f"/servers/{made['id']}/os-volume_attachments/{volume['id']}"
    shown = service.service_user.speaking(89).get(path)["volumeAttachment"]
    assert [shown["attachment_id"]] == list(service.volumes.attachments)
    service.service_user.get(f"/servers/{made['id']}", 404)
    service.service_user.get(f"/servers/{made['id']}/os-volume_attachments", 404)
    service.stranger.get(path, 404)


def test_consoles(service: Service) -> None:
    made = service.make_server()
    assert service.act(made["id"], "os-getConsoleOutput", {"length": 1}, 200)["output"] == "GUEST ready"
    document = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    url = service.member.post(f"/servers/{made['id']}/remote-consoles", document)["remote_console"]["url"]
    token = url.partition("token=")[2]
    service.member.get(f"/os-console-auth-tokens/{token}", 403)
    told = service.service_user.get(f"/os-console-auth-tokens/{token}")["console"]
    assert (told["instance_uuid"], told["port"]) == (made["id"], 5900)
    assert (told["relay_host"], told["relay_port"], told["ticket"]) == ("10.0.0.7", 8830, "a-ticket")
    service.service_user.get(f"/os-console-auth-tokens/{token[:-8]}AAAAAAA=", 404)
    service.stranger.post(f"/servers/{made['id']}/remote-consoles", document, 404)


def test_security_groups_of_a_server(service: Service) -> None:
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    service.act(made["id"], "addSecurityGroup", {"name": "web"})
    (port,) = service.network.ports.values()
    assert set(port.security_groups) == {"group-0", "group-1"}
    service.reconcile()
    found = service.member.get(f"/servers/{made['id']}/os-security-groups")["security_groups"]
    assert {each["name"] for each in found} == {"default", "web"}
    service.act(made["id"], "removeSecurityGroup", {"name": "web"})
    service.act(made["id"], "removeSecurityGroup", {"name": "none"}, 404)


def test_what_was_done_is_told(service: Service) -> None:
    made = service.make_server()
    service.act(made["id"], "os-stop")
    service.member.delete(f"/servers/{made['id']}")
    service.work()
    found = service.member.get(f"/servers/{made['id']}/os-instance-actions")["instanceActions"]
    assert [each["action"] for each in found] == ["delete", "stop", "create"]
    one = service.member.get(f"/servers/{made['id']}/os-instance-actions/{found[1]['request_id']}")
    assert [each["result"] for each in one["instanceAction"]["events"]] == ["Success"]


def test_what_nothing_here_can_do(service: Service) -> None:
    made = service.make_server()
    service.act(made["id"], "trigger_crash_dump", None, 501)
    service.act(made["id"], "os-migrateLive", {"host": None, "block_migration": "auto"}, 400, service.admin)
    service.act(made["id"], "unheard-of", {}, 400)


def test_a_password_is_changed_by_an_agent_in_the_guest(service: Service) -> None:
    """Without one Nova answers 409: SetAdminPasswdNotSupported, QemuGuestAgentNotEnabled."""
    plain = service.make_server()
    service.act(plain["id"], "changePassword", {"adminPass": "new"}, 409)
    image_id = service.images.put(properties={"hw_qemu_guest_agent": "yes", "os_admin_user": "admin"})
    made = service.make_server(imageRef=image_id)
    service.act(made["id"], "changePassword", {"adminPass": "new"})
    host = service.hosts.by_name[made["OS-EXT-SRV-ATTR:host"]]
    assert host.passwords == {made["id"]: ("admin", "new")}
    service.act(made["id"], "changePassword", {"adminPass": "nobody listens"}, 409)
    service.act(made["id"], "changePassword", {}, 400)
    service.act(made["id"], "lock", {})
    service.act(made["id"], "changePassword", {"adminPass": "other"}, 409)
    assert host.passwords == {made["id"]: ("admin", "nobody listens")}
    service.act(made["id"], "changePassword", {"adminPass": "other"}, client=service.admin)  # Nova's override of locks
    assert host.passwords == {made["id"]: ("admin", "other")}


def test_who_is_rescued_can_only_be_unrescued_or_deleted(service: Service) -> None:
    """Nova's states. A server that begins with a volume is rescued from 2.87 on, with an image that says how."""
    made = service.make_server()
    assert service.act(made["id"], "unrescue", status=409)
    assert set(service.act(made["id"], "rescue", {"adminPass": "secret"}, 200)) == {"adminPass"}
    assert service.server(made["id"])["status"] == "RESCUE"
    for action, about in (("reboot", {"type": "HARD"}), ("os-stop", None), ("pause", None), ("rescue", {})):
        service.act(made["id"], action, about, 409)
    document = {"volumeAttachment": {"volumeId": service.volumes.put()}}
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", document, 409)
    service.act(made["id"], "unrescue")
    assert service.server(made["id"])["status"] == "ACTIVE"
    volume = {"source_type": "volume", "destination_type": "volume", "uuid": service.volumes.put(), "boot_index": 0}
    of_volume = service.make_server(block_device_mapping_v2=[volume])
    service.act(of_volume["id"], "rescue", {"rescue_image_ref": service.images.put()}, 400)
    service.member.delete(f"/servers/{made['id']}")
    service.work()
    assert [each for each in service.leftovers() if made["id"] in each] == []
