"""Which versions of the API there are, and what a client gets that asks for one.

Source: OpenStack API working group, "Microversion specification".
"""

import pytest

from tests.unit.compute.volumes.service import ALICES, BOBS, Service


def test_anybody_may_ask_for_versions(service: Service) -> None:
    (version,) = service.nobody.get("/", 300)["versions"]
    assert version["id"] == "v3.0"
    assert (version["min_version"], version["version"]) == ("3.0", "3.71")
    assert service.nobody.get("/v3/")["versions"] == [version]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("", "volume 3.0"),
        ("volume 3.59", "volume 3.59"),
        ("volume latest", "volume 3.71"),
        ("compute 2.1", "volume 3.0"),
        ("compute 2.1,volume 3.12", "volume 3.12"),
    ],
)
def test_the_version_is_told(service: Service, asked: str, answered: str) -> None:
    result = service.member.speaking(asked).request("GET", "/volumes", status=200)
    assert result.headers["OpenStack-API-Version"] == answered
    assert "OpenStack-API-Version" in result.headers["Vary"]


@pytest.mark.parametrize(
    ("asked", "status", "name"),
    [("volume 3.72", 406, "notAcceptable"), ("volume 2.0", 406, "notAcceptable"), ("volume three", 400, "badRequest")],
)
def test_a_version_that_there_is_not_is_refused(service: Service, asked: str, status: int, name: str) -> None:
    assert service.member.speaking(asked).get("/volumes", status)[name]["code"] == status


@pytest.mark.parametrize("path", ["/volumes/", "/snapshots/", "/v3/volumes/"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_what_has_no_name_is_not_there(service: Service, path: str, method: str) -> None:
    service.member.request(method, path, {"volume": {"name": "x"}, "snapshot": {"name": "x"}}, 404)


def test_what_came_later_is_not_there_earlier(service: Service) -> None:
    assert service.member.speaking("volume 3.26").get("/attachments", 404)["itemNotFound"]["code"] == 404
    assert service.member.speaking("volume 3.27").get("/attachments") == {"attachments": []}


def test_a_path_may_name_the_project_or_not(service: Service) -> None:
    volume = service.member.make_volume()
    assert service.member.get(f"/v3/volumes/{volume['id']}")["volume"]["id"] == volume["id"]
    assert service.member.get(f"/v3/{ALICES}/volumes/{volume['id']}")["volume"]["id"] == volume["id"]
    assert service.member.get(f"/v3/{BOBS}/volumes", 400)["badRequest"]["message"] == "Malformed request url"


def test_who_has_no_token_gets_401(service: Service) -> None:
    assert service.nobody.get("/volumes", 401)["unauthorized"]["code"] == 401
    service.nobody.post("/volumes", {"volume": {"size": 1}}, 401)


def test_attributes_come_with_their_versions(service: Service) -> None:
    volume_id = service.member.make_volume()["id"]
    old = service.member.speaking("volume 3.0").volume(volume_id)
    assert not {"group_id", "shared_targets", "volume_type_id", "consumes_quota"} & old.keys()
    assert "os-vol-host-attr:host" not in old
    new = service.admin.get(f"/v3/volumes/{volume_id}")["volume"]
    assert {"group_id", "shared_targets", "volume_type_id", "consumes_quota"} <= new.keys()
    assert {"cluster_name", "provider_id"} <= new.keys()
    assert new["os-vol-host-attr:host"] == service.settings.host
