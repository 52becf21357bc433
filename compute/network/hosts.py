"""What a host shall have, as one document, and what it tells of itself.

The document is all that its bridges, filters, DHCP servers and routers are made of: networks of which it has ports,
with their subnets; those ports, with addresses and groups; the groups' rules; the addresses of the groups that rules
name; routers of these networks, and what else they join (`routed`). The same state gives the same document, whose tag
is a hash of it.

    {"networks": [{"id", "mtu", "dns_domain", "dhcp": {"mac", "addresses"} or null,
                   "subnets": [{"id", "ip_version", "cidr", "gateway_ip", "dns_nameservers", "host_routes", "ra_mode"}],
                   "tunnel": {"vni", "peers": [{"address", "port", "cards": [{"mac", "addresses"}]}]} or null}],
     "ports": [{"id", "network_id", "mac", "addresses", "device_id", "up", "secure", "groups", "pairs", "options"}],
     "groups": {id: [{"direction", "ethertype", "protocol", "first", "last", "prefix", "group"}]},
     "members": {id: [addresses]},
     "routers": [{"id", "interfaces": [{"id", "network_id", "mac", "addresses"}],
                  "gateway": {"address", "snat"} or null, "floating": [[floating address, fixed one]]}],
     "hosts": [addresses, which guests shall not reach by their way out]}
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from compute.network import allocation, ports, protocols, routed, tunnels
from compute.network.attributes import PORT
from compute.network.networks import ACTIVE, DHCP_OWNER, DOWN
from compute.network.schema import allocations, hosts, networks, port_security_groups, security_group_rules, subnets
from compute.network.schema import ports as table
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work
from compute.records import IDS_PER_QUERY, new_id


def wanted(connection: Connection, settings: Settings, host: str) -> dict[str, Any]:
    """Return what a host shall have."""
    bound = connection.execute(select(table).where(table.c.host_id == host).order_by(table.c.id)).all()
    bound = [row for row in bound if host and row.device_owner != DHCP_OWNER]
    ids = [row.id for row in bound]
    fixed, groups = allocation.of_ports(connection, ids), ports.groups_of(connection, ids)
    rules = _rules(connection, sorted({group for each in groups.values() for group in each}))
    named = {rule["group"] for each in rules.values() for rule in each if rule["group"]}
    own = sorted({row.network_id for row in bound})
    router_ids, reached = routed.reached_from(connection, own)
    known = _networks(connection, settings, host, sorted({*own, *reached}), reached)
    return {
        "networks": [each if each["id"] in own else {**each, "dhcp": None, "subnets": []} for each in known],
        "ports": [_port(row, [each["ip_address"] for each in fixed[row.id]], groups[row.id]) for row in bound],
        "groups": rules,
        "members": _members(connection, sorted(named)),
        "routers": routed.documents(connection, router_ids, host),
        "hosts": tunnels.addresses_of_hosts(connection) if router_ids else [],
    }


def tag_of(document: Mapping[str, Any]) -> str:
    """Return the tag of a document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def told(work: Work, host: str, up: Sequence[str], configurations: Mapping[str, Any], has_started: bool) -> None:
    """Note what a host tells: that it is there, how it wires, and which ports' cards are there and filtered."""
    row = work.connection.execute(select(hosts).where(hosts.c.host == host)).one_or_none()
    if row is None:
        work.connection.execute(
            insert(hosts).values(
                host=host,
                id=new_id(),
                description="",
                availability_zone=work.settings.availability_zone,
                admin_state_up=True,
                configurations=dict(configurations),
                created_at_us=work.now_us,
                started_at_us=work.now_us,
                heartbeat_us=work.now_us,
            )
        )
    else:
        values: dict[str, Any] = {}
        if work.now_us - row.heartbeat_us > work.settings.heartbeat_s * 1_000_000 or has_started:
            values["heartbeat_us"] = work.now_us
        if row.configurations != configurations:
            values["configurations"] = dict(configurations)
        if has_started:
            values["started_at_us"] = work.now_us
        if values:
            work.connection.execute(update(hosts).where(hosts.c.host == host).values(**values))
    alive = set(up)
    for port in work.connection.execute(select(table.c.id, table.c.status).where(table.c.host_id == host)).all():
        status = ACTIVE if port.id in alive else DOWN
        if status != port.status:
            work.revise(PORT, port.id, {"status": status})


