"""Who may use a volume: attachments, the older actions, and what both make of the volume's state."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from compute.stored import Unreachable
from tests.unit.compute.volumes.service import SECOND_US, Client, Service

SERVER, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
CONNECTOR = {"host": "node-1", "ip": "10.0.0.1", "mountpoint": "/dev/vdb"}


def attach(client: Client, volume_id: str, server: str = SERVER, status: int = 200, **attributes: Any) -> Any:
    document = {"attachment": {"volume_uuid": volume_id, "instance_uuid": server, **attributes}}
    answer = client.post("/attachments", document, status)
    return answer["attachment"] if status == 200 else answer


def status_of(service: Service, volume_id: str) -> str:
    return str(service.member.volume(volume_id)["status"])


def test_from_reserved_to_in_use_and_back(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    made = attach(service.compute, volume_id)
    assert (made["status"], made["connection_info"], status_of(service, volume_id)) == ("reserved", {}, "reserved")
    path = f"/attachments/{made['id']}"
    changed = service.compute.put(path, {"attachment": {"connector": CONNECTOR}})["attachment"]
    assert (changed["status"], status_of(service, volume_id)) == ("attaching", "attaching")
    info = changed["connection_info"]
    assert (info["driver_volume_type"], info["serial"]) == ("nbd", volume_id)
    # by the attachment it can be kept out later; without the grant it is not let in
    assert info["export"] == service.settings.grants.export(f"volume-{volume_id}", made["id"])
    assert info["url"] == f"nbd://127.0.0.1:10809/{info['export']}"
    assert (info["host"], info["port"], info["access_mode"]) == ("127.0.0.1", 10809, "rw")
    service.compute.post(f"{path}/action", {"os-complete": {}}, 204)
    volume = service.member.volume(volume_id)
    assert volume["status"] == "in-use"
    (shown,) = volume["attachments"]
    assert (shown["server_id"], shown["attachment_id"], shown["device"]) == (SERVER, made["id"], "/dev/vdb")
    assert shown["id"] == shown["volume_id"] == volume_id
    service.member.delete(f"/volumes/{volume_id}", 400)
    assert service.compute.delete(path, 200) == {"attachments": []}
    assert status_of(service, volume_id) == "available"
    service.compute.delete(path, 404)


def test_a_volume_has_one_attachment(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    made = attach(service.member, volume_id, connector=CONNECTOR)
    attach(service.member, volume_id, OTHER, status=400)
    service.member.act(volume_id, "os-reserve", status=400)
    service.member.delete(f"/attachments/{made['id']}", 200)
    attach(service.member, volume_id, OTHER)


def test_of_many_at_the_same_moment_one_gets_it(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]

    def ask(_number: int) -> int:
        document = {"attachment": {"volume_uuid": volume_id, "instance_uuid": SERVER + str(_number)}}
        return int(service.member.request("POST", "/attachments", document).status_code)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert sorted(answers) == [200, *[400] * 15]


def test_a_server_that_moves_has_two_for_a_while(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    first = attach(service.compute, volume_id, connector=CONNECTOR)
    service.compute.post(f"/attachments/{first['id']}/action", {"os-complete": {}}, 204)
    attach(service.compute, volume_id, OTHER, status=400)
    second = attach(service.compute, volume_id, connector={"host": "node-2"})
    assert service.compute.delete(f"/attachments/{first['id']}", 200)["attachments"][0]["id"] == second["id"]
    service.compute.post(f"/attachments/{second['id']}/action", {"os-complete": {}}, 204)
    service.compute.delete(f"/attachments/{second['id']}", 200)
    assert status_of(service, volume_id) == "available"


def test_a_volume_for_several(service: Service) -> None:
    kind = {"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}}
    service.admin.post("/types", kind, 200)
    volume = service.member.make_volume(volume_type="shared")
    assert volume["multiattach"]
    one, two = (attach(service.member, volume["id"], server, connector=CONNECTOR) for server in (SERVER, OTHER))
    for each in (one, two):
        service.member.post(f"/attachments/{each['id']}/action", {"os-complete": {}}, 204)
    assert len(service.member.volume(volume["id"])["attachments"]) == 2
    service.member.act(volume["id"], "os-detach", {}, 400)
    service.member.act(volume["id"], "os-detach", {"attachment_id": one["id"]})
    assert status_of(service, volume["id"]) == "in-use"
    service.member.delete(f"/attachments/{two['id']}", 200)
    assert status_of(service, volume["id"]) == "available"


def test_attachments_are_their_projects(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    made = attach(service.member, volume_id)
    assert len(service.member.get("/attachments")["attachments"]) == 1
    assert service.member.get("/attachments/detail")["attachments"][0]["instance"] == SERVER
    assert service.stranger.get("/attachments") == {"attachments": []}
    service.stranger.get(f"/attachments/{made['id']}", 404)
    service.stranger.delete(f"/attachments/{made['id']}", 404)
    attach(service.stranger, volume_id, status=404)
    service.reader.delete(f"/attachments/{made['id']}", 403)


def test_the_older_actions(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-reserve")
    assert status_of(service, volume_id) == "attaching"
    service.member.act(volume_id, "os-reserve", status=400)
    service.member.act(volume_id, "os-unreserve")
    assert status_of(service, volume_id) == "available"
    service.member.act(volume_id, "os-reserve")
    info = service.member.act(volume_id, "os-initialize_connection", {"connector": CONNECTOR}, 200)["connection_info"]
    assert info["driver_volume_type"] == "nbd"
    assert info["data"]["export"].startswith(f"volume-{volume_id}~host~")
    service.member.act(volume_id, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"})
    (shown,) = service.member.volume(volume_id)["attachments"]
    assert (shown["device"], shown["server_id"]) == ("/dev/vdc", SERVER)
    service.member.act(volume_id, "os-begin_detaching")
    assert status_of(service, volume_id) == "detaching"
    service.member.act(volume_id, "os-roll_detaching")
    assert status_of(service, volume_id) == "in-use"
    service.member.act(volume_id, "os-begin_detaching")
    service.member.act(volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    service.member.act(volume_id, "os-detach", {})
    assert status_of(service, volume_id) == "available"
    service.member.act(volume_id, "os-detach", {})


@pytest.mark.parametrize(
    "about",
    [
        {"mountpoint": "/dev/vdb"},
        {"instance_uuid": SERVER, "host_name": "h", "mountpoint": "/dev/vdb"},
        {"instance_uuid": SERVER, "mountpoint": ""},
        {"instance_uuid": SERVER, "mode": "wo"},
    ],
)
def test_attaching_to_nobody_is_refused(service: Service, about: Any) -> None:
    service.member.act(service.member.make_volume()["id"], "os-attach", about, 400)


def test_a_volume_that_is_read_only(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    service.member.act(volume_id, "os-update_readonly_flag", {"readonly": True})
    assert service.member.volume(volume_id)["metadata"]["readonly"] == "True"
    service.member.act(volume_id, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb", "mode": "rw"}, 400)
    attach(service.member, volume_id, mode="rw", status=400)
    made = attach(service.member, volume_id, connector=CONNECTOR)
    assert (made["attach_mode"], made["connection_info"]["access_mode"]) == ("ro", "ro")


def test_an_administrator_frees_a_volume(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    made = attach(service.member, volume_id, connector=CONNECTOR)
    service.member.act(volume_id, "os-force_detach", {"attachment_id": made["id"]}, 403)
    service.admin.act(volume_id, "os-reset_status", {"status": "error"})
    service.admin.act(volume_id, "os-force_detach", {"attachment_id": made["id"], "connector": None})
    assert status_of(service, volume_id) == "available"
    attach(service.member, volume_id)
    service.admin.act(volume_id, "os-reset_status", {"status": "available", "attach_status": "detached"})
    assert service.member.get("/attachments") == {"attachments": []}
    service.member.delete(f"/volumes/{volume_id}")


def test_who_has_lost_a_volume_is_kept_out_before_others_get_it(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    by_force = attach(service.member, volume_id, connector=CONNECTOR)
    service.admin.act(volume_id, "os-force_detach", {"attachment_id": by_force["id"]})
    deleted = attach(service.member, volume_id, connector=CONNECTOR)
    service.admin.delete(f"/attachments/{deleted['id']}", 200)
    reset = attach(service.member, volume_id, connector=CONNECTOR)
    service.admin.act(volume_id, "os-reset_status", {"attach_status": "detached"})
    never_told = attach(service.member, volume_id)
    service.member.delete(f"/attachments/{never_told['id']}", 200)
    assert service.gateway.dismissed == [(f"volume-{volume_id}", each["id"]) for each in (by_force, deleted, reset)]
    assert service.operations() == []


def test_a_gateway_that_is_away_keeps_a_volume_from_its_next_user(service: Service) -> None:
    volume_id, other_id = service.member.make_volume()["id"], service.member.make_volume()["id"]
    made = attach(service.member, volume_id, connector=CONNECTOR)
    service.wire.failures = [Unreachable("no answer")]
    service.admin.act(volume_id, "os-force_detach", {"attachment_id": made["id"]})
    assert status_of(service, volume_id) == "available"
    assert "try again" in attach(service.member, volume_id, OTHER, status=400)["badRequest"]["message"]
    attach(service.member, other_id, OTHER)
    service.clock.now_us += 3600 * SECOND_US
    service.wire.failures = [Unreachable("still none")]
    service.work()
    service.settle()
    assert service.gateway.dismissed == [(f"volume-{volume_id}", made["id"])]
    attach(service.member, volume_id, OTHER)


def test_letting_go_while_something_else_is_done(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    made = attach(service.member, volume_id, connector=CONNECTOR)
    service.member.post(f"/attachments/{made['id']}/action", {"os-complete": {}}, 204)
    service.member.act(volume_id, "os-extend", {"new_size": 2})
    assert status_of(service, volume_id) == "extending"
    service.member.delete(f"/attachments/{made['id']}", 200)
    service.work()
    assert (status_of(service, volume_id), service.member.volume(volume_id)["size"]) == ("available", 2)


def test_an_attachment_that_nobody_connects_by(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    made = attach(service.member, volume_id)
    service.member.put(f"/attachments/{made['id']}", {"attachment": {"connector": {}}}, 400)
    service.member.put(f"/attachments/{made['id']}", {"attachment": {}}, 400)
    service.member.speaking("volume 3.43").post(f"/attachments/{made['id']}/action", {"os-complete": {}}, 404)


def had(service: Service) -> tuple[str, str]:
    """Return a volume that a server has, and the attachment."""
    volume_id = service.member.make_volume()["id"]
    made = attach(service.compute, volume_id, connector=CONNECTOR)
    service.compute.post(f"/attachments/{made['id']}/action", {"os-complete": {}}, 204)
    service.servers.attachments[SERVER, volume_id] = made["id"]
    return volume_id, made["id"]


def test_what_a_server_has_is_let_go_of_by_the_compute_service_alone(service: Service) -> None:
    """Cinder, bug 2004555: neither the owner nor an administrator does it behind the server's back."""
    volume_id, attachment_id = had(service)
    for client in (service.member, service.admin):
        refused = client.delete(f"/attachments/{attachment_id}", 409)
        assert SERVER in refused["conflictingRequest"]["message"]
        client.act(volume_id, "os-detach", {}, 409)
        client.act(volume_id, "os-detach", {"attachment_id": attachment_id}, 409)
        client.act(volume_id, "os-terminate_connection", {"connector": {}}, 409)
    service.admin.act(volume_id, "os-reset_status", {"status": "error"})
    service.admin.act(volume_id, "os-force_detach", {"attachment_id": attachment_id, "connector": None}, 409)
    service.admin.act(volume_id, "os-force_delete", status=409)
    service.admin.act(volume_id, "os-reset_status", {"status": "in-use"})
    assert (status_of(service, volume_id), service.gateway.dismissed) == ("in-use", [])
    service.servers.asked.clear()
    service.compute.act(volume_id, "os-terminate_connection", {"connector": {}})
    service.compute.delete(f"/attachments/{attachment_id}", 200)
    assert status_of(service, volume_id) == "available"
    assert service.servers.asked == []  # whoever is told by the compute service need not ask it


