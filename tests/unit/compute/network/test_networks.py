"""Networks and subnets, as Neutron's API reference has them."""

from pathlib import Path
from typing import Any

import pytest

from compute.network.networks import DHCP_OWNER
from compute.network.settings import Settings
from tests.unit.compute.crashes import Crash
from tests.unit.compute.network.service import ALICES, SETTINGS, Service


def type_of(answer: Any) -> str:
    return str(answer["NeutronError"]["type"])


def test_a_start_makes_a_network_for_all_once(tmp_path: Path) -> None:
    service = Service(tmp_path, Settings(default_cidr="10.20.0.0/22"))
    (network,) = service.member.get("/networks")["networks"]
    assert (network["name"], network["shared"]) == ("default", True)
    port = service.member.make_port(network)
    assert port["fixed_ips"][0]["ip_address"] == "10.20.0.3"  # .1 is the gateway's, .2 the service's own
    service.begin()
    assert len(service.admin.get("/networks")["networks"]) == 1
    service.member.delete(f"/ports/{port['id']}")
    service.admin.delete(f"/networks/{network['id']}")
    service.begin()
    assert service.admin.get("/networks")["networks"] == []


def test_a_start_that_is_killed_is_made_anew(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.settings = Settings(default_cidr="10.20.0.0/22")
    service.wire.kill_before(0)
    with pytest.raises(Crash):
        service.begin()
    service.wire.begin_anew()
    service.begin()
    assert [each["name"] for each in service.admin.get("/networks")["networks"]] == ["default"]


def test_a_network_is_made_changed_shown_and_deleted(service: Service) -> None:
    made = service.member.make("network", name="blue", description="a", mtu=1400)
    assert (made["status"], made["mtu"], made["subnets"], made["project_id"]) == ("ACTIVE", 1400, [], ALICES)
    assert "provider:network_type" not in made
    assert service.admin.get(f"/networks/{made['id']}")["network"]["provider:network_type"] == "vxlan"
    changed = service.member.change("network", made["id"], name="red", admin_state_up=False)
    assert (changed["name"], changed["admin_state_up"]) == ("red", False)
    assert changed["revision_number"] == made["revision_number"] + 1
    service.member.delete(f"/networks/{made['id']}")
    assert type_of(service.member.get(f"/networks/{made['id']}", 404)) == "NetworkNotFound"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"nonsense": 1}, "Unrecognized attribute(s) 'nonsense'"),
        ({"id": "x"}, "Attribute 'id' not allowed in POST"),
        ({"name": 7}, "Invalid input for name. Reason: '7' is not a valid string."),
        ({"admin_state_up": "perhaps"}, "cannot be converted to boolean"),
        ({"dns_domain": "x\ndhcp-script=/bin/sh"}, "is not a valid domain"),
        ({"mtu": 9000}, "Requested MTU is out of range"),
        ({"availability_zone_hints": ["moon"]}, "AvailabilityZone moon could not be found"),
    ],
)
def test_what_a_network_cannot_be_is_refused(service: Service, attributes: dict[str, Any], message: str) -> None:
    refused = service.member.post("/networks", {"network": attributes}, 400)
    assert message in refused["NeutronError"]["message"]


@pytest.mark.parametrize("document", [{}, {"networks": []}, {"network": 1}, {"subnet": {}}])
def test_a_document_without_a_network_is_refused(service: Service, document: Any) -> None:
    assert type_of(service.member.post("/networks", document, 400)) == "HTTPBadRequest"


def test_only_administrators_share_and_see_how_it_is_made(service: Service) -> None:
    for attribute in ({"shared": True}, {"router:external": True}, {"provider:network_type": "local"}):
        refused = service.member.post("/networks", {"network": attribute}, 403)
        assert type_of(refused) == "PolicyNotAuthorized"
    assert service.member.make("network", shared=False)["shared"] is False  # as it would be anyhow
    network = service.admin.make_network(shared=True, name="ours")
    assert service.member.get(f"/networks/{network['id']}")["network"]["name"] == "ours"
    assert len(service.member.get(f"/subnets?network_id={network['id']}")["subnets"]) == 1
    assert service.member.change("network", network["id"], 404, name="mine") == "HTTPNotFound"
    assert service.member.make_subnet(network["id"], "10.9.0.0/24", 403) == "PolicyNotAuthorized"
    service.member.make_port(network)
    assert service.admin.change("network", network["id"], 409, shared=False) == "InvalidSharedSetting"


