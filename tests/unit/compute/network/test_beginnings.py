"""What is there from the beginning: a network for all, and its way out."""

from dataclasses import replace
from pathlib import Path

from tests.unit.compute.network.service import SETTINGS, Service
from tests.unit.compute.network.test_routers import ports_of


def test_the_default_network_has_a_way_out_from_the_beginning(tmp_path: Path) -> None:
    settings = replace(SETTINGS, default_cidr="10.20.0.0/22", external_cidr="10.20.4.0/22")
    service = Service(tmp_path, settings)
    found = {each["name"]: each for each in service.member.get("/networks")["networks"]}
    assert [each["router:external"] for each in (found["default"], found["external"])] == [False, True]
    (router,) = service.admin.get("/routers")["routers"]
    assert router["external_gateway_info"]["network_id"] == found["external"]["id"]
    port = service.member.make_port(found["default"])
    floating = service.member.make("floatingip", floating_network_id=found["external"]["id"], port_id=port["id"])
    assert floating["router_id"] == router["id"]
    service.begin()
    assert len(service.admin.get("/networks")["networks"]) == 2
    service.member.delete(f"/floatingips/{floating['id']}")
    inner = {"subnet_id": found["default"]["subnets"][0]}
    service.admin.put(f"/routers/{router['id']}/remove_router_interface", inner)
    service.admin.delete(f"/routers/{router['id']}")
    service.begin()
    assert service.admin.get("/routers")["routers"] == []


def test_a_way_out_comes_to_a_network_that_was_there_before(tmp_path: Path) -> None:
    """As when an older version began it."""
    service = Service(tmp_path, replace(SETTINGS, default_cidr="10.20.0.0/22"))
    service.settings = replace(service.settings, external_cidr="10.20.4.0/22")
    service.begin()
    (router,) = service.admin.get("/routers")["routers"]
    assert router["external_gateway_info"]["enable_snat"] is True
    held = {each["fixed_ips"][0]["ip_address"] for each in ports_of(service.admin, router)}
    assert held == {"10.20.0.1", "10.20.4.2"}
