"""Ports: their rows, and what may be done to them. A port is a card with addresses, filtered by security groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from compute.network import addresses, allocation, floating_ips, own_ports, quotas, security_groups
from compute.network.attributes import NETWORK, PORT
from compute.network.errors import (
    AddressPairAndPortSecurityRequired,
    AddressPairsExhausted,
    Conflict,
    DuplicateAddressPairInRequest,
    MacAddressInUse,
    PortBound,
    PortSecurityAndIPRequiredForSecurityGroups,
    PortSecurityPortHasSecurityGroup,
    SecurityGroupNotFound,
)
from compute.network.networks import DOWN
from compute.network.schema import hosts, networks, port_security_groups, ports, tags
from compute.network.schema import security_groups as groups_table
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work, standard_of, tags_of
from compute.records import IDS_PER_QUERY

BRIDGE, UNBOUND, OTHER = "bridge", "unbound", "other"  # kinds of interfaces
_OF_SERVICE = "network:"  # owners of ports that no group filters
_APART = ("fixed_ips", "security_groups", "tags", "extra_dhcp_opts", "allowed_address_pairs", "binding:profile")
_MAC_ATTEMPTS = 16


class ServicePortInUse(Conflict):
    """What the service made for itself goes with what it is for."""

    words = "Port {id} cannot be deleted directly via the port API: has device owner {owner}."


def create(work: Work, attributes: Mapping[str, Any]) -> str:
    """Make a port with its addresses, and return its id. Raise what says why it cannot be."""
    network = work.find(NETWORK, attributes["network_id"])
    quotas.require(work, attributes["project_id"], PORT.name)
    mac = _mac_for(work.connection, network.id, attributes.get("mac_address"))
    is_secure = bool(attributes.get("port_security_enabled", network.port_security_enabled))
    pairs = _pairs(work.settings, attributes["allowed_address_pairs"], mac)
    if pairs and not is_secure:
        raise AddressPairAndPortSecurityRequired()
    port_id = work.add(
        PORT,
        {
            **_columns(attributes),
            "mac_address": mac,
            "status": DOWN,
            "port_security_enabled": is_secure,
            "allowed_address_pairs": pairs,
            "extra_dhcp_opts": _options([], attributes["extra_dhcp_opts"]),
            "profile": dict(attributes["binding:profile"]),
        },
    )
    owner = allocation.Owner(network.id, port_id, mac, attributes["device_owner"])
    allocation.give(work, owner, attributes.get("fixed_ips"))
    groups = attributes.get("security_groups")
    if groups is None and is_secure and not attributes["device_owner"].startswith(_OF_SERVICE):
        groups = [security_groups.ensure_default(work, attributes["project_id"])]
    if groups and not is_secure:
        raise PortSecurityAndIPRequiredForSecurityGroups()
    _set_groups(work.connection, port_id, groups or [])
    if attributes["tags"]:
        work.connection.execute(insert(tags), [{"resource_id": port_id, "tag": tag} for tag in attributes["tags"]])
    return port_id


def update(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Change a port. Raise what says why it cannot be."""
    values = _columns(attributes)
    mac = attributes.get("mac_address", row.mac_address)
    if mac != row.mac_address:
        if row.host_id:
            raise PortBound(id=row.id, vif_type=BRIDGE, old=row.mac_address, new=mac)
        values["mac_address"] = _mac_for(work.connection, row.network_id, mac)
    is_secure = attributes.get("port_security_enabled", row.port_security_enabled)
    groups = attributes.get("security_groups")
    _require_secure(work, row, is_secure, groups, attributes)
    if "allowed_address_pairs" in attributes:
        values["allowed_address_pairs"] = _pairs(work.settings, attributes["allowed_address_pairs"], mac)
    if "extra_dhcp_opts" in attributes:
        values["extra_dhcp_opts"] = _options(row.extra_dhcp_opts, attributes["extra_dhcp_opts"])
    if "binding:profile" in attributes:
        values["profile"] = attributes["binding:profile"]
    if attributes.get("binding:host_id", row.host_id) != row.host_id:
        values["status"] = DOWN  # until the new host tells otherwise
    if "fixed_ips" in attributes:
        owner = allocation.Owner(row.network_id, row.id, mac, attributes.get("device_owner", row.device_owner))
        allocation.change(work, owner, attributes["fixed_ips"])
        kept = allocation.of_ports(work.connection, [row.id])[row.id]
        floating_ips.leave(work, row.id, [each["ip_address"] for each in kept])
    if groups is not None:
        _set_groups(work.connection, row.id, groups)
    work.revise(PORT, row.id, values)


def remove(work: Work, row: AnyRow) -> None:
    """Delete a port; floating addresses that led to it lead nowhere then. Raise ServicePortInUse."""
    if own_ports.is_own(work, row):
        raise ServicePortInUse(id=row.id, owner=row.device_owner)
    floating_ips.leave(work, row.id)
    work.remove(PORT, row.id)


