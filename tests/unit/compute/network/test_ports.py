"""Ports: addresses, cards, bindings; and that no two get the same, whoever asks how many at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from compute.network import addresses
from compute.network.networks import DHCP_OWNER
from tests.databases import ON_POSTGRESQL
from tests.unit.compute.network.service import ALICES, Service

AT_ONCE = 8 if ON_POSTGRESQL else 24


def ips(port: Any) -> list[str]:
    return [each["ip_address"] for each in port["fixed_ips"]]


def test_a_port_gets_the_lowest_address_that_is_free(service: Service) -> None:
    network = service.member.make_network()
    first, second = (service.member.make_port(network) for _ in range(2))
    assert (ips(first), ips(second)) == (["10.0.0.3"], ["10.0.0.4"])
    service.member.delete(f"/ports/{first['id']}")
    assert ips(service.member.make_port(network)) == ["10.0.0.3"]
    assert first["mac_address"].startswith("fa:16:3e:")
    assert (first["status"], first["device_owner"], first["binding:vnic_type"]) == ("DOWN", "", "normal")


def test_as_many_at_once_as_there_are_addresses_get_one_each(service: Service) -> None:
    """A /28 without gateway has 14, of which the service itself has one."""
    network = service.member.make("network")
    service.member.make_subnet(network["id"], "10.0.0.0/28", gateway_ip=None)

    def ask(_number: int) -> Any:
        return service.member.request("POST", "/ports", {"port": {"network_id": network["id"]}})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(20)))
    made = [each.json["port"] for each in answers if each.status_code == 201]
    refused = [each.json["NeutronError"]["type"] for each in answers if each.status_code != 201]
    assert refused == ["IpAddressGenerationFailure"] * 7
    assert len({ip for port in made for ip in ips(port)}) == 13


def test_one_address_that_all_ask_for_at_once_is_given_once(service: Service) -> None:
    network = service.member.make_network()
    wanted = {"port": {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.0.0.77"}]}}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _number: service.member.request("POST", "/ports", wanted), range(AT_ONCE)))
    assert sorted(each.status_code for each in answers) == [201] + [409] * (AT_ONCE - 1)
    kinds = {each.json["NeutronError"]["type"] for each in answers if each.status_code == 409}
    assert kinds == {"IpAddressAlreadyAllocated"}


def test_quotas_are_exact_at_once(service: Service) -> None:
    network = service.member.make_network()
    service.admin.put(f"/quotas/{ALICES}", {"quota": {"port": 5}})
    wanted = {"port": {"network_id": network["id"]}}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _number: service.member.request("POST", "/ports", wanted), range(16)))
    assert sorted(each.status_code for each in answers) == [201] * 5 + [409] * 11
    assert service.member.get(f"/quotas/{ALICES}/details")["quota"]["port"]["used"] == 5


def test_addresses_are_asked_for(service: Service) -> None:
    network = service.member.make_network()
    subnet_id = network["subnets"][0]
    assert ips(service.member.make_port(network, fixed_ips=[{"ip_address": "10.0.0.50"}])) == ["10.0.0.50"]
    two = [{"subnet_id": subnet_id}, {"subnet_id": subnet_id, "ip_address": "10.0.0.3"}]
    assert sorted(ips(service.member.make_port(network, fixed_ips=two))) == ["10.0.0.3", "10.0.0.4"]
    assert ips(service.member.make_port(network, fixed_ips=[])) == []
    for status, wish, kind in (
        (409, {"ip_address": "10.0.0.50"}, "IpAddressAlreadyAllocated"),
        (400, {"ip_address": "10.9.0.1"}, "InvalidIpForNetwork"),
        (400, {"subnet_id": subnet_id, "ip_address": "10.9.0.1"}, "InvalidIpForSubnet"),
        (400, {"ip_address": "10.0.0.255"}, "InvalidIpForNetwork"),
        (400, {"subnet_id": network["id"]}, "InvalidInput"),
        (400, {"ip_address": "ten"}, "HTTPBadRequest"),
        (400, {}, "InvalidInput"),
    ):
        assert service.member.make_port(network, status, fixed_ips=[wish]) == kind


def test_addresses_change_and_those_that_stay_stay(service: Service) -> None:
    network = service.member.make_network()
    port = service.member.make_port(network)
    more = [*port["fixed_ips"], {"ip_address": "10.0.0.9"}]
    assert ips(service.member.change("port", port["id"], fixed_ips=more)) == ["10.0.0.3", "10.0.0.9"]
    subnet = [{"subnet_id": network["subnets"][0]}]
    assert ips(service.member.change("port", port["id"], fixed_ips=subnet)) == ["10.0.0.3"]
    assert ips(service.member.change("port", port["id"], fixed_ips=[])) == []
    assert service.member.change("port", port["id"], 409, fixed_ips=[{"ip_address": "10.0.0.2"}])


def test_cards_give_themselves_addresses_in_ipv6(service: Service) -> None:
    """RFC 4291, appendix A."""
    network = service.member.make_network()
    early = service.member.make_port(network)
    modes = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
    subnet = service.member.make_subnet(network["id"], "fd00:1::/64", **modes)
    port = service.member.make_port(network, mac_address="fa:16:3e:12:34:56")
    assert ips(port) == ["10.0.0.3", "fd00:1::f816:3eff:fe12:3456"] or ips(port)[1] == "fd00:1::f816:3eff:fe12:3456"
    assert len(ips(service.member.get(f"/ports/{early['id']}")["port"])) == 2
    wrong = [{"subnet_id": subnet["id"], "ip_address": "fd00:1::7"}]
    assert service.member.make_port(network, 400, fixed_ips=wrong) == "InvalidInput"
    service.member.delete(f"/subnets/{subnet['id']}")  # it is in nobody's way
    assert ips(service.member.get(f"/ports/{port['id']}")["port"]) == [ips(port)[0]]


def test_both_families_are_given(service: Service) -> None:
    network = service.member.make_network()
    service.member.make_subnet(network["id"], "fd00:2::/64")
    assert ips(service.member.make_port(network)) == ["10.0.0.3", "fd00:2::3"]


def test_a_card_is_its_networks_own(service: Service) -> None:
    network, other = service.member.make_network(), service.member.make_network()
    port = service.member.make_port(network, mac_address="FA-16-3E-00-00-01")
    assert port["mac_address"] == "fa:16:3e:00:00:01"
    assert service.member.make_port(network, 409, mac_address="fa:16:3e:00:00:01") == "MacAddressInUse"
    service.member.make_port(other, mac_address="fa:16:3e:00:00:01")
    for wrong in ("01:00:5e:00:00:01", "00:00:00:00:00:00", "fa:16", 7):
        assert service.member.make_port(network, 400, mac_address=wrong) == "HTTPBadRequest"


def test_a_binding_is_for_services_and_administrators(service: Service) -> None:
    network = service.member.make_network()
    port = service.member.make_port(network, device_id="server", device_owner="compute:nova")
    assert "binding:host_id" not in port
    assert service.member.change("port", port["id"], 403, **{"binding:host_id": "h"}) == "PolicyNotAuthorized"
    bound = service.compute.change("port", port["id"], **{"binding:host_id": "h"})
    assert (bound["binding:host_id"], bound["binding:vif_type"]) == ("h", "bridge")
    told = {"up": [port["id"]], "configurations": {"mode": "bridge"}, "started": True}
    service.compute.put("/internal/hosts/h", told, 204)
    assert service.member.get(f"/ports/{port['id']}")["port"]["status"] == "ACTIVE"
    assert service.compute.change("port", port["id"], 409, mac_address="fa:16:3e:00:00:09") == "PortBound"
    assert service.compute.change("port", port["id"], **{"binding:host_id": "other"})["status"] == "DOWN"
    assert [each["id"] for each in service.admin.get("/ports?binding:host_id=other")["ports"]] == [port["id"]]
    assert len(service.member.get("/ports?device_id=server")["ports"]) == 1


def test_a_service_makes_ports_for_projects(service: Service) -> None:
    network = service.member.make_network()
    port = service.compute.make_port(network, project_id=ALICES, **{"binding:host_id": "h"})
    assert (port["project_id"], service.member.get(f"/ports/{port['id']}")["port"]["id"]) == (ALICES, port["id"])
    service.compute.delete(f"/ports/{port['id']}")


def test_on_a_shared_network_users_have_what_they_are_given(service: Service) -> None:
    network = service.admin.make_network(shared=True)
    for asked in (
        {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
        {"mac_address": "fa:16:3e:00:00:01"},
        {"port_security_enabled": False},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.1"}]},
        {"device_owner": DHCP_OWNER},
    ):
        assert service.member.make_port(network, 403, **asked) == "PolicyNotAuthorized"
    subnet = [{"subnet_id": network["subnets"][0]}]
    port = service.member.make_port(network, fixed_ips=subnet)
    assert service.stranger.request("GET", f"/ports/{port['id']}").status_code == 404
    assert service.admin.get(f"/ports/{port['id']}")["port"]["project_id"] == ALICES


def test_groups_filter_what_is_secure(service: Service) -> None:
    network = service.member.make_network()
    port = service.member.make_port(network)
    (group,) = service.member.get("/security-groups")["security_groups"]
    assert port["security_groups"] == [group["id"]]
    refused = service.member.change("port", port["id"], 409, port_security_enabled=False)
    assert refused == "PortSecurityPortHasSecurityGroup"
    bare = service.member.change("port", port["id"], port_security_enabled=False, security_groups=[])
    assert (bare["port_security_enabled"], bare["security_groups"]) == (False, [])
    refused = service.member.change("port", port["id"], 400, security_groups=[group["id"]])
    assert refused == "PortSecurityAndIPRequiredForSecurityGroups"
    pair = {"allowed_address_pairs": [{"ip_address": "10.0.0.200"}]}
    assert service.member.change("port", port["id"], 409, **pair) == "AddressPairAndPortSecurityRequired"
    paired = service.member.make_port(network, **pair)
    expected = [{"mac_address": paired["mac_address"], "ip_address": "10.0.0.200"}]
    assert paired["allowed_address_pairs"] == expected
    twice = pair["allowed_address_pairs"] * 2
    assert service.member.make_port(network, 400, allowed_address_pairs=twice) == "DuplicateAddressPairInRequest"
    open_network = service.member.make_network(port_security_enabled=False)
    assert service.member.make_port(open_network)["security_groups"] == []


def test_options_of_dhcp_are_set_and_taken_away(service: Service) -> None:
    network = service.member.make_network()
    option = {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}
    port = service.member.make_port(network, extra_dhcp_opts=[option])
    assert port["extra_dhcp_opts"] == [{**option, "ip_version": 4}]
    more = [{"opt_name": "mtu", "opt_value": "1400"}]
    assert len(service.member.change("port", port["id"], extra_dhcp_opts=more)["extra_dhcp_opts"]) == 2
    less = [{**option, "opt_value": None}]
    (left,) = service.member.change("port", port["id"], extra_dhcp_opts=less)["extra_dhcp_opts"]
    assert left["opt_name"] == "mtu"
    for wrong in ({"opt_name": "a,b", "opt_value": "1"}, {"opt_name": "a", "opt_value": "1\ndhcp-script=/bin/sh"}):
        assert service.member.make_port(network, 400, extra_dhcp_opts=[wrong]) == "HTTPBadRequest"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("fixed_ips=ip_address%3D10.0.0.3", 1),
        ("fixed_ips=ip_address%3D10.0.0.3&fixed_ips=ip_address%3D10.0.0.4", 2),
        ("fixed_ips=ip_address_substr%3D10.0.0", 3),
        ("device_owner=network:dhcp", 1),
        ("security_groups=nothing", 0),
        ("name=", 3),
    ],
)
def test_ports_are_found(service: Service, query: str, count: int) -> None:
    network = service.member.make_network()
    for _ in range(2):
        service.member.make_port(network)
    assert len(service.member.get(f"/ports?{query}")["ports"]) == count


def test_free_addresses_are_those_that_a_search_would_find() -> None:
    """The arithmetic, against going through all of them."""
    pools = [{"start": "10.0.0.8", "end": "10.0.0.9"}, {"start": "10.0.0.2", "end": "10.0.0.4"}]
    whole = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.8", "10.0.0.9"]
    assert addresses.count(pools) == len(whole)
    for number in range(2 ** len(whole)):
        taken = [each for index, each in enumerate(whole) if number >> index & 1]
        expected = next((each for each in whole if each not in taken), None)
        assert addresses.free(pools, [*taken, "10.0.0.5", "fd00::1"], 4) == expected


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.1/32", "fd00::/64"])
def test_default_pools_are_usable_and_have_no_gateway(cidr: str) -> None:
    gateway = addresses.first_of(cidr)
    pools = addresses.default_pools(cidr, gateway)
    addresses.require_pools(pools, cidr, gateway)
    for pool in pools:
        assert addresses.is_usable(pool["start"], cidr)
    assert not addresses.in_pools(gateway, pools)
