"""Regions, services, endpoints and catalogs over HTTP. Source: Keystone's API reference, "Service catalog"."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.identity.keystone.stack import PASSWORD, Stack, project_scope


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def endpoint(stack: Stack, status: int = 201, **attributes: Any) -> Any:
    document = {"endpoint": {"interface": "public", "url": "http://here", **attributes}}
    return stack.admin.ask(status, "POST", "/endpoints", document).get("endpoint")


def test_regions_are_made_changed_and_removed(stack: Stack) -> None:
    made = stack.make("region", id="north", description="up there", climate="cold")
    assert (made["id"], made["description"], made["parent_region_id"]) == ("north", "up there", None)
    assert made["climate"] == "cold"
    inner = stack.make("region", parent_region_id="north", description=None)
    assert inner["description"] == ""
    stack.admin.ask(201, "PUT", "/regions/south", {"region": {}})
    stack.admin.ask(400, "PUT", "/regions/west", {"region": {"id": "east"}})
    for wrong in ({}, {"region": None}, {"region": [1]}, {"region": {"id": 1}}):
        stack.admin.ask(400, "POST", "/regions", wrong)
        stack.admin.ask(400, "PUT", "/regions/west", wrong)
    stack.admin.ask(409, "POST", "/regions", {"region": {"id": "north"}})
    stack.admin.ask(404, "POST", "/regions", {"region": {"parent_region_id": "nowhere"}})
    assert [each["id"] for each in stack.admin.ask(200, "GET", "/regions?parent_region_id=north")["regions"]] == [
        inner["id"]
    ]
    changed = stack.admin.ask(200, "PATCH", "/regions/north", {"region": {"description": "far up"}})["region"]
    assert (changed["description"], changed["climate"]) == ("far up", "cold")
    stack.admin.ask(400, "PATCH", "/regions/north", {"region": {"parent_region_id": inner["id"]}})
    stack.admin.ask(204, "DELETE", "/regions/north")
    stack.admin.ask(404, "GET", f"/regions/{inner['id']}")
    stack.admin.ask(404, "DELETE", "/regions/north")


def test_a_region_with_endpoints_stays(stack: Stack) -> None:
    service = stack.make("service", type="object-store")
    endpoint(stack, service_id=service["id"], region="north")
    stack.admin.ask(409, "DELETE", "/regions/north")


def test_services_are_made_changed_and_removed(stack: Stack) -> None:
    made = stack.make("service", type="object-store", name="holdfast", description="stores objects")
    assert made["enabled"] is True
    assert "description" not in stack.make("service", type="volume")
    stack.admin.ask(400, "POST", "/services", {"service": {"name": "of no type"}})
    path = f"/services/{made['id']}"
    changed = stack.admin.ask(200, "PATCH", path, {"service": {"description": "more"}})["service"]
    assert changed == {**made, "description": "more"}
    assert stack.admin.ask(200, "GET", path)["service"] == changed
    assert len(stack.admin.ask(200, "GET", "/services?type=volume")["services"]) == 1
    assert len(stack.admin.ask(200, "GET", "/services?name=holdfast")["services"]) == 1
    stack.admin.ask(204, "DELETE", path)
    stack.admin.ask(404, "GET", path)


def test_endpoints_are_made_changed_and_removed(stack: Stack) -> None:
    service, other = stack.make("service", type="a"), stack.make("service", type="b")
    made = endpoint(stack, service_id=service["id"], region="north")
    assert (made["region"], made["region_id"], made["enabled"]) == ("north", "north", True)
    stack.admin.ask(200, "GET", "/regions/north")  # made along with it
    path = f"/endpoints/{made['id']}"
    change = {"service_id": other["id"], "interface": "internal", "region": "south", "enabled": False, "url": "http://x"}
    changed = stack.admin.ask(200, "PATCH", path, {"endpoint": change})["endpoint"]
    assert change.items() <= changed.items()
    assert len(stack.admin.ask(200, "GET", "/endpoints?interface=internal")["endpoints"]) == 1
    assert len(stack.admin.ask(200, "GET", f"/endpoints?service_id={service['id']}")["endpoints"]) == 0
    assert len(stack.admin.ask(200, "GET", "/endpoints?region_id=south")["endpoints"]) == 1
    stack.admin.ask(204, "DELETE", path)
    stack.admin.ask(404, "DELETE", path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"enabled": "true"},
        {"interface": "private"},
        {"service_id": "nowhere"},
        {"region_id": "nowhere"},
        {"url": "http://here/$(password)s"},
        {"url": "http://here/$(project_id"},
        {"url": ""},
    ],
)
def test_an_endpoint_that_is_no_use_is_refused(stack: Stack, wrong: Any) -> None:
    service = stack.make("service", type="a")
    endpoint(stack, 400, **{"service_id": service["id"], **wrong})


def test_a_catalog_has_the_urls_of_the_project(stack: Stack) -> None:
    service = stack.make("service", type="object-store", name="holdfast")
    endpoint(stack, service_id=service["id"], url="http://here/v1/AUTH_$(project_id)s", region="north")
    endpoint(stack, service_id=service["id"], url="http://here/%(user_id)s", interface="internal")
    endpoint(stack, service_id=service["id"], url="http://hidden", interface="admin", enabled=False)
    endpoint(stack, service_id=stack.make("service", type="off", enabled=False)["id"])
    ann = stack.login("ann", scope=project_scope("photos"))
    catalog = ann.ask(200, "GET", "/auth/catalog")["catalog"]
    assert [each["type"] for each in catalog] == ["object-store"]
    urls = {each["interface"]: each["url"] for each in catalog[0]["endpoints"]}
    assert urls == {"public": f"http://here/v1/AUTH_{stack.photos['id']}", "internal": f"http://here/{stack.ann['id']}"}
    assert catalog[0]["endpoints"][0].keys() == {"id", "interface", "region", "region_id", "url"}
    assert ann.ask(200, "GET", "/auth/tokens", subject=ann.text)["token"]["catalog"] == catalog


def test_a_catalog_without_a_project_leaves_out_what_needs_one(stack: Stack) -> None:
    service = stack.make("service", type="object-store")
    endpoint(stack, service_id=service["id"], url="http://here/$(tenant_id)s")
    stack.admin.ask(204, "PUT", f"/domains/default/users/{stack.ann['id']}/roles/{stack.roles['reader'].id}")
    token = stack.by_password("ann", PASSWORD, {"domain": {"id": "default"}}).json["token"]
    assert token["catalog"][0]["endpoints"] == []
    stack.login("ann", scope="unscoped").ask(403, "GET", "/auth/catalog")


def test_only_admins_change_the_catalog(stack: Stack) -> None:
    ann = stack.login("ann", scope=project_scope("photos"))
    ann.ask(200, "GET", "/regions")
    for kind in ("region", "service", "endpoint"):
        ann.ask(403, "POST", f"/{kind}s", {kind: {}})
        ann.ask(403, "PATCH", f"/{kind}s/1", {kind: {}})
        ann.ask(403, "DELETE", f"/{kind}s/1")
    ann.ask(403, "GET", "/endpoints")
    stack.nobody.ask(401, "GET", "/regions")
