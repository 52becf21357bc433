"""What hosts are told, and tell."""

import threading
from typing import Any

from compute.agent.wiring.wanted import wanted_of
from compute.network.api.surroundings import AGENT_TYPE
from compute.network.settings import Settings
from tests.unit.compute.network.service import ALICES, SETTINGS, Client, Service

SECOND_US = 1_000_000


def bind(service: Service, port: Any, host: str = "h") -> None:
    service.compute.change("port", port["id"], **{"binding:host_id": host})


def wanted(service: Service, host: str = "h") -> Any:
    return service.compute.get(f"/internal/hosts/{host}")["wanted"]


def report(service: Service, up: list[str], host: str = "h", **more: Any) -> None:
    document = {"up": up, "configurations": {"mode": "bridge"}, **more}
    service.compute.put(f"/internal/hosts/{host}", document, 204)


def test_only_services_of_the_cluster_are_told(service: Service) -> None:
    """A user with the role `service` is not one."""
    other = service.client("impostor", ("service", "admin", "member", "reader"), "e" * 32)
    for client in (service.member, service.admin, other):
        client.get("/internal/hosts/h", 404)
        client.put("/internal/hosts/h", {"up": [], "configurations": {}}, 404)
    service.nobody.get("/internal/hosts/h", 401)


def test_a_host_is_told_of_its_ports_and_of_no_others(service: Service) -> None:
    network, other = service.member.make_network(), service.member.make_network()
    port = service.member.make_port(network)
    service.member.make_port(network)
    service.member.make_port(other)
    assert wanted(service) == {"networks": [], "ports": [], "groups": {}, "members": {}, "routers": [], "hosts": []}
    bind(service, port)
    told = wanted(service)
    assert [each["id"] for each in told["ports"]] == [port["id"]]
    (shown,) = told["networks"]
    assert (shown["id"], shown["dhcp"]["addresses"], shown["mtu"]) == (network["id"], ["10.0.0.2/24"], 1450)
    assert told["ports"][0]["addresses"] == ["10.0.0.3"]
    (group,) = told["groups"]
    assert told["members"] == {group: ["10.0.0.3", "10.0.0.4", "10.0.0.3"][:2]}  # wherever they are
    assert wanted(service, "other")["ports"] == []


def test_members_of_a_group_are_those_of_all_networks(service: Service) -> None:
    group = service.member.make("security_group", name="web")
    about = {"security_group_id": group["id"], "direction": "ingress", "remote_group_id": group["id"]}
    service.member.make("security_group_rule", protocol="tcp", port_range_min=1, port_range_max=2, **about)
    groups = {"security_groups": [group["id"]]}
    port = service.member.make_port(service.member.make_network("10.1.0.0/24"), **groups)
    pairs = {"allowed_address_pairs": [{"ip_address": "10.7.0.0/16"}]}
    service.member.make_port(service.member.make_network("10.2.0.0/24"), **groups, **pairs)
    bind(service, port)
    told = wanted(service)
    assert told["members"] == {group["id"]: ["10.1.0.3", "10.2.0.3", "10.7.0.0/16"]}
    rules = told["groups"][group["id"]]
    assert [(each["protocol"], each["first"], each["last"]) for each in rules if each["group"]] == [(6, 1, 2)]


def test_the_tag_is_the_contents(service: Service) -> None:
    port = service.member.make_port(service.member.make_network())
    bind(service, port)
    tag = service.compute.get("/internal/hosts/h")["tag"]
    service.compute.request("GET", f"/internal/hosts/h?tag={tag}", status=304)
    service.member.make("network")  # nothing to this host
    service.compute.request("GET", f"/internal/hosts/h?tag={tag}", status=304)
    service.member.change("port", port["id"], name="x")
    service.compute.request("GET", f"/internal/hosts/h?tag={tag}", status=304)
    service.member.change("port", port["id"], admin_state_up=False)
    assert service.compute.get(f"/internal/hosts/h?tag={tag}")["tag"] != tag


def test_a_host_that_waits_is_answered_when_there_is_something_new(service: Service) -> None:
    port = service.member.make_port(service.member.make_network())
    tag = service.compute.get("/internal/hosts/h")["tag"]
    answers: list[Any] = []

    def wait(client: Client) -> None:
        answers.append(client.get(f"/internal/hosts/h?tag={tag}&wait_s=60"))

    thread = threading.Thread(target=wait, args=(service.client("nova", ("service",), "d" * 32),))
    thread.start()
    thread.join(0.2)
    assert not answers
    bind(service, port)
    thread.join(50)
    assert [each["id"] for each in answers[0]["wanted"]["ports"]] == [port["id"]]


