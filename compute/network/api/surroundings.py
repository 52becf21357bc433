"""Operations that tell of the service itself: extensions, zones, hosts (as agents), how many addresses are used."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, select, update

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.network import addresses
from compute.network.api.requests import Request, require
from compute.network.checks import boolean
from compute.network.errors import AgentNotFound, ExtensionNotFound, HTTPBadRequest, NetworkNotFound
from compute.network.schema import allocations, hosts, networks, subnets
from compute.network.work import AnyRow

EXTENSIONS = {
    "agent": "agent",
    "allowed-address-pairs": "Allowed Address Pairs",
    "availability_zone": "Availability Zone",
    "binding": "Port Binding",
    "empty-string-filtering": "Empty String Filtering Extension",
    "external-net": "Neutron external network",
    "ext-gw-mode": "Neutron L3 Configurable external gateway mode",
    "extra_dhcp_opt": "Neutron Extra DHCP options",
    "filter-validation": "Filter parameters validation",
    "ip-substring-filtering": "IP address substring filtering",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "network-ip-availability": "Network IP Availability",
    "network_availability_zone": "Network Availability Zone",
    "pagination": "Pagination support",
    "port-security": "Port Security",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "quota-check-limit": "Quota engine limit check",
    "revision-if-match": "If-Match constraints based on revision_number",
    "router": "Neutron L3 Router",
    "security-group": "security-group",
    "security-groups-normalized-cidr": "Normalized CIDR field for security group rules",
    "service-type": "Neutron Service Type Management",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute: "
    "floatingip, network, port, router, security_group, subnet",
    "standard-attr-timestamp": "Resource timestamps",
    "subnet-service-types": "Subnet service types",
    "tag-ports-during-bulk-creation": "Tag Ports During Bulk Creation",
}
_UPDATED = "2026-01-01T00:00:00-00:00"
AGENT_TYPE, BINARY = "Linux bridge agent", "holdfast-agent"


def list_extensions(context: Request) -> Answer:
    """GET /v2.0/extensions."""
    context.caller  # noqa: B018 who is nobody learns nothing
    return ok({"extensions": [_extension(alias) for alias in EXTENSIONS]})


def show_extension(context: Request, alias: str) -> Answer:
    """GET /v2.0/extensions/{alias}."""
    context.caller  # noqa: B018 who is nobody learns nothing
    if alias not in EXTENSIONS:
        raise ExtensionNotFound(alias=alias)
    return ok({"extension": _extension(alias)})


def list_zones(context: Request) -> Answer:
    """GET /v2.0/availability_zones."""
    context.caller  # noqa: B018 who is nobody learns nothing
    zone = {"name": context.parts.settings.availability_zone, "resource": "network", "state": "available"}
    return ok({"availability_zones": [zone]})


def list_providers(context: Request) -> Answer:
    """GET /v2.0/service-providers: of services that are not here."""
    context.caller  # noqa: B018 who is nobody learns nothing
    return ok({"service_providers": []})


def list_agents(context: Request) -> Answer:
    """GET /v2.0/agents: none to who may not see them."""
    if not context.allows("get_agent", {}):
        return ok({"agents": []})
    wanted = {name: values for name, values in context.query_lists.items() if name not in ("fields", "limit", "marker")}
    found = [_agent(context, row) for row in context.connection.execute(select(hosts).order_by(hosts.c.host))]
    return ok({"agents": [each for each in found if _fits(each, wanted)]})


def show_agent(context: Request, agent_id: str) -> Answer:
    """GET /v2.0/agents/{id}."""
    require(context, "get_agent", {})
    return ok({"agent": _agent(context, _host(context, agent_id))})


def change_agent(context: Request, agent_id: str) -> Answer:
    """PUT /v2.0/agents/{id}: a description; whether new ports are meant to come to it."""
    require(context, "update_agent", {})
    _host(context, agent_id)
    sent = context.document.get("agent")
    if not isinstance(sent, dict) or set(sent) - {"admin_state_up", "description"}:
        raise HTTPBadRequest(why="Only admin_state_up and description of an agent can be changed.")
    values: dict[str, Any] = {}
    try:
        if "admin_state_up" in sent:
            values["admin_state_up"] = boolean(sent["admin_state_up"])
    except ValueError as error:
        raise HTTPBadRequest(why=f"Invalid input for admin_state_up. Reason: {error}.") from None
    if "description" in sent:
        values["description"] = str(sent["description"] or "")[:255]
    if values:
        context.connection.execute(update(hosts).where(hosts.c.id == agent_id).values(**values))
    return ok({"agent": _agent(context, _host(context, agent_id))})


def remove_agent(context: Request, agent_id: str) -> Answer:
    """DELETE /v2.0/agents/{id}: one that is there comes back."""
    require(context, "delete_agent", {})
    _host(context, agent_id)
    context.connection.execute(delete(hosts).where(hosts.c.id == agent_id))
    return NO_CONTENT


def list_availabilities(context: Request) -> Answer:
    """GET /v2.0/network-ip-availabilities."""
    require(context, "get_network_ip_availability", {})
    query = select(networks).order_by(networks.c.created_at_us, networks.c.id)
    names = {"network_id": "id", "network_name": "name", "project_id": "project_id", "tenant_id": "project_id"}
    for name, column in names.items():
        if name in context.query_lists:
            query = query.where(networks.c[column].in_(context.query_lists[name]))
    found = [_availability(context, row) for row in context.connection.execute(query).all()]
    versions = context.query_lists.get("ip_version", ())
    if versions:
        found = [
            each
            for each in found
            if any(str(subnet["ip_version"]) in versions for subnet in each["subnet_ip_availability"])
        ]
    return ok({"network_ip_availabilities": found})


def show_availability(context: Request, network_id: str) -> Answer:
    """GET /v2.0/network-ip-availabilities/{network}."""
    require(context, "get_network_ip_availability", {})
    row = context.connection.execute(select(networks).where(networks.c.id == network_id)).one_or_none()
    if row is None:
        raise NetworkNotFound(id=network_id)
    return ok({"network_ip_availability": _availability(context, row)})


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": _UPDATED, "links": []}


def _host(context: Request, agent_id: str) -> AnyRow:
    row = context.connection.execute(select(hosts).where(hosts.c.id == agent_id)).one_or_none()
    if row is None:
        raise AgentNotFound(id=agent_id)
    return row


def _agent(context: Request, row: AnyRow) -> dict[str, Any]:
    silent_us = context.parts.settings.silent_s * 1_000_000
    return {
        "id": row.id,
        "agent_type": AGENT_TYPE,
        "binary": BINARY,
        "host": row.host,
        "topic": "N/A",
        "admin_state_up": row.admin_state_up,
        "alive": context.now_us - row.heartbeat_us < silent_us,
        "availability_zone": row.availability_zone,
        "description": row.description or None,
        "configurations": row.configurations,
        "created_at": _moment(row.created_at_us),
        "started_at": _moment(row.started_at_us),
        "heartbeat_timestamp": _moment(row.heartbeat_us),
        "resources_synced": None,
    }


def _fits(agent: dict[str, Any], wanted: dict[str, list[str]]) -> bool:
    return all(name not in agent or str(agent[name]) in values for name, values in wanted.items())


def _availability(context: Request, row: AnyRow) -> dict[str, Any]:
    own: Sequence[AnyRow] = context.connection.execute(
        select(subnets).where(subnets.c.network_id == row.id).order_by(subnets.c.created_at_us, subnets.c.id)
    ).all()
    counted = (
        select(allocations.c.subnet_id, func.count().label("count"))
        .where(allocations.c.network_id == row.id)
        .group_by(allocations.c.subnet_id)
    )
    used = {row.subnet_id: row._mapping["count"] for row in context.connection.execute(counted)}
    found = [
        {
            "subnet_id": subnet.id,
            "subnet_name": subnet.name,
            "cidr": subnet.cidr,
            "ip_version": subnet.ip_version,
            "total_ips": addresses.count(subnet.allocation_pools),
            "used_ips": used.get(subnet.id, 0),
        }
        for subnet in own
    ]
    return {
        "network_id": row.id,
        "network_name": row.name,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "total_ips": sum(each["total_ips"] for each in found),
        "used_ips": sum(each["used_ips"] for each in found),
        "subnet_ip_availability": found,
    }


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
