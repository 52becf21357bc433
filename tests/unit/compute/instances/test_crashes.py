"""An operation that is killed anywhere is completed, or undone, by the next process: no guest, port, lease or disk is
left over, and no server stays in a passing state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute.agent.guest import Power
from compute.instances.audit import Audit
from compute.stored import Refused
from tests.unit.compute.crashes import Crash
from tests.unit.compute.instances.service import Service

Check = Callable[[Service], None]
Scenario = Callable[[Service], Check]  # begins an operation; returns what is to be so in the end

MOST_CALLS = 80


def equipped(service: Service) -> Any:
    """Return a server with a port and a volume."""
    made = service.make_server(networks=[{"uuid": service.network.put()}])
    document = {"volumeAttachment": {"volumeId": service.volumes.put()}}
    service.member.post(f"/servers/{made['id']}/os-volume_attachments", document)
    service.work()
    return service.server(made["id"])


def begin(service: Service, server: Any, action: str, about: Any = None, status: int = 202) -> None:
    service.admin.post(f"/servers/{server['id']}/action", {action: about}, status)


def is_now(server: Any, status: str, power: Power | None = Power.RUNNING) -> Check:
    def check(service: Service) -> None:
        found = service.server(server["id"])
        assert found["status"] == status, found
        places = service.hosts.guests().get(server["id"], [])
        assert places == ([] if power is None else [found["OS-EXT-SRV-ATTR:host"]])
        if power is not None:
            guest = service.hosts.by_name[places[0]].guests[server["id"]]
            assert guest.power is power
            attached = sorted(each.id for each in service.volumes.attachments.values())
            told = sorted(each.export.split("~")[1] for each in guest.guest.disks if each.export.startswith("volume-"))
            assert told == attached

    return check


def is_gone(server_id: str) -> Check:
    def check(service: Service) -> None:
        service.member.get(f"/servers/{server_id}", 404)
        assert service.leftovers() == []

    return check


def a_creation(service: Service) -> Check:
    port_id = service.network.put_port(service.network.put())
    networks = [{"port": port_id}, {"uuid": service.network.put()}]
    return is_now({"id": service.begin_server(networks=networks)}, "ACTIVE")


def a_creation_with_volumes(service: Service) -> Check:
    mapping = [
        {
            "source_type": "image",
            "destination_type": "volume",
            "uuid": service.images.put(),
            "volume_size": 5,
            "boot_index": 0,
        },
        {"source_type": "volume", "destination_type": "volume", "uuid": service.volumes.put()},
    ]
    server_id = service.begin_server(block_device_mapping_v2=mapping)

    def check(service: Service) -> None:
        is_now({"id": server_id}, "ACTIVE")(service)
        assert len(service.volumes.volumes) == 2  # no volume was made twice

    return check


def a_creation_that_another_host_has_to_take(service: Service) -> Check:
    service.hosts.by_name["one"].refuses = "no such machine"
    return is_now({"id": service.begin_server(networks=[{"uuid": service.network.put()}])}, "ACTIVE")


def a_creation_that_is_deleted(service: Service) -> Check:
    server_id = service.begin_server(networks=[{"uuid": service.network.put()}])
    service.member.delete(f"/servers/{server_id}")
    return is_gone(server_id)


def a_deletion(service: Service) -> Check:
    server = equipped(service)
    service.member.delete(f"/servers/{server['id']}")
    return is_gone(server["id"])


def a_stop(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "os-stop")
    return is_now(server, "SHUTOFF", Power.OFF)


def a_hard_reboot(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "reboot", {"type": "HARD"})
    return is_now(server, "ACTIVE")


def an_attachment(service: Service) -> Check:
    server = equipped(service)
    document = {"volumeAttachment": {"volumeId": service.volumes.put()}}
    service.member.post(f"/servers/{server['id']}/os-volume_attachments", document)
    return is_now(server, "ACTIVE")


def a_detachment(service: Service) -> Check:
    server = equipped(service)
    (volume,) = server["os-extended-volumes:volumes_attached"]
    service.member.delete(f"/servers/{server['id']}/os-volume_attachments/{volume['id']}", 202)

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert service.volumes.attachments == {}

    return check


def a_resize(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "resize", {"flavorRef": "2"})
    return is_now(server, "VERIFY_RESIZE")


def a_reverted_resize(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "resize", {"flavorRef": "2"})
    service.work()
    begin(service, server, "revertResize")
    return is_now(server, "ACTIVE")


def a_migration(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "migrate")
    return is_now(server, "VERIFY_RESIZE")


def a_reverted_migration(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "migrate")
    service.work()
    begin(service, server, "revertResize")
    return is_now(server, "ACTIVE")


def an_evacuation(service: Service) -> Check:
    server = equipped(service)
    host = server["OS-EXT-SRV-ATTR:host"]
    service.lose(host)
    begin(service, server, "evacuate", {}, 200)

    def check(service: Service) -> None:
        service.find(host)
        service.reconcile()
        is_now(server, "ACTIVE")(service)

    return check


def a_rebuild(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "rebuild", {"imageRef": service.images.put(data=b"other")})

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert service.gateway.volumes[f"server-{server['id']}"].data == b"other"

    return check


def a_rebuild_of_a_volume(service: Service) -> Check:
    root = {
        "source_type": "image",
        "destination_type": "volume",
        "uuid": service.images.put(),
        "volume_size": 5,
        "boot_index": 0,
    }
    data = {"source_type": "volume", "destination_type": "volume", "uuid": service.volumes.put()}
    server = service.make_server(block_device_mapping_v2=[root, data])
    volume_id = server["os-extended-volumes:volumes_attached"][0]["id"]
    image_id = service.images.put(data=b"other")
    begin(service, server, "rebuild", {"imageRef": image_id})

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert service.volumes.filled == {volume_id: image_id}
        assert len(service.volumes.attachments) == 2

    return check


def an_image(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "createImage", {"name": "snap"})

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert list(service.images.uploaded.values()) == [b"image"]
        assert service.gateway.volumes[f"server-{server['id']}"].snapshots == {}

    return check


def a_shelving(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "shelve")

    def check(service: Service) -> None:
        is_now(server, "SHELVED_OFFLOADED", None)(service)
        assert [each["name"] for each in service.images.announced.values()] == [f"{server['name']}-shelved"]
        assert list(service.images.uploaded.values()) == [b"image"]
        assert f"server-{server['id']}" not in service.gateway.volumes

    return check


def an_unshelving(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "shelve")
    service.work()
    begin(service, server, "unshelve")

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert service.images.announced == {}
        assert service.gateway.volumes[f"server-{server['id']}"].data == b"image"

    return check


def a_deletion_of_a_shelved_one(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "shelve")
    service.work()
    service.member.delete(f"/servers/{server['id']}")

    def check(service: Service) -> None:
        is_gone(server["id"])(service)
        assert service.images.announced == {}

    return check


def a_rescue(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "rescue", {"rescue_image_ref": service.images.put(data=b"tools")}, 200)

    def check(service: Service) -> None:
        is_now(server, "RESCUE")(service)
        guest = service.hosts.by_name[service.server(server["id"])["OS-EXT-SRV-ATTR:host"]].guests[server["id"]]
        first, *others = guest.guest.disks
        assert service.gateway.volumes[first.export.split("~")[0]].data == b"tools"
        assert [first.boot_index, *(each.boot_index for each in others)] == [0, None, None]

    return check


def an_unrescue(service: Service) -> Check:
    server = equipped(service)
    begin(service, server, "rescue", {}, 200)
    service.work()
    begin(service, server, "unrescue")

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert [name for name in service.gateway.volumes if "rescue" in name] == []
        guest = service.hosts.by_name[service.server(server["id"])["OS-EXT-SRV-ATTR:host"]].guests[server["id"]]
        assert [each.boot_index for each in guest.guest.disks] == [0, None]

    return check


def a_backup(service: Service) -> Check:
    server = equipped(service)
    for name in ("first", "second"):
        begin(service, server, "createBackup", {"name": name, "backup_type": "daily", "rotation": 2})
        service.work()
    begin(service, server, "createBackup", {"name": "third", "backup_type": "daily", "rotation": 2})

    def check(service: Service) -> None:
        is_now(server, "ACTIVE")(service)
        assert [each["name"] for each in service.images.announced.values()] == ["second", "third"]
        assert service.gateway.volumes[f"server-{server['id']}"].snapshots == {}

    return check


SCENARIOS = (
    a_creation,
    a_creation_with_volumes,
    a_creation_that_another_host_has_to_take,
    a_creation_that_is_deleted,
    a_deletion,
    a_stop,
    a_hard_reboot,
    an_attachment,
    a_detachment,
    a_resize,
    a_reverted_resize,
    a_migration,
    a_reverted_migration,
    an_evacuation,
    a_rebuild,
    a_rebuild_of_a_volume,
    an_image,
    a_shelving,
    an_unshelving,
    a_deletion_of_a_shelved_one,
    a_backup,
    a_rescue,
    an_unrescue,
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_killed_anywhere_is_completed(tmp_path: Path, scenario: Scenario) -> None:
    for call in range(MOST_CALLS):
        directory = tmp_path / str(call)
        directory.mkdir()
        service = Service(directory)
        check = scenario(service)
        service.wire.kill_before(call)
        try:
            service.work()
        except Crash:
            service.wire.begin_anew()
        else:
            assert call > 2
            service.wire.begin_anew()
            _require(service, check)
            return
        service.worker = service.new_worker()
        service.settle()
        _require(service, check)
    raise AssertionError(f"there are more than {MOST_CALLS} calls")


def _require(service: Service, check: Check) -> None:
    check(service)
    assert service.operations() == []
    assert Audit(service.database, service.tools, service.clock).differences() == []


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each is not a_creation_that_is_deleted])
def test_what_is_refused_anywhere_leaves_nothing(tmp_path: Path, scenario: Scenario) -> None:
    """Whatever is asked of others, and is refused: what there is afterwards can be deleted without a rest."""
    for call in range(MOST_CALLS):
        directory = tmp_path / str(call)
        directory.mkdir()
        service = Service(directory)
        scenario(service)
        service.wire.refuse(call, Refused("it does not want to"))
        service.settle()
        if not service.wire.has_refused:
            assert call > 0
            return
        _require_removable(service)
    raise AssertionError(f"there are more than {MOST_CALLS} calls")


def _require_removable(service: Service) -> None:
    for name in service.hosts.by_name:
        service.find(name)
    service.reconcile()
    assert service.operations() == []
    for each in service.member.get("/servers/detail")["servers"]:
        assert each["OS-EXT-STS:task_state"] is None, each
        service.member.delete(f"/servers/{each['id']}")
    service.settle()
    service.reconcile()
    assert service.leftovers() == []
