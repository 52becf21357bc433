"""Routers: what Neutron's API says of them, and what it refuses."""

from typing import Any

import pytest

from compute.network.own_ports import ROUTER_GATEWAY, ROUTER_INTERFACE
from tests.unit.compute.network.service import Client, Service


def outside(service: Service, cidr: str = "203.0.113.0/24") -> Any:
    """Return an external network."""
    return service.admin.make_network(cidr, name="outside", **{"router:external": True})


def way_out(network: Any, **more: Any) -> dict[str, Any]:
    return {"external_gateway_info": {"network_id": network["id"], **more}}


def join(client: Client, router: Any, status: int = 200, /, **what: str) -> Any:
    """Add an interface; return what is answered, or the error's type."""
    answer = client.put(f"/routers/{router['id']}/add_router_interface", what, status)
    return answer if status == 200 else answer["NeutronError"]["type"]


def leave(client: Client, router: Any, status: int = 200, /, **what: str) -> Any:
    answer = client.put(f"/routers/{router['id']}/remove_router_interface", what, status)
    return answer if status == 200 else answer["NeutronError"]["type"]


def refusal(answer: Any) -> str:
    return str(answer["NeutronError"]["type"])


def ports_of(client: Client, router: Any) -> list[Any]:
    return list(client.get(f"/ports?device_id={router['id']}")["ports"])


def test_a_router_is_made_changed_and_deleted(service: Service) -> None:
    router = service.member.make("router", name="r", description="d")
    assert (router["status"], router["admin_state_up"], router["external_gateway_info"]) == ("ACTIVE", True, None)
    changed = service.member.change("router", router["id"], name="s", admin_state_up=False)
    assert (changed["name"], changed["admin_state_up"]) == ("s", False)
    assert changed["revision_number"] > router["revision_number"]
    service.member.put(f"/routers/{router['id']}/tags", {"tags": ["a"]})
    assert [each["id"] for each in service.member.get("/routers?tags=a&name=s&status=ACTIVE")["routers"]] == [
        router["id"]
    ]
    assert service.stranger.get("/routers")["routers"] == []
    service.reader.delete(f"/routers/{router['id']}", 403)
    service.member.delete(f"/routers/{router['id']}")
    assert refusal(service.member.get(f"/routers/{router['id']}", 404)) == "RouterNotFound"


def test_a_subnet_gets_the_router_as_its_gateway(service: Service) -> None:
    network, router = service.member.make_network(), service.member.make("router")
    (subnet_id,) = network["subnets"]
    joined = join(service.member, router, subnet_id=subnet_id)
    assert (joined["id"], joined["network_id"], joined["subnet_id"]) == (router["id"], network["id"], subnet_id)
    assert joined["subnet_ids"] == [subnet_id]
    (port,) = ports_of(service.member, router)
    assert (port["id"], port["device_owner"], port["status"]) == (joined["port_id"], ROUTER_INTERFACE, "ACTIVE")
    assert (port["fixed_ips"][0]["ip_address"], port["security_groups"]) == ("10.0.0.1", [])
    assert join(service.member, router, 400, subnet_id=subnet_id) == "BadRequest"
    other = service.member.make("router")
    assert join(service.member, other, 409, subnet_id=subnet_id) == "IpAddressAlreadyAllocated"
    assert refusal(service.member.delete(f"/routers/{router['id']}", 409)) == "RouterInUse"
    assert refusal(service.member.delete(f"/ports/{port['id']}", 409)) == "ServicePortInUse"
    assert refusal(service.member.delete(f"/subnets/{subnet_id}", 409)) == "SubnetInUse"
    assert refusal(service.member.delete(f"/networks/{network['id']}", 409)) == "NetworkInUse"
    assert service.member.change("subnet", subnet_id, 409, gateway_ip=None) == "GatewayIpInUse"
    assert leave(service.member, router, subnet_id=subnet_id)["port_id"] == port["id"]
    assert ports_of(service.member, router) == []
    assert leave(service.member, router, 404, subnet_id=subnet_id) == "RouterInterfaceNotFoundForSubnet"
    service.member.delete(f"/routers/{router['id']}")
    service.member.delete(f"/networks/{network['id']}")


def test_a_port_becomes_an_interface(service: Service) -> None:
    network, router = service.member.make_network(), service.member.make("router")
    port = service.member.make_port(network)
    joined = join(service.member, router, port_id=port["id"])
    assert (joined["port_id"], joined["subnet_id"]) == (port["id"], network["subnets"][0])
    assert join(service.member, router, 409, port_id=port["id"]) == "PortInUse"
    other = service.member.make_port(service.member.make_network("10.1.0.0/24"))
    assert leave(service.member, router, 404, port_id=other["id"]) == "RouterInterfaceNotFound"
    wrong = {"port_id": port["id"], "subnet_id": other["fixed_ips"][0]["subnet_id"]}
    assert leave(service.member, router, 400, **wrong) == "SubnetMismatchForPort"
    leave(service.member, router, port_id=port["id"], subnet_id=network["subnets"][0])
    service.member.get(f"/ports/{port['id']}", 404)


