"""What differs from noun to noun: what is done with rows, whose they are, and filters that are no columns."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, false, true

from compute.network import floating_ips, networks, ports, routers, security_groups, subnets
from compute.network.attributes import FLOATING_IP, NETWORK, PORT, ROUTER, RULE, SECURITY_GROUP, SUBNET, Noun
from compute.network.errors import InvalidInput
from compute.network.listing import Filter
from compute.network.schema import allocations, port_security_groups
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work


@dataclass(frozen=True, slots=True)
class Served:
    """A noun with what can be done to it."""

    noun: Noun
    path: str
    seen_by: Callable[[str | None], "ColumnElement[bool]"]
    documents: Callable[[Connection, Settings, Sequence[AnyRow]], list[dict[str, Any]]]
    create: Callable[[Work, Mapping[str, Any]], str]
    remove: Callable[[Work, AnyRow, bool], None]  # by an administrator, or not
    update: Callable[[Work, AnyRow, Mapping[str, Any]], None] | None = None
    parent: tuple[str, Noun] | None = None  # attribute, and what it belongs to: rules are told whose that is
    named: Mapping[str, Noun] = field(default_factory=dict)  # attributes (a.b: b of a) with ids of what must be seen
    filters: Mapping[str, Filter] = field(default_factory=dict)


def _fixed_ips(values: Sequence[str]) -> "ColumnElement[bool]":
    """Return the condition of ports that have an address, as in `fixed_ips=ip_address=10.0.0.1`."""
    conditions: dict[str, list[str]] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise InvalidInput(error_message=f"'{value}' is no filter of fixed_ips")
        conditions.setdefault(name, []).append(text)
    query = exists().where(allocations.c.port_id == PORT.table.c.id)
    if "ip_address" in conditions:
        query = query.where(allocations.c.ip_address.in_([_short(each) for each in conditions["ip_address"]]))
    if "subnet_id" in conditions:
        query = query.where(allocations.c.subnet_id.in_(conditions["subnet_id"]))
    for text in conditions.get("ip_address_substr", ()):
        query = query.where(allocations.c.ip_address.contains(text, autoescape=True))
    return query


def _short(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _groups(values: Sequence[str]) -> "ColumnElement[bool]":
    table = port_security_groups
    return exists().where(table.c.port_id == PORT.table.c.id, table.c.security_group_id.in_(values))


def _always_active(values: Sequence[str]) -> "ColumnElement[bool]":
    return true() if networks.ACTIVE in values else false()


SERVED: tuple[Served, ...] = (
    Served(
        NETWORK,
        "networks",
        networks.seen_by,
        networks.documents,
        networks.create,
        lambda work, row, _by_admin: networks.remove(work, row),
        networks.update,
        filters={"status": _always_active},
    ),
    Served(
        SUBNET,
        "subnets",
        subnets.seen_by,
        subnets.documents,
        subnets.create,
        lambda work, row, _by_admin: subnets.remove(work, row),
        subnets.update,
        parent=("network_id", NETWORK),
        named={"network_id": NETWORK},
    ),
    Served(
        PORT,
        "ports",
        ports.seen_by,
        ports.documents,
        ports.create,
        lambda work, row, _by_admin: ports.remove(work, row),
        ports.update,
        parent=("network_id", NETWORK),
        named={"network_id": NETWORK, "security_groups": SECURITY_GROUP},
        filters={"fixed_ips": _fixed_ips, "security_groups": _groups},
    ),
    Served(
        SECURITY_GROUP,
        "security-groups",
        security_groups.seen_by,
        security_groups.documents,
        security_groups.create,
        security_groups.remove,
        security_groups.update,
    ),
    Served(
        RULE,
        "security-group-rules",
        security_groups.sees_rules,
        security_groups.rule_documents,
        security_groups.create_rule,
        lambda work, row, _by_admin: security_groups.remove_rule(work, row),
        parent=("security_group_id", SECURITY_GROUP),
        named={"security_group_id": SECURITY_GROUP, "remote_group_id": SECURITY_GROUP},
    ),
    Served(
        ROUTER,
        "routers",
        routers.seen_by,
        routers.documents,
        routers.create,
        lambda work, row, _by_admin: routers.remove(work, row),
        routers.update,
        named={"external_gateway_info.network_id": NETWORK},
        filters={"status": _always_active},
    ),
    Served(
        FLOATING_IP,
        "floatingips",
        floating_ips.seen_by,
        floating_ips.documents,
        floating_ips.create,
        lambda work, row, _by_admin: floating_ips.remove(work, row),
        floating_ips.update,
        named={"floating_network_id": NETWORK, "subnet_id": SUBNET, "port_id": PORT},
    ),
)
BY_NOUN: Mapping[str, Served] = {each.noun.name: each for each in SERVED}
