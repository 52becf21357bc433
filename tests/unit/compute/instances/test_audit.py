"""What differs between servers in the database and what there is for them is found, and mended where it can be."""

from collections.abc import Callable

import pytest

from cluster.controlplane.database import retried
from compute.agent.guest import Guest
from compute.differences import Difference, mend
from compute.instances import servers
from compute.instances.audit import Audit
from compute.instances.statuses import Task, VmState
from tests.unit.compute.crashes import WiredDatabase
from tests.unit.compute.instances.service import Service
from tests.unit.compute.instances.surroundings import ALICES
from tests.unit.compute.volumes.memory import MemoryVolume

UNKNOWN = "11111111-2222-4333-8444-555555555555"  # a server that nobody knows


def found(service: Service) -> list[Difference]:
    return Audit(service.database, service.tools, service.clock).differences()


def equipped(service: Service) -> str:
    """Return the id of a server with a port and a volume."""
    server_id = str(service.make_server(networks=[{"uuid": service.network.put()}])["id"])
    document = {"volumeAttachment": {"volumeId": service.volumes.put()}}
    service.member.post(f"/servers/{server_id}/os-volume_attachments", document)
    service.work()
    return server_id


def change(database: WiredDatabase, server_id: str, **columns: object) -> None:
    """Set columns of a server by hand."""
    retried(database, lambda connection: servers.change(connection, server_id, 0, **columns))


def a_disk_that_no_server_has(service: Service, server_id: str) -> tuple[str, str]:
    name = f"server-{UNKNOWN}"
    service.gateway.volumes[name] = MemoryVolume("9" * 32, name, 1 << 30)
    return name, "no server does"


def a_guest_that_no_server_has(service: Service, server_id: str) -> tuple[str, str]:
    guest = Guest(id=UNKNOWN, name="lost", project_id=ALICES, vcpus=1, memory_mib=64)
    service.hosts.by_name["two"].define(guest, running=True)
    return f"server {UNKNOWN}", "host two has a guest"


def a_guest_on_a_host_that_is_not_its_own(service: Service, server_id: str) -> tuple[str, str]:
    (host,) = service.hosts.guests()[server_id]
    other = next(each for name, each in service.hosts.by_name.items() if name != host)
    other.define(service.hosts.by_name[host].guests[server_id].guest, running=False)
    return f"server {server_id}", f"host {other.name} has a guest"


def a_server_without_its_guest(service: Service, server_id: str) -> tuple[str, str]:
    (host,) = service.hosts.guests()[server_id]
    service.hosts.by_name[host].remove(server_id)
    return f"server {server_id}", f"host {host} has no guest of it"


def an_attachment_that_its_server_does_not_know(service: Service, server_id: str) -> tuple[str, str]:
    volume_id = service.volumes.put()
    service.volumes.reserve(volume_id, server_id)
    return f"server {server_id}", f"volume {volume_id} is kept for it"


def an_attachment_of_a_server_that_is_gone(service: Service, server_id: str) -> tuple[str, str]:
    service.member.delete(f"/servers/{server_id}")
    service.settle()
    return an_attachment_that_its_server_does_not_know(service, server_id)


def a_port_that_its_server_does_not_know(service: Service, server_id: str) -> tuple[str, str]:
    port_id = service.network.put_port(service.network.put())
    service.network.bind(port_id, server_id, "one", "nova")
    return f"server {server_id}", f"port {port_id} is its"


def a_task_that_nobody_carries_out(service: Service, server_id: str) -> tuple[str, str]:
    change(service.database, server_id, task_state=Task.REBOOTING)
    return f"server {server_id}", "nothing is done to it"


def a_creation_that_nobody_carries_out(service: Service, server_id: str) -> tuple[str, str]:
    change(service.database, server_id, vm_state=VmState.BUILDING, task_state=Task.SPAWNING)
    return f"server {server_id}", "nothing is done to it"


def a_deletion_that_nobody_carries_out(service: Service, server_id: str) -> tuple[str, str]:
    change(service.database, server_id, task_state=Task.DELETING, deletion_wanted=True)
    return f"server {server_id}", "it was to be deleted"


MENDED: tuple[Callable[[Service, str], tuple[str, str]], ...] = (
    a_disk_that_no_server_has,
    a_guest_that_no_server_has,
    a_guest_on_a_host_that_is_not_its_own,
    a_server_without_its_guest,
    an_attachment_that_its_server_does_not_know,
    an_attachment_of_a_server_that_is_gone,
    a_port_that_its_server_does_not_know,
    a_task_that_nobody_carries_out,
    a_creation_that_nobody_carries_out,
    a_deletion_that_nobody_carries_out,
)


@pytest.mark.parametrize("harm", MENDED)
def test_what_differs_is_found_and_mended(
    service: Service, harm: Callable[[Service, str], tuple[str, str]]
) -> None:
    server_id = equipped(service)
    assert found(service) == []
    subject, words = harm(service, server_id)
    (difference,) = found(service)
    assert difference.subject == subject
    assert words in difference.words
    assert mend([difference]) == []
    assert found(service) == []


def test_a_disk_that_nobody_knows_can_be_had_back(service: Service) -> None:
    name, _words = a_disk_that_no_server_has(service, "")
    mend(found(service))
    assert service.gateway.volumes[name].trashed


def test_a_creation_that_was_given_up_can_be_deleted(service: Service) -> None:
    server_id = equipped(service)
    a_creation_that_nobody_carries_out(service, server_id)
    mend(found(service))
    assert service.server(server_id)["status"] == "ERROR"
    service.member.delete(f"/servers/{server_id}")
    service.settle()
    assert service.leftovers() == []


def test_a_server_that_lost_its_guest_can_be_started_again(service: Service) -> None:
    server_id = equipped(service)
    a_server_without_its_guest(service, server_id)
    mend(found(service))
    assert service.server(server_id)["status"] == "SHUTOFF"
    service.act(server_id, "os-start")
    assert service.server(server_id)["status"] == "ACTIVE"
    assert found(service) == []


def test_a_lost_disk_is_told_and_left_to_the_operator(service: Service) -> None:
    server_id = equipped(service)
    name = f"server-{server_id}"
    del service.gateway.volumes[name]
    (difference,) = found(service)
    assert str(difference) == f"server {server_id}: the gateway does not have its disk {name}"
    assert mend([difference]) == [difference]


def test_a_lost_attachment_is_told_and_left_to_the_operator(service: Service) -> None:
    equipped(service)
    (attachment,) = service.volumes.attachments.values()
    del service.volumes.attachments[attachment.id]
    (difference,) = found(service)
    assert difference.words == f"volume {attachment.volume_id} is not attached to it any more"
    assert mend([difference]) == [difference]


def test_what_is_being_worked_on_is_no_difference(service: Service) -> None:
    server_id = service.begin_server(networks=[{"uuid": service.network.put()}])
    service.volumes.reserve(service.volumes.put(), server_id)
    assert found(service) == []


def test_a_host_that_does_not_answer_has_lost_no_guest(service: Service) -> None:
    server_id = equipped(service)
    (host,) = service.hosts.guests()[server_id]
    service.hosts.by_name[host].is_away = True
    assert found(service) == []
