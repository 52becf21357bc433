"""Security groups and rules, as Neutron's API reference has them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.unit.compute.network.service import ALICES, BOBS, Service

TCP = {"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}


def test_a_project_has_a_default_group_with_neutrons_rules(service: Service) -> None:
    """It lets out all, and lets in what its own members send."""
    (group,) = service.member.get("/security-groups")["security_groups"]
    assert (group["name"], group["project_id"]) == ("default", ALICES)
    told = {(each["direction"], each["ethertype"], each["remote_group_id"]) for each in group["security_group_rules"]}
    expected = {("egress", family, None) for family in ("IPv4", "IPv6")}
    assert told == expected | {("ingress", family, group["id"]) for family in ("IPv4", "IPv6")}
    assert service.member.make("security_group", 409, name="default") == "SecurityGroupDefaultAlreadyExists"
    assert service.member.change("security_group", group["id"], 409, name="x") == "SecurityGroupCannotUpdateDefault"
    service.member.change("security_group", group["id"], description="mine")
    refused = service.member.delete(f"/security-groups/{group['id']}", 409)
    assert refused["NeutronError"]["type"] == "SecurityGroupCannotRemoveDefault"


def test_a_default_group_is_made_once_whoever_asks_at_once(service: Service) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _number: service.member.get("/security-groups")["security_groups"], range(8)))
    assert len({group["id"] for groups in found for group in groups}) == 1


def test_a_group_is_made_with_rules_that_let_out(service: Service) -> None:
    group = service.member.make("security_group", name="web", description="w")
    assert [each["direction"] for each in group["security_group_rules"]] == ["egress", "egress"]
    rule = service.member.make("security_group_rule", security_group_id=group["id"], **TCP)
    assert (rule["protocol"], rule["ethertype"], rule["port_range_min"], rule["project_id"]) == (
        "tcp",
        "IPv4",
        80,
        ALICES,
    )
    path = f"/security-groups/{group['id']}"
    shown = service.member.get(path)["security_group"]
    assert len(shown["security_group_rules"]) == 3
    assert shown["revision_number"] > group["revision_number"]
    again = service.member.post(
        "/security-group-rules", {"security_group_rule": {"security_group_id": group["id"], **TCP}}, 409
    )
    message = f"Security group rule already exists. Rule id is {rule['id']}."
    assert again["NeutronError"] == {"type": "SecurityGroupRuleExists", "message": message, "detail": ""}
    service.member.delete(f"/security-group-rules/{rule['id']}")
    service.member.get(f"/security-group-rules/{rule['id']}", 404)
    service.member.delete(path)


def test_a_group_in_use_is_not_deleted(service: Service) -> None:
    group = service.member.make("security_group", name="web")
    port = service.member.make_port(service.member.make_network(), security_groups=[group["id"]])
    refused = service.member.delete(f"/security-groups/{group['id']}", 409)
    assert refused["NeutronError"]["type"] == "SecurityGroupInUse"
    service.member.delete(f"/ports/{port['id']}")
    service.member.delete(f"/security-groups/{group['id']}")


def test_rules_that_name_a_group_go_with_it(service: Service) -> None:
    group, other = (service.member.make("security_group", name=name) for name in "ab")
    about = {"security_group_id": group["id"], "direction": "ingress", "remote_group_id": other["id"]}
    rule = service.member.make("security_group_rule", **about)
    service.member.delete(f"/security-groups/{other['id']}")
    service.member.get(f"/security-group-rules/{rule['id']}", 404)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"direction": "up"}, "HTTPBadRequest"),
        ({"protocol": "smoke"}, "SecurityGroupInvalidProtocol"),
        ({"protocol": 256}, "SecurityGroupInvalidProtocol"),
        ({"port_range_min": 90}, "SecurityGroupInvalidPortRange"),
        ({"port_range_max": None}, "SecurityGroupInvalidPortRange"),
        ({"port_range_max": 70_000}, "SecurityGroupInvalidPortValue"),
        ({"protocol": None}, "SecurityGroupInvalidProtocolForPort"),
        ({"protocol": "gre"}, "SecurityGroupInvalidProtocolForPort"),
        ({"protocol": "icmp", "port_range_min": 300, "port_range_max": None}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "icmp", "port_range_min": None, "port_range_max": 0}, "SecurityGroupMissingIcmpType"),
        (
            {"protocol": "ipv6-icmp", "port_range_min": None, "port_range_max": None},
            "SecurityGroupEthertypeConflictWithProtocol",
        ),
        ({"remote_ip_prefix": "fd00::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "10.0.0.0/40"}, "HTTPBadRequest"),
        ({"ethertype": "IPX"}, "HTTPBadRequest"),
    ],
)
def test_what_a_rule_cannot_be_is_refused(service: Service, attributes: dict[str, Any], kind: str) -> None:
    group = service.member.make("security_group", name="web")
    whole = {"security_group_id": group["id"], **TCP, **attributes}
    assert service.member.make("security_group_rule", 400, **whole) == kind


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, {"protocol": "icmp"}),
        ({"protocol": "icmpv6", "ethertype": "ipv6"}, {"ethertype": "IPv6"}),
        ({"protocol": "any"}, {"protocol": None}),
        ({"protocol": 6, "port_range_min": 1, "port_range_max": 9}, {"protocol": "6"}),
        ({"remote_ip_prefix": "10.1.2.3/8"}, {"remote_ip_prefix": "10.0.0.0/8"}),
        ({"remote_ip_prefix": "10.1.2.3"}, {"remote_ip_prefix": "10.1.2.3/32"}),
    ],
)
def test_what_a_rule_can_be(service: Service, attributes: dict[str, Any], shown: dict[str, Any]) -> None:
    group = service.member.make("security_group", name="web")
    rule = service.member.make("security_group_rule", security_group_id=group["id"], direction="ingress", **attributes)
    assert {name: rule[name] for name in shown} == shown


def test_a_rule_names_no_group_of_a_stranger(service: Service) -> None:
    own = service.member.make("security_group", name="web")
    foreign = service.stranger.make("security_group", name="web")
    about = {"security_group_id": own["id"], "direction": "ingress", "remote_group_id": foreign["id"]}
    assert service.member.make("security_group_rule", 404, **about) == "SecurityGroupNotFound"
    about["remote_group_id"] = "bad_group_id"
    assert service.member.make("security_group_rule", 404, **about) == "SecurityGroupNotFound"
    about = {"security_group_id": foreign["id"], "direction": "ingress"}
    assert service.member.make("security_group_rule", 404, **about) == "SecurityGroupNotFound"
    network = service.member.make_network()
    assert service.member.make_port(network, 404, security_groups=[foreign["id"]]) == "SecurityGroupNotFound"


def test_an_administrators_rule_is_the_groups_projects(service: Service) -> None:
    group = service.stranger.make("security_group", name="web")
    rule = service.admin.make("security_group_rule", security_group_id=group["id"], **TCP)
    assert rule["project_id"] == BOBS
    service.stranger.delete(f"/security-group-rules/{rule['id']}")