def test_what_cannot_be_an_interface(service: Service) -> None:
    router, network = service.member.make("router"), service.member.make("network")
    assert join(service.member, router, 400) == "BadRequest"
    subnet = service.member.make_subnet(network["id"], "10.0.0.0/24", gateway_ip=None)
    assert join(service.member, router, 400, subnet_id=subnet["id"]) == "BadRequest"
    port = service.member.make_port(network)
    assert join(service.member, router, 400, subnet_id=subnet["id"], port_id=port["id"]) == "BadRequest"
    bare = service.member.make_port(service.member.make("network"))
    assert join(service.member, router, 400, port_id=bare["id"]) == "BadRequest"
    newer = service.member.make_subnet(network["id"], "fd00::/64")
    assert join(service.member, router, 400, subnet_id=newer["id"]) == "BadRequest"
    join(service.member, router, port_id=port["id"])
    overlapping = service.member.make_network("10.0.0.0/16")
    assert join(service.member, router, 400, subnet_id=overlapping["subnets"][0]) == "BadRequest"
    assert join(service.member, router, 400, subnet_id="x") == "HTTPBadRequest"


def test_the_gateways_address_is_for_who_has_the_network(service: Service) -> None:
    """Else anybody would be what everybody's guests send to."""
    shared = service.admin.make_network("10.9.0.0/24", shared=True)
    router = service.member.make("router")
    assert join(service.member, router, 403, subnet_id=shared["subnets"][0]) == "PolicyNotAuthorized"
    join(service.member, router, port_id=service.member.make_port(shared)["id"])
    assert join(service.member, router, 403, subnet_id=outside(service)["subnets"][0]) == "PolicyNotAuthorized"


def test_an_owner_that_a_user_writes_makes_no_interface(service: Service) -> None:
    network, router = service.member.make_network(), service.stranger.make("router")
    owned = {"device_id": router["id"], "device_owner": ROUTER_INTERFACE}
    port = service.member.make_port(network, **owned)
    service.stranger.delete(f"/routers/{router['id']}")
    service.member.delete(f"/ports/{port['id']}")


def test_a_way_out_is_a_port_in_an_external_network(service: Service) -> None:
    network = outside(service)
    router = service.member.make("router", **way_out(network))
    info = router["external_gateway_info"]
    assert (info["network_id"], info["enable_snat"]) == (network["id"], True)
    assert [each["ip_address"] for each in info["external_fixed_ips"]] == ["203.0.113.3"]  # DHCP has the second
    assert ports_of(service.member, router) == []  # it is nobody's
    (port,) = ports_of(service.admin, router)
    assert (port["device_owner"], port["project_id"]) == (ROUTER_GATEWAY, "")
    assert refusal(service.admin.delete(f"/ports/{port['id']}", 409)) == "ServicePortInUse"
    for attributes in (way_out(network, enable_snat=False), way_out(network, external_fixed_ips=[])):
        allowed = 200 if "enable_snat" not in attributes["external_gateway_info"] else 403
        service.member.put(f"/routers/{router['id']}", {"router": attributes}, allowed)
    asked = way_out(network, enable_snat=False, external_fixed_ips=[{"ip_address": "203.0.113.77"}])
    info = service.admin.change("router", router["id"], **asked)["external_gateway_info"]
    assert (info["enable_snat"], info["external_fixed_ips"][0]["ip_address"]) == (False, "203.0.113.77")
    assert service.admin.change("network", network["id"], 409, **{"router:external": False}) == "ExternalNetworkInUse"
    changed = service.member.change("router", router["id"], external_gateway_info={})
    assert changed["external_gateway_info"] is None
    assert ports_of(service.admin, router) == []
    service.member.change("router", router["id"], **way_out(network))
    service.member.delete(f"/routers/{router['id']}")
    service.admin.delete(f"/networks/{network['id']}")


@pytest.mark.parametrize("mistake", ["not external", "not there", "gateway", "overlapping"])
def test_what_cannot_be_a_way_out(service: Service, mistake: str) -> None:
    network = outside(service)
    if mistake == "not external":
        assert service.member.make("router", 400, **way_out(service.member.make_network())) == "BadRequest"
    elif mistake == "not there":
        missing = {"id": "11111111-1111-4111-8111-111111111111"}
        assert service.member.make("router", 404, **way_out(missing)) == "NetworkNotFound"
    elif mistake == "gateway":
        asked = way_out(network, external_fixed_ips=[{"ip_address": "203.0.113.1"}])
        assert service.admin.make("router", 400, **asked) == "BadRequest"
    else:
        router = service.member.make("router")
        join(service.member, router, subnet_id=service.member.make_network("203.0.113.0/25")["subnets"][0])
        assert service.member.change("router", router["id"], 400, **way_out(network)) == "BadRequest"


def test_external_networks_are_administrators_and_seen_by_all(service: Service) -> None:
    assert service.member.make("network", 403, **{"router:external": True}) == "PolicyNotAuthorized"
    network = outside(service)
    found = service.member.get("/networks?router:external=True")["networks"]
    assert [each["id"] for each in found] == [network["id"]]
    assert [each["id"] for each in service.member.get("/subnets")["subnets"]] == network["subnets"]
    assert service.member.make_port(network, 403) == "PolicyNotAuthorized"


def test_routers_have_a_quota(service: Service) -> None:
    service.admin.put(f"/quotas/{service.member.project_id}", {"quota": {"router": 1}})
    service.member.make("router")
    assert service.member.make("router", 409) == "OverQuota"
    details = service.member.get(f"/quotas/{service.member.project_id}/details")["quota"]
    assert (details["router"]["used"], details["floatingip"]["limit"]) == (1, 50)
