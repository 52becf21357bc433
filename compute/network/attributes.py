"""What clients may send of each noun, and what they may choose and order by: tables that the API is made of. Pure.

Which of them only some may send or see is said by the policy: a rule such as create_network:shared is asked for when a
client sends `shared`, and get_network:provider:network_type before that is shown. Source: neutron-lib's definitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from compute.network import checks, schema
from compute.network.checks import Check
from compute.network.errors import (
    FloatingIPNotFound,
    HTTPBadRequest,
    NetworkNotFound,
    NotFound,
    PortNotFound,
    RouterNotFound,
    SecurityGroupNotFound,
    SecurityGroupRuleNotFound,
    SubnetNotFound,
)

REQUIRED = object()  # a default: there is none
ABSENT = object()  # a default: the noun decides


@dataclass(frozen=True, slots=True)
class Attribute:
    """What clients may say."""

    check: Check
    default: Any = ABSENT
    post: bool = True
    put: bool = True


@dataclass(frozen=True, slots=True)
class Noun:
    """What there can be many of."""

    name: str
    plural: str
    table: Table
    missing: type[NotFound]
    attributes: Mapping[str, Attribute]
    columns: Mapping[str, str] = field(default_factory=dict)  # by attribute, where they differ
    tagged: bool = True  # has tags

    def column_of(self, attribute: str) -> str | None:
        """Return the column that an attribute is; None: it is made of something else."""
        name = self.columns.get(attribute, attribute)
        return name if name in self.table.c else None

    def created(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return all attributes of a new one; those that are absent are left out. Raise HTTPBadRequest."""
        for name in sent:
            self._require(name, sent, in_post=True)
        found = {}
        for name, attribute in self.attributes.items():
            if name in sent:
                found[name] = _checked(name, attribute, sent[name])
            elif attribute.default is REQUIRED:
                raise HTTPBadRequest(why=f"Failed to parse request. Required attribute '{name}' not specified")
            elif attribute.default is not ABSENT:
                found[name] = attribute.default
        return found

    def changed(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that change. Raise HTTPBadRequest."""
        for name in sent:
            self._require(name, sent, in_post=False)
        return {name: _checked(name, self.attributes[name], value) for name, value in sent.items()}

    def _require(self, name: str, sent: Mapping[str, Any], in_post: bool) -> None:
        if name not in self.attributes:
            unknown = ", ".join(sorted(set(sent) - set(self.attributes)))
            raise HTTPBadRequest(why=f"Unrecognized attribute(s) '{unknown}'")
        if in_post and not self.attributes[name].post:
            raise HTTPBadRequest(why=f"Attribute '{name}' not allowed in POST")
        if not in_post and not self.attributes[name].put:
            raise HTTPBadRequest(why=f"Cannot update read-only attribute {name}")


def _checked(name: str, attribute: Attribute, value: Any) -> Any:
    try:
        return attribute.check(value)
    except ValueError as error:
        raise HTTPBadRequest(why=f"Invalid input for {name}. Reason: {error}.") from None


def _fixed(check: Check, default: Any = ABSENT) -> Attribute:
    """Return what is said once."""
    return Attribute(check, default, put=False)


def _told() -> dict[str, Attribute]:
    return {
        "name": Attribute(checks.text_or_empty, ""),
        "description": Attribute(checks.text_or_empty, ""),
        "project_id": _fixed(checks.text()),
    }


_READ_ONLY = Attribute(checks.text(), post=False, put=False)
_SHOWN = dict.fromkeys(("id", "revision_number", "created_at", "updated_at"), _READ_ONLY)
_OWNED_AND_UP = {"admin_state_up": Attribute(checks.boolean, True)}

NETWORK = Noun(
    "network",
    "networks",
    schema.networks,
    NetworkNotFound,
    {
        **_SHOWN,
        **_told(),
        **_OWNED_AND_UP,
        "status": _READ_ONLY,
        "subnets": _READ_ONLY,
        "availability_zones": _READ_ONLY,
        "availability_zone_hints": _fixed(checks.texts, ()),
        "shared": Attribute(checks.boolean, False),
        "router:external": Attribute(checks.boolean, False),
        "is_default": Attribute(checks.boolean, False),
        "port_security_enabled": Attribute(checks.boolean, True),
        "mtu": Attribute(checks.integer(0, 65_535), 0),
        "dns_domain": Attribute(checks.domain, ""),
        "provider:network_type": _fixed(checks.nullable(checks.text(32))),
        "provider:physical_network": _fixed(checks.nullable(checks.text())),
        "provider:segmentation_id": _fixed(checks.nullable(checks.whole)),
    },
    {
        "router:external": "external",
        **{f"provider:{name}": name for name in ("network_type", "physical_network", "segmentation_id")},
    },
)

_IPV6_MODE = checks.nullable(checks.one_of("slaac", "dhcpv6-stateful", "dhcpv6-stateless"))
SUBNET = Noun(
    "subnet",
    "subnets",
    schema.subnets,
    SubnetNotFound,
    {
        **_SHOWN,
        **_told(),
        "network_id": _fixed(checks.identifier, REQUIRED),
        "ip_version": _fixed(lambda value: checks.one_of(4, 6)(checks.whole(value)), REQUIRED),
        "cidr": _fixed(checks.cidr, REQUIRED),
        "subnetpool_id": _fixed(checks.nullable(checks.identifier)),
        "prefixlen": _fixed(checks.integer(0, 128)),
        "gateway_ip": Attribute(checks.nullable(checks.address)),
        "allocation_pools": Attribute(checks.pools),
        "dns_nameservers": Attribute(checks.nameservers, ()),
        "host_routes": Attribute(checks.routes, ()),
        "enable_dhcp": Attribute(checks.boolean, True),
        "ipv6_ra_mode": _fixed(_IPV6_MODE, None),
        "ipv6_address_mode": _fixed(_IPV6_MODE, None),
        "service_types": Attribute(checks.texts, ()),
    },
)

PORT = Noun(
    "port",
    "ports",
    schema.ports,
    PortNotFound,
    {
        **_SHOWN,
        **_told(),
        **_OWNED_AND_UP,
        "status": _READ_ONLY,
        "network_id": _fixed(checks.identifier, REQUIRED),
        "mac_address": Attribute(checks.mac),
        "fixed_ips": Attribute(checks.fixed_ips),
        "device_id": Attribute(checks.text_or_empty, ""),
        "device_owner": Attribute(checks.text_or_empty, ""),
        "security_groups": Attribute(checks.identifiers),
        "port_security_enabled": Attribute(checks.boolean),
        "allowed_address_pairs": Attribute(checks.address_pairs, ()),
        "extra_dhcp_opts": Attribute(checks.dhcp_options, ()),
        "binding:host_id": Attribute(checks.text_or_empty, ""),
        "binding:vnic_type": Attribute(checks.one_of("normal"), "normal"),
        "binding:profile": Attribute(checks.words, {}),
        "binding:vif_type": _READ_ONLY,
        "binding:vif_details": _READ_ONLY,
        "tags": _fixed(checks.tags, ()),
    },
    {"binding:host_id": "host_id", "binding:vnic_type": "vnic_type"},
)

SECURITY_GROUP = Noun(
    "security_group",
    "security_groups",
    schema.security_groups,
    SecurityGroupNotFound,
    {**_SHOWN, **_told(), "security_group_rules": _READ_ONLY},
)

RULE = Noun(
    "security_group_rule",
    "security_group_rules",
    schema.security_group_rules,
    SecurityGroupRuleNotFound,
    {
        **_SHOWN,
        "description": _fixed(checks.text_or_empty, ""),
        "project_id": _fixed(checks.text()),
        "security_group_id": _fixed(checks.identifier, REQUIRED),
        "direction": _fixed(checks.one_of("ingress", "egress"), REQUIRED),
        "ethertype": _fixed(checks.ethertype, "IPv4"),
        "protocol": _fixed(lambda value: None if value is None else str(value).lower(), None),
        "port_range_min": _fixed(checks.nullable(checks.whole), None),
        "port_range_max": _fixed(checks.nullable(checks.whole), None),
        "remote_ip_prefix": _fixed(checks.nullable(checks.prefix), None),
        "remote_group_id": _fixed(checks.nullable(checks.text()), None),
        "normalized_cidr": _READ_ONLY,
    },
    tagged=False,
)

ROUTER = Noun(
    "router",
    "routers",
    schema.routers,
    RouterNotFound,
    {
        **_SHOWN,
        **_told(),
        **_OWNED_AND_UP,
        "status": _READ_ONLY,
        "external_gateway_info": Attribute(checks.gateway_info, None),
    },
)

FLOATING_IP = Noun(
    "floatingip",
    "floatingips",
    schema.floating_ips,
    FloatingIPNotFound,
    {
        **_SHOWN,
        "description": Attribute(checks.text_or_empty, ""),
        "project_id": _fixed(checks.text()),
        "status": _READ_ONLY,
        "router_id": _READ_ONLY,
        "floating_network_id": _fixed(checks.identifier, REQUIRED),
        "floating_ip_address": _fixed(checks.nullable(checks.address), None),
        "subnet_id": _fixed(checks.nullable(checks.identifier), None),
        "port_id": Attribute(checks.nullable(checks.identifier), None),
        "fixed_ip_address": Attribute(checks.nullable(checks.address), None),
    },
)

_ALL = (NETWORK, SUBNET, PORT, SECURITY_GROUP, RULE, ROUTER, FLOATING_IP)
NOUNS: Mapping[str, Noun] = {noun.name: noun for noun in _ALL}