def test_a_port_is_active_while_its_host_says_so(service: Service) -> None:
    network = service.member.make_network()
    port, other = service.member.make_port(network), service.member.make_port(network)
    bind(service, port)
    bind(service, other, "elsewhere")

    def statuses() -> list[str]:
        return [service.member.get(f"/ports/{each['id']}")["port"]["status"] for each in (port, other)]

    report(service, [port["id"], other["id"]])
    assert statuses() == ["ACTIVE", "DOWN"]  # of the other one it cannot tell
    revision = service.member.get(f"/ports/{port['id']}")["port"]["revision_number"]
    report(service, [port["id"]])
    assert service.member.get(f"/ports/{port['id']}")["port"]["revision_number"] == revision
    report(service, [])
    assert statuses() == ["DOWN", "DOWN"]
    service.compute.put("/internal/hosts/h", {"up": 1, "configurations": {}}, 400)


def test_hosts_are_shown_as_agents(service: Service) -> None:
    report(service, [], started=True)
    assert service.member.get("/agents")["agents"] == []
    (agent,) = service.admin.get("/agents")["agents"]
    assert (agent["host"], agent["agent_type"], agent["alive"]) == ("h", AGENT_TYPE, True)
    assert agent["configurations"] == {"mode": "bridge"}
    service.clock.now_us += int(SETTINGS.silent_s + 1) * SECOND_US
    assert service.admin.get(f"/agents/{agent['id']}")["agent"]["alive"] is False
    report(service, [])
    assert service.admin.get(f"/agents/{agent['id']}")["agent"]["alive"] is True
    changed = service.admin.put(f"/agents/{agent['id']}", {"agent": {"admin_state_up": False, "description": "d"}})
    assert (changed["agent"]["admin_state_up"], changed["agent"]["description"]) == (False, "d")
    assert service.admin.get("/agents?host=h")["agents"]
    assert service.admin.get("/agents?host=other")["agents"] == []
    service.admin.delete(f"/agents/{agent['id']}")
    service.admin.get(f"/agents/{agent['id']}", 404)


def test_the_mode_of_its_host_is_the_ports(service: Service) -> None:
    port = service.member.make_port(service.member.make_network())
    bind(service, port)
    document = {"up": [], "configurations": {"mode": "user"}}
    service.compute.put("/internal/hosts/h", document, 204)
    shown = service.admin.get(f"/ports/{port['id']}")["port"]
    assert (shown["binding:vif_type"], shown["binding:vif_details"]) == ("other", {"port_filter": False})


def test_settings_have_no_service_of_their_own() -> None:
    """Nobody is let in by default."""
    assert Settings().host_users == frozenset()
    assert ALICES not in SETTINGS.host_users


def test_a_host_is_told_of_routers_and_of_all_networks_that_they_join(service: Service) -> None:
    """Also of those of which it has no port: into these it routes, and there it is sent what others route."""
    external = service.admin.make_network("203.0.113.0/24", **{"router:external": True})
    near, far = (service.member.make_network(cidr) for cidr in ("10.0.0.0/24", "10.1.0.0/24"))
    alone = service.member.make_network("10.2.0.0/24")
    router = service.member.make("router", external_gateway_info={"network_id": external["id"]})
    for network in (near, far):
        joined = {"subnet_id": network["subnets"][0]}
        service.member.put(f"/routers/{router['id']}/add_router_interface", joined)
    here, there, apart = (service.member.make_port(network) for network in (near, far, alone))
    for host, port in (("h", here), ("other", there), ("third", apart)):
        bind(service, port, host)
        endpoint = {"tunneling_ip": f"192.0.2.{len(host)}", "tunneling_port": 4789}
        report(service, [], host, configurations={"mode": "bridge", **endpoint})
    floating = {
        host: service.member.make("floatingip", floating_network_id=external["id"], port_id=port["id"])
        for host, port in (("h", here), ("other", there))
    }
    told = wanted(service)
    (routed,) = told["routers"]
    assert (routed["id"], routed["gateway"]) == (router["id"], {"address": "203.0.113.1", "snat": True})
    interfaces = {each["network_id"]: each["addresses"] for each in routed["interfaces"]}
    assert interfaces == {near["id"]: ["10.0.0.1/24"], far["id"]: ["10.1.0.1/24"]}
    assert routed["floating"] == [[floating["h"]["floating_ip_address"], "10.0.0.3"]]
    networks = {each["id"]: each for each in told["networks"]}
    assert set(networks) == {near["id"], far["id"]}
    assert (networks[far["id"]]["dhcp"], networks[far["id"]]["subnets"]) == (None, [])
    assert networks[near["id"]]["dhcp"] is not None
    assert networks[near["id"]]["tunnel"]["peers"] == []  # nobody has ports of it, and somebody sends
    (peer,) = networks[far["id"]]["tunnel"]["peers"]
    assert peer["cards"] == [{"mac": there["mac_address"], "addresses": ["10.1.0.3"]}]
    assert told["hosts"] == ["192.0.2.1", "192.0.2.5"]
    understood = wanted_of(told)
    assert [understood.networks[each["id"]].way_out for each in (near, far)] == ["10.0.0.1", ""]
    assert understood.routers[router["id"]].floating == ((floating["h"]["floating_ip_address"], "10.0.0.3"),)
    assert wanted(service, "third")["routers"] == []
    service.member.change("router", router["id"], admin_state_up=False)
    assert (wanted(service)["routers"], len(wanted(service)["networks"])) == ([], 1)