def test_several_are_made_all_or_none(service: Service) -> None:
    made = service.member.post("/networks", {"networks": [{"name": "a"}, {"name": "b"}]})["networks"]
    assert [each["name"] for each in made] == ["a", "b"]
    service.member.post("/networks", {"networks": [{"name": "c"}, {"name": 7}]}, 400)
    assert len(service.member.get("/networks")["networks"]) == 2


def test_an_administrator_makes_for_others_and_nobody_else_does(service: Service) -> None:
    assert service.admin.make("network", tenant_id=ALICES)["project_id"] == ALICES
    assert service.stranger.make("network", 400, project_id=ALICES) == "HTTPBadRequest"
    assert service.admin.make("network", 400, project_id=ALICES, tenant_id="b") == "HTTPBadRequest"


def test_a_network_in_use_is_not_deleted_and_an_unused_one_goes_with_its_subnets(service: Service) -> None:
    network = service.member.make_network()
    port = service.member.make_port(network)
    assert type_of(service.member.delete(f"/networks/{network['id']}", 409)) == "NetworkInUse"
    assert type_of(service.member.delete(f"/subnets/{network['subnets'][0]}", 409)) == "SubnetInUse"
    service.member.delete(f"/ports/{port['id']}")
    service.member.delete(f"/networks/{network['id']}")
    assert service.admin.get("/subnets")["subnets"] == service.admin.get("/ports")["ports"] == []


def test_a_subnet_has_defaults(service: Service) -> None:
    network = service.member.make("network")
    made = service.member.make_subnet(network["id"], "192.168.7.0/28", dns_nameservers=["1.1.1.1"])
    assert (made["gateway_ip"], made["enable_dhcp"]) == ("192.168.7.1", True)
    assert made["allocation_pools"] == [{"start": "192.168.7.2", "end": "192.168.7.14"}]
    without = service.member.make_subnet(network["id"], "192.168.8.0/30", gateway_ip=None)
    assert without["allocation_pools"] == [{"start": "192.168.8.1", "end": "192.168.8.2"}]
    middle = service.member.make_subnet(network["id"], "192.168.9.0/29", gateway_ip="192.168.9.4")
    assert [each["start"] for each in middle["allocation_pools"]] == ["192.168.9.1", "192.168.9.5"]
    assert service.member.get(f"/networks/{network['id']}")["network"]["subnets"] == [
        made["id"],
        without["id"],
        middle["id"],
    ]


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"cidr": "10.0.0.1/24"}, "HTTPBadRequest"),
        ({"cidr": "10.0.0.0"}, "HTTPBadRequest"),
        ({"cidr": "10.0.0.0/24", "ip_version": 6}, "InvalidInput"),
        ({"gateway_ip": "10.1.0.1"}, "InvalidInput"),
        ({"gateway_ip": "10.0.0.255"}, "InvalidInput"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.5"}]}, "InvalidAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.1.5"}]}, "OutOfBoundsAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.1"}]}, "HTTPBadRequest"),
        ({"dns_nameservers": [f"1.1.1.{each}" for each in range(6)]}, "DNSNameServersExhausted"),
        ({"host_routes": [{"destination": "fd00::/64", "nexthop": "10.0.0.1"}]}, "InvalidInput"),
        ({"ipv6_ra_mode": "slaac"}, "InvalidInput"),
        ({"cidr": "fd00::/65", "ip_version": 6, "ipv6_address_mode": "slaac"}, "InvalidInput"),
        (
            {"cidr": "fd00::/64", "ip_version": 6, "ipv6_address_mode": "slaac", "ipv6_ra_mode": "dhcpv6-stateful"},
            "InvalidInput",
        ),
    ],
)
def test_what_a_subnet_cannot_be_is_refused(service: Service, attributes: dict[str, Any], kind: str) -> None:
    network = service.member.make("network")
    whole = {"cidr": "10.0.0.0/24", "ip_version": 4, **attributes}
    assert service.member.make("subnet", 400, network_id=network["id"], **whole) == kind


