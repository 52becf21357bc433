"""Protocols as rules of security groups name them, and which ports, types and families go with them. Pure.

Source: Neutron's security_groups_db, and neutron-lib's IP_PROTOCOL_MAP.
"""

from collections.abc import Mapping
from typing import Any

from compute.network.errors import (
    SecurityGroupEthertypeConflictWithProtocol,
    SecurityGroupInvalidIcmpValue,
    SecurityGroupInvalidPortRange,
    SecurityGroupInvalidPortValue,
    SecurityGroupInvalidProtocol,
    SecurityGroupInvalidProtocolForPort,
    SecurityGroupMissingIcmpType,
)

NUMBERS: Mapping[str, int] = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
ICMP, ICMPV6 = 1, 58
WITH_PORTS = frozenset((6, 17, 33, 132, 136))
_ONLY_IPV6 = frozenset(("ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route"))
_ANY = frozenset(("any", "0"))


def normal(protocol: str | None) -> str | None:
    """Return a protocol as rules keep it; None: any. Raise SecurityGroupInvalidProtocol."""
    if protocol is None or protocol in _ANY:
        return None
    is_number = protocol.isascii() and protocol.isdigit() and int(protocol[:4]) <= 255
    if not is_number and protocol not in NUMBERS:
        raise SecurityGroupInvalidProtocol(protocol=protocol, values=sorted(NUMBERS))
    return protocol


def number(protocol: str | None, ethertype: str) -> int | None:
    """Return the number of a protocol; None: any. In IPv6, icmp is its own."""
    if protocol is None:
        return None
    found = NUMBERS[protocol] if protocol in NUMBERS else int(protocol)
    return ICMPV6 if ethertype == "IPv6" and found == ICMP else found


def require_fitting(attributes: Mapping[str, Any]) -> None:
    """Raise unless family, protocol and ports of a rule go together."""
    protocol, ethertype = attributes["protocol"], attributes["ethertype"]
    first, last = attributes["port_range_min"], attributes["port_range_max"]
    if ethertype == "IPv4" and protocol in _ONLY_IPV6:
        raise SecurityGroupEthertypeConflictWithProtocol(ethertype=ethertype, protocol=protocol)
    if first is None and last is None:
        return
    found = number(protocol, ethertype)
    if found in WITH_PORTS:
        _require_ports(first, last)
    elif found in (ICMP, ICMPV6):
        _require_types(first, last)
    else:
        raise SecurityGroupInvalidProtocolForPort(protocol=protocol)


def _require_ports(first: int | None, last: int | None) -> None:
    for port in (first, last):
        if port is not None and not 0 <= port <= 65_535:
            raise SecurityGroupInvalidPortValue(port=port)
    if first is None or last is None or first > last:
        raise SecurityGroupInvalidPortRange()


def _require_types(kind: int | None, code: int | None) -> None:
    for name, field, value in (("port_range_min", "type", kind), ("port_range_max", "code", code)):
        if value is not None and not 0 <= value <= 255:
            raise SecurityGroupInvalidIcmpValue(field=field, attr=name, value=value)
    if kind is None and code is not None:
        raise SecurityGroupMissingIcmpType(value=code)
