"""The real openstacksdk, over HTTP: what it sends is taken, and what is answered it understands."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import openstack
import pytest
from openstack.exceptions import ConflictException, ForbiddenException, NotFoundException

from tests.unit.compute.network.service import Service

pytestmark = pytest.mark.filterwarnings("ignore")  # of what the SDK will change


class _Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    service = Service(tmp_path_factory.mktemp("sdk"))
    server = make_server("127.0.0.1", 0, service.application, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def connected(url: str, token: str) -> Any:
    """Return the SDK's network client with a token as its own."""
    auth = {"token": token, "endpoint": url}
    return openstack.connect(
        load_envvars=False, auth_type="admin_token", auth=auth, network_endpoint_override=url
    ).network


def test_a_network_is_built_and_taken_down(url: str, tmp_path: Path) -> None:
    alice = connected(url, "alice")
    network = alice.create_network(name="blue", mtu=1400)
    subnet = alice.create_subnet(network_id=network.id, cidr="10.5.0.0/24", ip_version=4, dns_nameservers=["1.1.1.1"])
    group = alice.create_security_group(name="web")
    rule = alice.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=80, port_range_max=81
    )
    port = alice.create_port(network_id=network.id, security_group_ids=[group.id], name="p")
    assert port.fixed_ips[0]["subnet_id"] == subnet.id
    assert alice.find_network("blue").subnet_ids == [subnet.id]
    assert alice.find_port("p").id == port.id
    assert [each.id for each in alice.security_group_rules(security_group_id=group.id, direction="ingress")] == [
        rule.id
    ]
    assert alice.update_port(port, name="q").name == "q"
    alice.set_tags(network, ["a", "b"])
    assert [each.id for each in alice.networks(tags="a,b")] == [network.id]
    ports = alice.create_ports([{"network_id": network.id, "name": str(number)} for number in range(5)])
    paged = list(alice.ports(network_id=network.id, limit=2))
    assert len({each.id for each in paged}) == len(paged) == 7  # five, the first, and that of DHCP
    with pytest.raises(ConflictException):
        alice.delete_network(network)
    for each in [port, *ports]:
        alice.delete_port(each)
    alice.delete_security_group(group)
    alice.delete_network(network)
    assert alice.find_network("blue") is None
    with pytest.raises(NotFoundException):
        alice.get_subnet(subnet.id)


def test_an_administrator_asks_for_what_others_may_not(url: str) -> None:
    admin, alice = connected(url, "admin"), connected(url, "alice")
    shared = admin.create_network(name="shared", is_shared=True)
    assert alice.get_network(shared.id).is_shared
    with pytest.raises(ForbiddenException):
        alice.create_network(name="mine", is_shared=True)
    assert [each.network_id for each in admin.network_ip_availabilities(network_id=shared.id)] == [shared.id]
    project_id = "a" * 32
    assert admin.update_quota(project_id, ports=7).ports == 7
    assert alice.get_quota(project_id, details=True).ports["limit"] == 7
    assert list(admin.agents()) == []
    assert admin.find_extension("security-group").alias == "security-group"
    assert admin.find_extension("extraroute") is None
    assert [each.name for each in alice.availability_zones()] == ["nova"]


def test_a_server_is_given_a_way_out_and_a_floating_address(url: str) -> None:
    admin, alice = connected(url, "admin"), connected(url, "alice")
    outside = admin.create_network(name="outside", is_router_external=True)
    admin.create_subnet(network_id=outside.id, cidr="203.0.113.0/24", ip_version=4, is_dhcp_enabled=False)
    network = alice.create_network(name="inside")
    subnet = alice.create_subnet(network_id=network.id, cidr="10.6.0.0/24", ip_version=4)
    router = alice.create_router(name="r", external_gateway_info={"network_id": outside.id})
    assert alice.add_interface_to_router(router, subnet_id=subnet.id)["subnet_ids"] == [subnet.id]
    port = alice.create_port(network_id=network.id)
    address = alice.create_ip(floating_network_id=outside.id)
    assert alice.find_available_ip().id == address.id
    assert alice.update_ip(address, port_id=port.id).fixed_ip_address == "10.6.0.3"
    assert [each.id for each in alice.ips(port_id=port.id, status="ACTIVE")] == [address.id]
    assert [each.id for each in alice.networks(is_router_external=True)] == [outside.id]
    with pytest.raises(ConflictException):
        alice.delete_router(router)
    alice.delete_ip(address)
    alice.remove_interface_from_router(router, subnet_id=subnet.id)
    assert alice.update_router(router, external_gateway_info=None).external_gateway_info is None
    alice.delete_router(router)
    assert alice.find_router("r") is None