def test_a_service_may_ask_for_a_user(service: Service) -> None:
    """X-Service-Token, as keystonemiddleware takes it."""
    volume_id, attachment_id = had(service)

    def delete(token: str) -> int:
        path = f"/attachments/{attachment_id}"
        return int(service.member.request("DELETE", path, headers={"X-Service-Token": token}).status_code)

    assert [delete("alice"), delete("admin"), delete("nobody's")] == [409, 409, 401]
    assert status_of(service, volume_id) == "in-use"
    service.servers.is_away = True
    assert delete("nova") == 200


def test_what_no_server_has_any_more_is_let_go_of(service: Service) -> None:
    volume_id, attachment_id = had(service)
    service.servers.attachments[SERVER, volume_id] = "another one"
    service.member.delete(f"/attachments/{attachment_id}", 200)
    volume_id, attachment_id = had(service)
    del service.servers.attachments[SERVER, volume_id]
    service.member.act(volume_id, "os-detach", {"attachment_id": attachment_id})
    assert status_of(service, volume_id) == "available"


def test_whether_a_server_has_a_volume_is_not_guessed(service: Service) -> None:
    volume_id, attachment_id = had(service)
    service.servers.is_away = True
    service.member.delete(f"/attachments/{attachment_id}", 503)
    service.member.act(volume_id, "os-detach", {}, 503)
    reserved = attach(service.member, other := service.member.make_volume()["id"])
    service.member.delete(f"/attachments/{reserved['id']}", 200)  # nobody was told anything
    assert (status_of(service, volume_id), status_of(service, other)) == ("in-use", "available")


def test_an_administrator_frees_by_the_state_what_a_server_has(service: Service) -> None:
    volume_id, attachment_id = had(service)
    service.admin.act(volume_id, "os-reset_status", {"status": "available", "attach_status": "detached"})
    assert status_of(service, volume_id) == "available"
    assert service.gateway.dismissed == [(f"volume-{volume_id}", attachment_id)]


def test_strangers_have_nobody_asked(service: Service) -> None:
    volume_id, attachment_id = had(service)
    service.stranger.delete(f"/attachments/{attachment_id}", 404)
    service.stranger.act(volume_id, "os-detach", {}, 404)
    service.reader.delete(f"/attachments/{attachment_id}", 403)
    service.nobody.delete(f"/attachments/{attachment_id}", 401)
    assert service.servers.asked == []


def test_the_attachment_of_another_volume_is_not_detached(service: Service) -> None:
    (one, _its), (_two, other) = had(service), had(service)
    service.member.act(one, "os-detach", {"attachment_id": other}, 400)
    service.member.act(one, "os-detach", {"attachment_id": SERVER}, 404)
