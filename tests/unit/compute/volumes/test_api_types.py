"""Volume types, QoS specs, and what a client learns of the service."""

import pytest

from tests.unit.compute.volumes.service import BOBS, Service

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def make_type(service: Service, **attributes: object) -> str:
    attributes.setdefault("name", "gold")
    return str(service.admin.post("/types", {"volume_type": attributes}, 200)["volume_type"]["id"])


def test_types_are_made_by_administrators(service: Service) -> None:
    service.member.post("/types", {"volume_type": {"name": "x"}}, 403)
    type_id = make_type(service, description="d", extra_specs={"a": "b", "multiattach": "<is> False"})
    shown = service.admin.get(f"/types/{type_id}")["volume_type"]
    assert (shown["name"], shown["description"], shown["is_public"]) == ("gold", "d", True)
    assert service.member.get(f"/types/{type_id}")["volume_type"]["extra_specs"] == {"multiattach": "<is> False"}
    service.admin.post("/types", {"volume_type": {"name": "gold"}}, 409)
    service.admin.post("/types", {"volume_type": {"name": " "}}, 400)
    service.admin.put(f"/types/{type_id}", {"volume_type": {"name": "silver", "is_public": False}})
    service.admin.put(f"/types/{type_id}", {"volume_type": {"name": "__DEFAULT__"}}, 409)
    service.admin.put(f"/types/{type_id}", {"volume_type": {}}, 400)
    service.admin.delete(f"/types/{type_id}")
    service.admin.get(f"/types/{type_id}", 404)


def test_a_type_in_use_and_the_default_stay(service: Service) -> None:
    type_id = make_type(service)
    service.member.make_volume(volume_type="gold")
    service.admin.delete(f"/types/{type_id}", 400)
    service.admin.delete(f"/types/{service.member.get('/types/default')['volume_type']['id']}", 400)


def test_extra_specs(service: Service) -> None:
    path = f"/types/{make_type(service)}/extra_specs"
    assert service.admin.post(path, {"extra_specs": {"a": "1"}}, 200) == {"extra_specs": {"a": "1"}}
    assert service.admin.put(f"{path}/a", {"a": "2"}) == {"a": "2"}
    assert service.admin.get(f"{path}/a") == {"a": "2"}
    assert service.admin.get(path) == {"extra_specs": {"a": "2"}}
    service.admin.put(f"{path}/a", {"b": "2"}, 400)
    service.admin.post(path, {"extra_specs": {"no spaces": "x"}}, 400)
    service.admin.delete(f"{path}/a")
    service.admin.delete(f"{path}/a", 404)
    service.member.post(path, {"extra_specs": {"a": "1"}}, 403)


def test_a_private_type_is_for_some(service: Service) -> None:
    type_id = make_type(service, **{"os-volume-type-access:is_public": False})
    service.member.get(f"/types/{type_id}", 404)
    service.member.post("/volumes", {"volume": {"size": 1, "volume_type": "gold"}}, 404)
    allow = {"addProjectAccess": {"project": BOBS}}
    service.admin.post(f"/types/{type_id}/action", allow)
    service.admin.post(f"/types/{type_id}/action", allow, 409)
    told = service.admin.get(f"/types/{type_id}/os-volume-type-access")["volume_type_access"]
    assert told == [{"volume_type_id": type_id, "project_id": BOBS}]
    assert service.stranger.make_volume(volume_type="gold")["volume_type"] == "gold"
    assert len(service.stranger.get("/types")["volume_types"]) == 2
    assert len(service.member.get("/types")["volume_types"]) == 1
    assert len(service.admin.get("/types?is_public=False")["volume_types"]) == 1
    assert service.admin.get("/types?extra_specs={'a': 'b'}")["volume_types"] == []
    assert len(service.admin.get("/types?extra_specs={}")["volume_types"]) == 2
    service.admin.get("/types?extra_specs=a", 400)
    service.admin.post(f"/types/{type_id}/action", {"removeProjectAccess": {"project": BOBS}})
    service.admin.post(f"/types/{type_id}/action", {"removeProjectAccess": {"project": BOBS}}, 404)
    public = make_type(service, name="bronze")
    service.admin.get(f"/types/{public}/os-volume-type-access", 404)
    service.admin.post(f"/types/{public}/action", allow, 409)


def test_a_type_for_another_backend_makes_no_volumes(service: Service) -> None:
    make_type(service, extra_specs={"capabilities:storage_protocol": "<is> iSCSI"})
    volume = service.member.make_volume(status="error", volume_type="gold")
    (told,) = service.member.get("/messages")["messages"]
    assert "No valid backend" in told["user_message"]
    assert told["resource_uuid"] == volume["id"]
    make_type(service, name="silver", extra_specs={"volume_backend_name": "nbd"})
    service.member.make_volume(volume_type="silver")


def test_defaults_of_projects(service: Service) -> None:
    type_id = make_type(service)
    path = f"/default-types/{service.member.project_id}"
    service.admin.get(path, 404)
    told = service.admin.put(path, {"default_type": {"volume_type": "gold"}})["default_type"]
    assert told["volume_type_id"] == type_id
    assert service.member.make_volume()["volume_type"] == "gold"
    assert service.stranger.make_volume()["volume_type"] == "__DEFAULT__"
    assert len(service.admin.get("/default-types")["default_types"]) == 1
    service.admin.delete(path, 204)
    service.admin.delete(path, 404)
    service.member.get("/default-types", 403)