def test_subnets_of_a_network_and_their_pools_do_not_overlap(service: Service) -> None:
    network = service.member.make_network()
    assert service.member.make_subnet(network["id"], "10.0.0.128/25", 400) == "InvalidInput"
    pools = [{"start": "10.1.0.10", "end": "10.1.0.20"}, {"start": "10.1.0.20", "end": "10.1.0.30"}]
    refused = service.member.make_subnet(network["id"], "10.1.0.0/24", 409, allocation_pools=pools)
    assert refused == "OverlappingAllocationPools"
    pools = [{"start": "10.1.0.1", "end": "10.1.0.20"}]
    refused = service.member.make_subnet(network["id"], "10.1.0.0/24", 409, allocation_pools=pools)
    assert refused == "GatewayConflictWithAllocationPools"
    service.member.make_subnet(service.member.make("network")["id"])  # another network may have the same addresses


def test_dhcp_comes_with_a_port_and_goes_with_it(service: Service) -> None:
    network = service.member.make_network()
    (port,) = service.member.get("/ports")["ports"]
    assert (port["device_owner"], port["fixed_ips"][0]["ip_address"]) == (DHCP_OWNER, "10.0.0.2")
    assert type_of(service.member.delete(f"/ports/{port['id']}", 409)) == "ServicePortInUse"
    second = service.member.make_subnet(network["id"], "fd00::/64")
    (port,) = service.member.get("/ports")["ports"]
    assert [each["ip_address"] for each in port["fixed_ips"]].count("fd00::2") == 1
    assert len(port["fixed_ips"]) == 2
    service.member.change("subnet", network["subnets"][0], enable_dhcp=False)
    (port,) = service.member.get("/ports")["ports"]
    assert [each["ip_address"] for each in port["fixed_ips"]] == ["fd00::2"]
    service.member.delete(f"/subnets/{second['id']}")
    assert service.member.get("/ports")["ports"] == []


def test_lists_are_filtered_sorted_and_paged(service: Service) -> None:
    for name in ("d", "a", "c", "b"):
        service.member.make("network", name=name, admin_state_up=name != "c")

    def names(query: str) -> list[str]:
        return [each["name"] for each in service.member.get(f"/networks?{query}")["networks"]]

    assert names("sort_key=name&sort_dir=desc") == ["d", "c", "b", "a"]
    assert sorted(names("name=a&name=b")) == ["a", "b"]
    assert names("admin_state_up=False") == ["c"]
    assert names("status=DOWN") == []
    page = service.member.get("/networks?limit=3&sort_key=name")
    assert [each["name"] for each in page["networks"]] == ["a", "b", "c"]
    links = {each["rel"]: each["href"].partition("/v2.0")[2] for each in page["networks_links"]}
    page = service.member.get(links["next"])
    assert [each["name"] for each in page["networks"]] == ["d"]
    links = {each["rel"]: each["href"].partition("/v2.0")[2] for each in page["networks_links"]}
    assert [each["name"] for each in service.member.get(links["previous"])["networks"]] == ["a", "b", "c"]
    assert "next" not in links
    assert service.member.get("/networks?name=a&fields=name&fields=mtu")["networks"] == [{"name": "a", "mtu": 1450}]
    for query in ("colour=red", "limit=-1", "sort_key=subnets", "sort_key=name&sort_dir=up"):
        service.member.get(f"/networks?{query}", 400)
    service.member.get("/networks?limit=1&marker=nothing", 404)


def test_what_was_changed_since_is_not_changed_again(service: Service) -> None:
    network = service.member.make("network")
    changed = {"network": {"name": "x"}}
    path, headers = f"/networks/{network['id']}", {"If-Match": "revision_number=1"}
    service.member.request("PUT", path, changed, 200, headers)
    refused = service.member.request("PUT", path, changed, 412, headers)
    assert type_of(refused.json) == "RevisionNumberConstraintFailed"