def _networks(
    connection: Connection, settings: Settings, host: str, ids: Sequence[str], reached: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what a host is told of networks; `reached`: those into which other hosts route."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = select(networks).where(networks.c.id.in_(ids[start : start + IDS_PER_QUERY])).order_by(networks.c.id)
        rows = connection.execute(query).all()
        tunnel_of = tunnels.of_networks(connection, host, rows, reached)
        found += [{**_network(connection, settings, row), "tunnel": tunnel_of[row.id]} for row in rows]
    return found


def _network(connection: Connection, settings: Settings, row: AnyRow) -> dict[str, Any]:
    own = connection.execute(select(subnets).where(subnets.c.network_id == row.id).order_by(subnets.c.id)).all()
    served = {each.id: each for each in own if each.enable_dhcp}
    is_dhcp = (table.c.network_id == row.id) & (table.c.device_owner == DHCP_OWNER)
    port = connection.execute(select(table).where(is_dhcp)).one_or_none()
    held = [] if port is None else allocation.of_ports(connection, [port.id])[port.id]
    lengths = {each.id: each.cidr.partition("/")[2] for each in own}
    dhcp = [f"{each['ip_address']}/{lengths[each['subnet_id']]}" for each in held]
    return {
        "id": row.id,
        "mtu": row.mtu,
        "dns_domain": row.dns_domain.rstrip(".") or settings.dns_domain,
        "dhcp": None if port is None else {"mac": port.mac_address, "addresses": sorted(dhcp)},
        "subnets": [
            {
                "id": each.id,
                "ip_version": each.ip_version,
                "cidr": each.cidr,
                "gateway_ip": each.gateway_ip,
                "dns_nameservers": each.dns_nameservers,
                "host_routes": each.host_routes,
                "mode": each.ipv6_address_mode or each.ipv6_ra_mode or "",
            }
            for each in served.values()
        ],
    }


def _port(row: AnyRow, own: list[str], groups: list[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "network_id": row.network_id,
        "mac": row.mac_address,
        "addresses": own,
        "device_id": row.device_id,
        "up": row.admin_state_up,
        "secure": row.port_security_enabled,
        "groups": groups,
        "pairs": [[each["mac_address"], each["ip_address"]] for each in row.allowed_address_pairs],
        "options": [[each["ip_version"], each["opt_name"], each["opt_value"]] for each in row.extra_dhcp_opts],
    }


def _rules(connection: Connection, groups: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {each: [] for each in groups}
    rules = security_group_rules
    for start in range(0, len(groups), IDS_PER_QUERY):
        query = select(rules).where(rules.c.security_group_id.in_(groups[start : start + IDS_PER_QUERY]))
        for row in connection.execute(query.order_by(rules.c.id)):
            found[row.security_group_id].append(
                {
                    "direction": row.direction,
                    "ethertype": row.ethertype,
                    "protocol": protocols.number(row.protocol, row.ethertype),
                    "first": row.port_range_min,
                    "last": row.port_range_max,
                    "prefix": row.remote_ip_prefix,
                    "group": row.remote_group_id,
                }
            )
    return found


def _members(connection: Connection, groups: Sequence[str]) -> dict[str, list[str]]:
    """Return the addresses of all ports of each group, wherever they are, and those they may send from beside."""
    found: dict[str, set[str]] = {each: set() for each in groups}
    of = port_security_groups
    for start in range(0, len(groups), IDS_PER_QUERY):
        some = groups[start : start + IDS_PER_QUERY]
        joined = of.join(allocations, allocations.c.port_id == of.c.port_id)
        query = select(of.c.security_group_id, allocations.c.ip_address).select_from(joined)
        for group_id, address in connection.execute(query.where(of.c.security_group_id.in_(some))):
            found[group_id].add(address)
        joined = of.join(table, table.c.id == of.c.port_id)
        pairs = select(of.c.security_group_id, table.c.allowed_address_pairs).select_from(joined)
        for group_id, held in connection.execute(pairs.where(of.c.security_group_id.in_(some))):
            found[group_id] |= {each["ip_address"] for each in held}
    return {group_id: sorted(each) for group_id, each in found.items()}