def test_encrypted_types_make_encrypted_volumes(service: Service) -> None:
    type_id = make_type(service)
    path = f"/types/{type_id}/encryption"
    assert service.admin.get(path) == {}
    wanted = {"provider": "luks", "control_location": "back-end", "cipher": "aes-xts-plain64", "key_size": 256}
    made = service.admin.post(path, {"encryption": wanted}, 200)["encryption"]
    service.admin.post(path, {"encryption": wanted}, 409)
    assert service.admin.get(path)["key_size"] == 256
    assert service.admin.get(f"{path}/cipher") == {"cipher": "aes-xts-plain64"}
    service.admin.put(f"{path}/{made['encryption_id']}", {"encryption": {"key_size": 512}})
    volume = service.member.make_volume(volume_type="gold")
    assert volume["encrypted"]
    assert service.gateway.volumes[f"volume-{volume['id']}"].encrypted
    service.admin.delete(f"{path}/{made['encryption_id']}", 400)
    service.member.delete(f"/volumes/{volume['id']}")
    service.work()
    service.admin.delete(f"{path}/{made['encryption_id']}")
    assert service.admin.get(path) == {}


def test_qos_specs_limit_volumes(service: Service) -> None:
    document = {"qos_specs": {"name": "slow", "consumer": "both", "total_iops_sec": "100", "read_bytes_sec": 1000}}
    made = service.admin.post("/qos-specs", document, 200)["qos_specs"]
    assert made["specs"] == {"total_iops_sec": "100", "read_bytes_sec": "1000"}
    type_id = make_type(service)
    path = f"/qos-specs/{made['id']}"
    service.admin.get(f"{path}/associate?vol_type_id={type_id}", 202)
    told = service.admin.get(f"{path}/associations")["qos_associations"]
    assert told == [{"association_type": "volume_type", "name": "gold", "id": type_id}]
    volume = service.member.make_volume(volume_type="gold")
    limits = service.gateway.volumes[f"volume-{volume['id']}"].limits
    assert (limits["iops"], limits["read_bandwidth"], limits["write_iops"]) == (100, 1000, 0)
    connector = {"connector": {"host": "h"}}
    info = service.member.act(volume["id"], "os-initialize_connection", connector, 200)["connection_info"]
    assert info["data"]["qos_specs"] == {"total_iops_sec": "100", "read_bytes_sec": "1000"}
    service.admin.delete(path, 400)
    service.admin.get(f"{path}/disassociate?vol_type_id={type_id}", 202)
    assert service.admin.get(f"{path}/associations") == {"qos_associations": []}
    assert service.admin.put(path, {"qos_specs": {"x": "y"}}) == {"qos_specs": {"x": "y"}}
    service.admin.put(f"{path}/delete_keys", {"keys": ["x"]}, 202)
    service.admin.put(f"{path}/delete_keys", {"keys": ["x"]}, 404)
    service.admin.get(f"{path}/associate?vol_type_id={UNKNOWN}", 404)
    service.admin.get(f"{path}/associate?vol_type_id={type_id}", 202)
    service.admin.get(f"{path}/disassociate_all", 202)
    service.admin.delete(path)
    assert service.admin.get("/qos-specs") == {"qos_specs": []}
    service.member.get("/qos-specs", 403)


@pytest.mark.parametrize(
    "path",
    [
        "/os-availability-zone",
        "/extensions",
        "/extensions/backups",
        "/resource_filters",
        "/groups",
        "/groups/detail",
        "/group_types",
        "/group_snapshots",
        "/consistencygroups/detail",
        "/cgsnapshots",
        "/limits",
    ],
)
def test_everybody_may_look_around(service: Service, path: str) -> None:
    assert service.member.get(path)
    service.nobody.get(path, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/os-services",
        "/os-hosts",
        "/os-hosts/holdfast@nbd",
        "/scheduler-stats/get_pools?detail=True",
        "/capabilities/holdfast@nbd",
        "/clusters",
    ],
)
def test_administrators_may_look_behind(service: Service, path: str) -> None:
    assert service.admin.get(path)
    service.member.get(path, 403)


def test_a_service_is_taken_out_and_back(service: Service) -> None:
    wanted = {"host": "holdfast@nbd", "binary": "cinder-volume", "disabled_reason": "repairs"}
    service.admin.put("/os-services/disable-log-reason", {**wanted, "disabled_reason": None}, 400)
    service.admin.put("/os-services/freeze", {"host": "holdfast@nbd"}, 400)
    service.admin.put("/os-services/disable-log-reason", wanted)
    (told,) = service.admin.get("/os-services?binary=cinder-volume")["services"]
    assert (told["status"], told["disabled_reason"]) == ("disabled", "repairs")
    service.member.post("/volumes", {"volume": {"size": 1}}, 503)
    service.admin.put("/os-services/enable", wanted)
    service.member.make_volume()
    service.admin.put("/os-services/enable", {"host": "nowhere", "binary": "cinder-volume"}, 404)
    service.member.put("/os-services/disable", wanted, 403)