def test_tags_mark_and_find(service: Service) -> None:
    network = service.member.make("network", name="marked")
    service.member.make("network", name="plain")
    path = f"/networks/{network['id']}/tags"
    assert service.member.put(path, {"tags": ["red", "blue"]})["tags"] == ["blue", "red"]
    service.member.request("PUT", f"{path}/green", None, 201)
    service.member.request("GET", f"{path}/green", None, 204)
    service.member.delete(f"{path}/red")
    assert type_of(service.member.delete(f"{path}/red", 404)) == "TagNotFound"

    def names(query: str) -> list[str]:
        return [each["name"] for each in service.member.get(f"/networks?{query}")["networks"]]

    assert names("tags=blue,green") == names("tags-any=blue,red") == ["marked"]
    assert names("tags=blue,red") == []
    assert names("not-tags=blue") == names("not-tags-any=blue,red") == ["plain"]
    service.reader.put(path, {"tags": []}, 403)
    assert type_of(service.stranger.get(path, 404)) == "TagResourceNotFound"
    service.member.delete(path)
    assert service.member.get(path)["tags"] == []


def test_what_the_service_tells_of_itself(service: Service) -> None:
    (version,) = service.nobody.get("/")["versions"]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert {each["name"] for each in service.nobody.get("/v2.0")["resources"]} >= {"network", "port"}
    aliases = {each["alias"] for each in service.member.get("/extensions")["extensions"]}
    assert {"security-group", "router", "external-net", "ext-gw-mode"} <= aliases
    assert "extraroute" not in aliases
    assert service.member.get("/extensions/binding")["extension"]["name"] == "Port Binding"
    assert type_of(service.member.get("/extensions/extraroute", 404)) == "ExtensionNotFound"
    assert type_of(service.member.get("/subnetpools", 404)) == "HTTPNotFound"
    assert service.member.get("/availability_zones")["availability_zones"][0]["name"] == "nova"
    assert service.nobody.get("/networks", 401)["error"]["code"] == 401


def test_how_many_addresses_are_used(service: Service) -> None:
    network = service.member.make_network("10.0.0.0/28")
    service.member.make_port(network)
    found = service.admin.get(f"/network-ip-availabilities/{network['id']}")["network_ip_availability"]
    assert (found["total_ips"], found["used_ips"]) == (13, 2)
    assert service.admin.get("/network-ip-availabilities?ip_version=6")["network_ip_availabilities"] == []
    service.member.get("/network-ip-availabilities", 403)


def test_quotas_are_set_shown_and_kept(service: Service) -> None:
    service.admin.put(f"/quotas/{ALICES}", {"quota": {"network": 1, "port": 1}})
    network = service.member.make_network()
    assert service.member.make("network", 409) == "OverQuota"
    service.member.make_port(network)
    assert service.member.make_port(network, 409) == "OverQuota"
    details = service.member.get(f"/quotas/{ALICES}/details")["quota"]
    assert details["port"] == {"limit": 1, "used": 1, "reserved": 0}
    assert service.member.get(f"/quotas/{ALICES}/default")["quota"]["network"] == SETTINGS.quotas.network
    assert [each["project_id"] for each in service.admin.get("/quotas")["quotas"]] == [ALICES]
    for client in (service.stranger, service.member):
        client.put(f"/quotas/{ALICES}", {"quota": {"network": 9}}, 403)
    service.stranger.get(f"/quotas/{ALICES}", 403)
    service.admin.put(f"/quotas/{ALICES}", {"quota": {"subnetpool": 9}}, 400)
    service.admin.put(f"/quotas/{ALICES}", {"quota": {"port": 0, "check_limit": True}}, 409)
    service.admin.put(f"/quotas/{ALICES}", {"quota": {"network": -2}}, 400)
    service.admin.delete(f"/quotas/{ALICES}")
    service.admin.delete(f"/quotas/{ALICES}", 404)
    service.member.make("network")
