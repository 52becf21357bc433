"""Floating addresses: what Neutron's API says of them, and what it refuses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compute.network.own_ports import FLOATING
from tests.unit.compute.network.service import Service
from tests.unit.compute.network.test_routers import join, leave, outside, refusal, way_out


@dataclass
class World:
    """A network of a user's, with a way out."""

    service: Service
    outside: Any
    network: Any
    router: Any
    port: Any

    def make(self, status: int = 201, /, **attributes: Any) -> Any:
        return self.service.member.make("floatingip", status, floating_network_id=self.outside["id"], **attributes)

    def show(self, floating: Any) -> Any:
        return self.service.member.get(f"/floatingips/{floating['id']}")["floatingip"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    service = Service(tmp_path)
    external, network = outside(service), service.member.make_network()
    router = service.member.make("router", **way_out(external))
    join(service.member, router, subnet_id=network["subnets"][0])
    return World(service, external, network, router, service.member.make_port(network))


def test_an_address_floats_from_port_to_port(world: World) -> None:
    floating, member = world.make(description="d"), world.service.member
    assert (floating["floating_ip_address"], floating["status"], floating["port_id"]) == ("203.0.113.4", "DOWN", None)
    leading = member.change("floatingip", floating["id"], port_id=world.port["id"])
    assert (leading["fixed_ip_address"], leading["router_id"]) == ("10.0.0.3", world.router["id"])
    assert (leading["status"], leading["description"]) == ("ACTIVE", "d")
    for query in (f"port_id={world.port['id']}", "floating_ip_address=203.0.113.4", f"router_id={world.router['id']}"):
        assert [each["id"] for each in member.get(f"/floatingips?{query}")["floatingips"]] == [floating["id"]]
    assert member.get("/floatingips?status=DOWN")["floatingips"] == []
    other = member.make_port(world.network)
    assert member.change("floatingip", floating["id"], port_id=other["id"])["fixed_ip_address"] == "10.0.0.4"
    kept = member.change("floatingip", floating["id"], description="e")
    assert (kept["port_id"], kept["description"]) == (other["id"], "e")
    free = member.change("floatingip", floating["id"], port_id=None)
    assert (free["port_id"], free["fixed_ip_address"], free["router_id"], free["status"]) == (None, None, None, "DOWN")
    member.put(f"/floatingips/{floating['id']}/tags", {"tags": ["a"]})
    member.delete(f"/floatingips/{floating['id']}")
    assert refusal(member.get(f"/floatingips/{floating['id']}", 404)) == "FloatingIPNotFound"
    assert world.make()["floating_ip_address"] == "203.0.113.4"


def test_its_port_is_the_services(world: World) -> None:
    floating, admin = world.make(port_id=world.port["id"]), world.service.admin
    (port,) = admin.get(f"/ports?device_id={floating['id']}")["ports"]
    assert (port["device_owner"], port["project_id"]) == (FLOATING, "")
    assert refusal(admin.delete(f"/ports/{port['id']}", 409)) == "ServicePortInUse"
    assert refusal(admin.delete(f"/networks/{world.outside['id']}", 409)) == "NetworkInUse"
    assert refusal(admin.delete(f"/subnets/{world.outside['subnets'][0]}", 409)) == "SubnetInUse"


def test_a_network_goes_with_addresses_that_lead_nowhere(service: Service) -> None:
    network = outside(service)
    floating = service.member.make("floatingip", floating_network_id=network["id"])
    service.admin.delete(f"/networks/{network['id']}")
    service.member.get(f"/floatingips/{floating['id']}", 404)


def test_a_port_that_goes_is_left(world: World) -> None:
    floating = world.make(port_id=world.port["id"])
    world.service.member.change("port", world.port["id"], fixed_ips=[{"ip_address": "10.0.0.99"}])
    assert world.show(floating)["port_id"] is None
    world.service.member.change("floatingip", floating["id"], port_id=world.port["id"])
    world.service.member.delete(f"/ports/{world.port['id']}")
    assert (world.show(floating)["port_id"], world.show(floating)["status"]) == (None, "DOWN")


def test_a_fixed_address_has_one(world: World) -> None:
    world.make(port_id=world.port["id"])
    assert world.make(409, port_id=world.port["id"]) == "FloatingIPPortAlreadyAssociated"
    second = world.make()
    changed = {"port_id": world.port["id"]}
    found = world.service.member.change("floatingip", second["id"], 409, **changed)
    assert found == "FloatingIPPortAlreadyAssociated"


def test_a_port_with_several_addresses_needs_one_to_be_named(world: World) -> None:
    wish = [{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}]
    port = world.service.member.make_port(world.network, fixed_ips=wish)
    assert world.make(400, port_id=port["id"]) == "BadRequest"
    assert world.make(400, port_id=port["id"], fixed_ip_address="10.0.0.3") == "BadRequest"
    assert world.make(400, fixed_ip_address="10.0.0.50") == "BadRequest"
    for each in wish:
        made = world.make(port_id=port["id"], fixed_ip_address=each["ip_address"])
        assert made["fixed_ip_address"] == each["ip_address"]
    bare = world.service.member.make_port(world.service.member.make("network"))
    assert world.make(400, port_id=bare["id"]) == "BadRequest"


def test_there_must_be_a_way_between(world: World) -> None:
    member = world.service.member
    island = member.make_port(member.make_network("10.1.0.0/24"))
    assert world.make(404, port_id=island["id"]) == "ExternalGatewayForFloatingIPNotFound"
    other = outside(world.service, "198.51.100.0/24")
    sent = {"floating_network_id": other["id"], "port_id": world.port["id"]}
    assert member.make("floatingip", 404, **sent) == "ExternalGatewayForFloatingIPNotFound"
    assert member.make("floatingip", 400, floating_network_id=world.network["id"]) == "BadRequest"
    bare = world.service.admin.make("network", **{"router:external": True})
    assert member.make("floatingip", 400, floating_network_id=bare["id"]) == "BadRequest"


def test_the_way_stays_while_it_is_needed(world: World) -> None:
    member, floating = world.service.member, world.make(port_id=world.port["id"])
    inner = {"subnet_id": world.network["subnets"][0]}
    assert leave(member, world.router, 409, **inner) == "RouterInterfaceInUseByFloatingIP"
    needed = "RouterExternalGatewayInUseByFloatingIp"
    assert member.change("router", world.router["id"], 409, external_gateway_info=None) == needed
    other = outside(world.service, "198.51.100.0/24")
    assert member.change("router", world.router["id"], 409, **way_out(other)) == needed
    member.delete(f"/floatingips/{floating['id']}")
    leave(member, world.router, **inner)
    member.change("router", world.router["id"], external_gateway_info=None)


def test_addresses_are_chosen_by_administrators_and_run_out(tmp_path: Path) -> None:
    service = Service(tmp_path)
    network = outside(service, "203.0.113.0/29")
    named = {"floating_network_id": network["id"], "floating_ip_address": "203.0.113.6"}
    assert service.member.make("floatingip", 403, **named) == "PolicyNotAuthorized"
    assert service.admin.make("floatingip", **named)["floating_ip_address"] == "203.0.113.6"
    assert service.admin.make("floatingip", 409, **named) == "IpAddressAlreadyAllocated"
    by_subnet = {"floating_network_id": network["id"], "subnet_id": network["subnets"][0]}
    made = [service.member.make("floatingip", **by_subnet)["floating_ip_address"] for _ in range(3)]
    assert made == ["203.0.113.3", "203.0.113.4", "203.0.113.5"]
    assert service.member.make("floatingip", 409, **by_subnet) == "IpAddressGenerationFailure"
    service.admin.put(f"/quotas/{service.member.project_id}", {"quota": {"floatingip": 3}})
    assert service.member.make("floatingip", 409, **by_subnet) == "OverQuota"


def test_addresses_that_are_for_others_are_none(service: Service) -> None:
    network = service.admin.make("network", **{"router:external": True})
    reserved = {"service_types": ["network:router_gateway"], "enable_dhcp": False}
    service.admin.make_subnet(network["id"], "203.0.113.0/24", **reserved)
    sent = {"floating_network_id": network["id"]}
    assert service.member.make("floatingip", 400, **sent) == "ExternalIpAddressExhausted"


def test_nobody_leads_to_anothers_port(world: World) -> None:
    """Who owns a network sees the ports of others in it."""
    shared = world.service.admin.make_network("10.7.0.0/24", shared=True)
    router = world.service.admin.make("router", **way_out(world.outside))
    join(world.service.admin, router, subnet_id=shared["subnets"][0])
    mine, theirs = world.service.member.make_port(shared), world.service.stranger.make_port(shared)
    assert world.make(404, port_id=theirs["id"]) == "PortNotFound"
    assert world.make(port_id=mine["id"])["router_id"] == router["id"]
    sent = {"floating_network_id": world.outside["id"], "port_id": theirs["id"]}
    assert world.service.admin.make("floatingip", 400, **sent) == "BadRequest"