def seen_by(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of ports that a project sees: its own, and those in its networks."""
    own = select(networks.c.id).where(networks.c.project_id == project_id)
    return (ports.c.project_id == project_id) | ports.c.network_id.in_(own)


def groups_of(connection: Connection, port_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the groups of each port."""
    found: dict[str, list[str]] = {each: [] for each in port_ids}
    table = port_security_groups
    for start in range(0, len(port_ids), IDS_PER_QUERY):
        query = select(table).where(table.c.port_id.in_(port_ids[start : start + IDS_PER_QUERY]))
        for row in connection.execute(query.order_by(table.c.security_group_id)):
            found[row.port_id].append(row.security_group_id)
    return found


def documents(connection: Connection, _settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return ports as documents, with all that they have."""
    ids = [row.id for row in rows]
    fixed, groups, marked = allocation.of_ports(connection, ids), groups_of(connection, ids), tags_of(connection, ids)
    modes = {row.host: row.configurations.get("mode", BRIDGE) for row in connection.execute(select(hosts))}
    return [_document(row, fixed[row.id], groups[row.id], marked[row.id], modes) for row in rows]


def _document(
    row: AnyRow, fixed: list[dict[str, str]], groups: list[str], marks: list[str], modes: Mapping[str, str]
) -> dict[str, Any]:
    is_bridge = modes.get(row.host_id, BRIDGE) == BRIDGE
    return {
        **standard_of(row),
        "name": row.name,
        "network_id": row.network_id,
        "admin_state_up": row.admin_state_up,
        "mac_address": row.mac_address,
        "fixed_ips": fixed,
        "status": row.status,
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "security_groups": groups,
        "port_security_enabled": row.port_security_enabled,
        "allowed_address_pairs": row.allowed_address_pairs,
        "extra_dhcp_opts": row.extra_dhcp_opts,
        "binding:host_id": row.host_id,
        "binding:vnic_type": row.vnic_type,
        "binding:profile": row.profile,
        "binding:vif_type": UNBOUND if not row.host_id else BRIDGE if is_bridge else OTHER,
        "binding:vif_details": {"port_filter": is_bridge} if row.host_id else {},
        "tags": marks,
    }


def _columns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return those columns that are attributes as they are."""
    return {PORT.columns.get(name, name): value for name, value in attributes.items() if name not in _APART}


def _mac_for(connection: Connection, network_id: str, wanted: str | None) -> str:
    """Return a MAC address that is free in a network. Raise MacAddressInUse."""
    for _attempt in range(_MAC_ATTEMPTS):
        mac = wanted or addresses.new_mac()
        query = select(ports.c.id).where(ports.c.network_id == network_id, ports.c.mac_address == mac)
        if connection.scalar(query) is None:
            return mac
        if wanted:
            break
    raise MacAddressInUse(network=network_id, mac=wanted)


def _pairs(settings: Settings, wanted: Sequence[Mapping[str, str]], mac: str) -> list[dict[str, str]]:
    """Return address pairs, each with a MAC address: the port's, where none is said."""
    if len(wanted) > settings.pairs_most:
        raise AddressPairsExhausted(quota=settings.pairs_most)
    found: list[dict[str, str]] = []
    for each in wanted:
        pair = {"mac_address": each.get("mac_address", mac), "ip_address": each["ip_address"]}
        if pair in found:
            raise DuplicateAddressPairInRequest(mac=pair["mac_address"], ip=pair["ip_address"])
        found.append(pair)
    return found


def _options(old: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the options of a port after some were set, and others (null) taken away."""
    found = {(each["opt_name"], each["ip_version"]): dict(each) for each in (*old, *wanted)}
    return [each for each in found.values() if each["opt_value"] is not None]


def _require_secure(
    work: Work, row: AnyRow, is_secure: bool, groups: Sequence[str] | None, attributes: Mapping[str, Any]
) -> None:
    """Raise where groups or address pairs are to be had without filters."""
    if is_secure:
        return
    if groups:
        raise PortSecurityAndIPRequiredForSecurityGroups()
    if groups is None and groups_of(work.connection, [row.id])[row.id]:
        raise PortSecurityPortHasSecurityGroup()
    if attributes.get("allowed_address_pairs", row.allowed_address_pairs):
        raise AddressPairAndPortSecurityRequired()


def _set_groups(connection: Connection, port_id: str, groups: Sequence[str]) -> None:
    known = set(connection.scalars(select(groups_table.c.id).where(groups_table.c.id.in_(groups))))
    for each in groups:
        if each not in known:
            raise SecurityGroupNotFound(id=each)
    connection.execute(delete(port_security_groups).where(port_security_groups.c.port_id == port_id))
    if groups:
        connection.execute(
            insert(port_security_groups), [{"port_id": port_id, "security_group_id": each} for each in groups]
        )
