"""All tables of the network service.

Ids are UUIDs with hyphens. Moments are integers: microseconds since 1970, UTC. Projects are known by id alone; the
identity service has them. Columns have the names of the API's attributes, where those are names.

A change here comes with a migration; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from cluster.controlplane.columns import new_metadata

ID_LIMIT = 64  # characters
NAME_LIMIT = 255
WORD_LIMIT = 32
TAG_LIMIT = 255
ADDRESS_LIMIT = 64

metadata = new_metadata()


def _standard() -> "list[Column[Any]]":
    """Return what all that users make has."""
    return [
        Column("id", String(ID_LIMIT), primary_key=True),
        Column("project_id", String(NAME_LIMIT), nullable=False, index=True),
        Column("name", String(NAME_LIMIT), nullable=False),
        *_described(),
    ]


def _described() -> "list[Column[Any]]":
    return [
        Column("description", String(NAME_LIMIT), nullable=False),
        Column("revision_number", Integer, nullable=False),
        Column("created_at_us", BigInteger, nullable=False),
        Column("updated_at_us", BigInteger, nullable=False),
    ]


def _of(name: str, target: str, index: bool = True) -> "Column[str]":
    return Column(name, String(ID_LIMIT), ForeignKey(target), nullable=False, index=index)


def _flag(name: str) -> "Column[bool]":
    return Column(name, Boolean, nullable=False)


def _word(name: str, limit: int = NAME_LIMIT, nullable: bool = False) -> "Column[str]":
    return Column(name, String(limit), nullable=nullable)


# segmentation_id: what tells networks of a kind apart, where they share a wire; of local ones there is none.
networks = Table(
    "networks",
    metadata,
    *_standard(),
    _flag("admin_state_up"),
    _flag("shared"),
    _flag("external"),
    _flag("is_default"),
    _flag("port_security_enabled"),
    Column("mtu", Integer, nullable=False),
    _word("dns_domain"),
    _word("network_type", WORD_LIMIT),
    _word("physical_network", nullable=True),
    Column("segmentation_id", Integer, nullable=True),
    Index("uq_networks_segmentation_id", "segmentation_id", unique=True),
)

# allocation_pools: [{"start", "end"}]; host_routes: [{"destination", "nexthop"}].
subnets = Table(
    "subnets",
    metadata,
    *_standard(),
    _of("network_id", "networks.id"),
    Column("ip_version", Integer, nullable=False),
    _word("cidr", ADDRESS_LIMIT),
    _word("gateway_ip", ADDRESS_LIMIT, nullable=True),
    _flag("enable_dhcp"),
    _word("ipv6_ra_mode", WORD_LIMIT, nullable=True),
    _word("ipv6_address_mode", WORD_LIMIT, nullable=True),
    Column("allocation_pools", JSON, nullable=False),
    Column("dns_nameservers", JSON, nullable=False),
    Column("host_routes", JSON, nullable=False),
    Column("service_types", JSON, nullable=False),
)

# status: as the host tells. host_id: empty: bound to none.
ports = Table(
    "ports",
    metadata,
    *_standard(),
    _of("network_id", "networks.id", index=False),
    _flag("admin_state_up"),
    _word("mac_address", WORD_LIMIT),
    _word("status", WORD_LIMIT),
    Column("device_id", String(NAME_LIMIT), nullable=False, index=True),
    _word("device_owner"),
    _flag("port_security_enabled"),
    Column("allowed_address_pairs", JSON, nullable=False),
    Column("extra_dhcp_opts", JSON, nullable=False),
    Column("host_id", String(NAME_LIMIT), nullable=False, index=True),
    _word("vnic_type", WORD_LIMIT),
    Column("profile", JSON, nullable=False),
    UniqueConstraint("network_id", "mac_address"),
)

# An address that a port has. The key is why no other port has it, too.
allocations = Table(
    "allocations",
    metadata,
    Column("network_id", String(ID_LIMIT), ForeignKey("networks.id"), primary_key=True),
    Column("ip_address", String(ADDRESS_LIMIT), primary_key=True),
    _of("subnet_id", "subnets.id"),
    Column("port_id", String(ID_LIMIT), ForeignKey("ports.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("place", Integer, nullable=False),  # among the addresses of the port
)

# The index is why a project has one default group.
security_groups = Table(
    "security_groups",
    metadata,
    *_standard(),
    _flag("is_default"),
    Index(
        "uq_security_groups_default",
        "project_id",
        unique=True,
        sqlite_where=text("is_default"),
        postgresql_where=text("is_default"),
    ),
)

security_group_rules = Table(
    "security_group_rules",
    metadata,
    Column("id", String(ID_LIMIT), primary_key=True),
    Column("project_id", String(NAME_LIMIT), nullable=False, index=True),
    *_described(),
    Column(
        "security_group_id",
        String(ID_LIMIT),
        ForeignKey("security_groups.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _word("direction", WORD_LIMIT),
    _word("ethertype", WORD_LIMIT),
    _word("protocol", WORD_LIMIT, nullable=True),
    Column("port_range_min", Integer, nullable=True),
    Column("port_range_max", Integer, nullable=True),
    _word("remote_ip_prefix", ADDRESS_LIMIT, nullable=True),
    Column(
        "remote_group_id",
        String(ID_LIMIT),
        ForeignKey("security_groups.id", ondelete="CASCADE"),
        nullable=True,
        index=True,
    ),
)

port_security_groups = Table(
    "port_security_groups",
    metadata,
    Column("port_id", String(ID_LIMIT), ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("security_group_id", String(ID_LIMIT), ForeignKey("security_groups.id"), primary_key=True, index=True),
)

# gateway_port_id: its port in the external network; none: it has no way out.
routers = Table(
    "routers",
    metadata,
    *_standard(),
    _flag("admin_state_up"),
    _flag("enable_snat"),
    Column("gateway_port_id", String(ID_LIMIT), ForeignKey("ports.id"), nullable=True, index=True),
)

# Which ports are a router's interfaces. Owners of ports are not asked about it: users may write them.
router_ports = Table(
    "router_ports",
    metadata,
    Column("port_id", String(ID_LIMIT), ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    _of("router_id", "routers.id"),
)

# floating_port_id: the port that holds the address. port_id, fixed_ip_address, router_id: where it leads, if anywhere.
floating_ips = Table(
    "floating_ips",
    metadata,
    Column("id", String(ID_LIMIT), primary_key=True),
    Column("project_id", String(NAME_LIMIT), nullable=False, index=True),
    *_described(),
    _of("floating_network_id", "networks.id"),
    _word("floating_ip_address", ADDRESS_LIMIT),
    _of("floating_port_id", "ports.id"),
    Column("port_id", String(ID_LIMIT), ForeignKey("ports.id"), nullable=True),
    _word("fixed_ip_address", ADDRESS_LIMIT, nullable=True),
    Column("router_id", String(ID_LIMIT), ForeignKey("routers.id"), nullable=True, index=True),
    _word("status", WORD_LIMIT),
    UniqueConstraint("port_id", "fixed_ip_address"),
)

# Of networks, subnets, ports and the like alike: their ids are never the same.
tags = Table(
    "tags",
    metadata,
    Column("resource_id", String(ID_LIMIT), primary_key=True),
    Column("tag", String(TAG_LIMIT), primary_key=True),
)

# Limits of a project that has some of its own.
quotas = Table(
    "quotas",
    metadata,
    Column("project_id", String(NAME_LIMIT), primary_key=True),
    Column("resource", String(WORD_LIMIT), primary_key=True),
    Column("limit", Integer, nullable=False),
)

# Hosts that have told of themselves. configurations: how they wire.
hosts = Table(
    "hosts",
    metadata,
    Column("host", String(NAME_LIMIT), primary_key=True),
    Column("id", String(ID_LIMIT), nullable=False, unique=True),
    _word("description"),
    _word("availability_zone"),
    _flag("admin_state_up"),
    Column("configurations", JSON, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("heartbeat_us", BigInteger, nullable=False),
)

# What is done once in a database's life, and not again when somebody has undone it.
milestones = Table(
    "milestones",
    metadata,
    Column("name", String(WORD_LIMIT), primary_key=True),
    Column("reached_at_us", BigInteger, nullable=False),
)
