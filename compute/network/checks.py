"""Values that clients send: what they may be, and the form in which they are kept. Pure.

A check returns the value as it is kept, or raises ValueError with the reason, in Neutron's words.
Source: neutron-lib's validators and converters.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], Any]

_TRUE, _FALSE = frozenset(("true", "1")), frozenset(("false", "0"))
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MAC_OF_OTHERS = re.compile(r"(?:[0-9a-f]{2}-){5}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12}")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]*")
_OPTION = re.compile(r"[A-Za-z0-9_-]{1,64}")


def text(limit: int = 255) -> Check:
    """Return the check of a text of so many characters at most."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is not a valid string")
        if len(value) > limit:
            raise ValueError(f"'{value}' exceeds maximum length of {limit}")
        return value

    return check


def text_or_empty(value: Any) -> str:
    """Return a text; for null, an empty one."""
    return "" if value is None else str(text()(value))


def domain(value: Any) -> str:
    """Return a domain of names; for null, none."""
    found = text_or_empty(value)
    if not _DOMAIN.fullmatch(found):
        raise ValueError(f"'{found}' is not a valid domain")
    return found


def boolean(value: Any) -> bool:
    """Return a flag, which may come as a word or a number."""
    word = str(value).lower()
    if isinstance(value, bool | str | int) and word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError(f"'{value}' cannot be converted to boolean")


def integer(least: int, most: int) -> Check:
    """Return the check of a number from `least` to `most`."""

    def check(value: Any) -> int:
        found = whole(value)
        if not least <= found <= most:
            raise ValueError(f"'{value}' is not in range {least} through {most}")
        return found

    return check


def whole(value: Any) -> int:
    """Return a whole number, which may come as digits."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise ValueError(f"'{value}' is not an integer")
    return int(value)


def ethertype(value: Any) -> str:
    """Return a family of addresses, as rules of security groups name it."""
    for family in ("IPv4", "IPv6"):
        if str(value).lower() == family.lower():
            return family
    raise ValueError(f"'{value}' is not in ['IPv4', 'IPv6']")


def one_of(*values: Any) -> Check:
    """Return the check of a value that is one of some."""

    def check(value: Any) -> Any:
        if value not in values:
            raise ValueError(f"'{value}' is not in {list(values)}")
        return value

    return check


def nullable(check: Check) -> Check:
    """Return the check of a value that may be null."""
    return lambda value: None if value is None else check(value)


def identifier(value: Any) -> str:
    """Return a UUID with hyphens, as it was sent."""
    try:
        if isinstance(value, str) and str(uuid.UUID(value)) == value.lower():
            return value.lower()
    except ValueError:
        pass
    raise ValueError(f"'{value}' is not a valid UUID")


def identifiers(value: Any) -> list[str]:
    """Return UUIDs, each once."""
    found = [identifier(each) for each in items(value)]
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate items in the list: '{', '.join(found)}'")
    return found


def items(value: Any) -> list[Any]:
    """Return a list; for null, an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"'{value}' is not a list")
    return value


def mac(value: Any) -> str:
    """Return a MAC address, in lower case, with colons, that can be that of one card."""
    lowered = value.lower() if isinstance(value, str) else ""
    if _MAC_OF_OTHERS.fullmatch(lowered):
        digits = re.sub(r"[-.]", "", lowered)
        lowered = ":".join(digits[place : place + 2] for place in range(0, 12, 2))
    if not _MAC.fullmatch(lowered) or lowered == "00:00:00:00:00:00" or int(lowered[1], 16) % 2:
        raise ValueError(f"'{value}' is not a valid MAC address")
    return lowered


def address(value: Any) -> str:
    """Return an IP address in its short form."""
    try:
        if isinstance(value, str) and "%" not in value:
            return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    raise ValueError(f"'{value}' is not a valid IP address")


def cidr(value: Any) -> str:
    """Return a network of addresses, whose host bits must be none."""
    found = _network(value)
    if isinstance(value, str) and ipaddress.ip_interface(value).ip != found.network_address:
        raise ValueError(f"'{value}' isn't a recognized IP subnet cidr, '{found}' is recommended")
    return str(found)


def prefix(value: Any) -> str:
    """Return addresses as a rule has them: a network, whose host bits do not count, or a single address."""
    return str(_network(value, single=True))


def nameservers(value: Any) -> list[str]:
    """Return addresses of name servers, each once."""
    found = [address(each) for each in items(value)]
    if len(set(found)) != len(found):
        raise ValueError(f"Duplicate nameserver '{_twice(found)}'")
    return found


def pools(value: Any) -> list[dict[str, str]]:
    """Return ranges of addresses, in which both ends are."""
    found = []
    for each in items(value):
        _require_members(each, {"start", "end"}, {"start", "end"})
        found.append({"start": address(each["start"]), "end": address(each["end"])})
    return found


def routes(value: Any) -> list[dict[str, str]]:
    """Return routes that hosts are told of."""
    found = []
    for each in items(value):
        _require_members(each, {"destination", "nexthop"}, {"destination", "nexthop"})
        found.append({"destination": cidr(each["destination"]), "nexthop": address(each["nexthop"])})
    if len({tuple(each.items()) for each in found}) != len(found):
        raise ValueError(f"Duplicate hostroute '{found}'")
    return found


def fixed_ips(value: Any) -> list[dict[str, str]]:
    """Return the addresses that a port asks for: each with a subnet, an address, or both."""
    found = []
    for each in items(value):
        _require_members(each, {"subnet_id", "ip_address"}, set())
        asked = {}
        if each.get("subnet_id") is not None:
            asked["subnet_id"] = identifier(each["subnet_id"])
        if each.get("ip_address") is not None:
            asked["ip_address"] = address(each["ip_address"])
        found.append(asked)
    addresses = [each["ip_address"] for each in found if "ip_address" in each]
    if len(set(addresses)) != len(addresses):
        raise ValueError(f"Duplicate IP address '{_twice(addresses)}'")
    return found


def gateway_info(value: Any) -> dict[str, Any] | None:
    """Return by which external network a router has its way out; None: it has none."""
    if value is None or value == {}:
        return None
    _require_members(value, {"network_id", "enable_snat", "external_fixed_ips"}, {"network_id"})
    found: dict[str, Any] = {"network_id": identifier(value["network_id"])}
    if "enable_snat" in value:
        found["enable_snat"] = boolean(value["enable_snat"])
    if value.get("external_fixed_ips"):
        found["external_fixed_ips"] = fixed_ips(value["external_fixed_ips"])
    return found


def address_pairs(value: Any) -> list[dict[str, str]]:
    """Return what else than its own a port may send from."""
    found = []
    for each in items(value):
        _require_members(each, {"mac_address", "ip_address"}, {"ip_address"})
        _network(each["ip_address"], single=True)
        pair = {"ip_address": str(each["ip_address"])}
        if each.get("mac_address") is not None:
            pair["mac_address"] = mac(each["mac_address"])
        found.append(pair)
    return found


def dhcp_options(value: Any) -> list[dict[str, Any]]:
    """Return options that a port is told by DHCP beside those of its subnet; a null value takes one away."""
    found = []
    for each in items(value):
        _require_members(each, {"opt_name", "opt_value", "ip_version"}, {"opt_name", "opt_value"})
        name, said, version = each["opt_name"], each["opt_value"], each.get("ip_version", 4)
        if not isinstance(name, str) or not _OPTION.fullmatch(name):
            raise ValueError(f"'{name}' is not a name of a DHCP option")
        if said is not None and (not isinstance(said, str) or not said or len(said) > 255 or not said.isprintable()):
            raise ValueError(f"'{said}' is not a value of a DHCP option")
        if str(version) not in ("4", "6"):
            raise ValueError(f"'{version}' is not in [4, 6]")
        found.append({"opt_name": name, "opt_value": said, "ip_version": int(version)})
    names = [f"{each['opt_name']} {each['ip_version']}" for each in found]
    if len(set(names)) != len(names):
        raise ValueError(f"Duplicate option '{_twice(names)}'")
    return found


def texts(value: Any) -> list[str]:
    """Return texts, each once."""
    check = text()
    return list(dict.fromkeys(str(check(each)) for each in items(value)))


def tags(value: Any) -> list[str]:
    """Return tags, each once."""
    return sorted({tag(each) for each in items(value)})


def tag(value: Any) -> str:
    """Return a word that something is marked with."""
    found = text()(value)
    if not found or "," in found:
        raise ValueError(f"'{value}' is not a valid tag")
    return str(found)


def words(value: Any) -> dict[str, Any]:
    """Return an object; for null, an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"'{value}' is not a dictionary")
    return dict(value)


def _network(value: Any, single: bool = False) -> "ipaddress.IPv4Network | ipaddress.IPv6Network":
    try:
        if isinstance(value, str) and "%" not in value and ("/" in value or single):
            return ipaddress.ip_network(value, strict=False)
    except ValueError:
        pass
    raise ValueError(f"'{value}' is not a valid IP subnet")


def _require_members(value: Any, known: set[str], required: set[str]) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"'{value}' is not a dictionary")
    if set(value) - known:
        raise ValueError(f"Unexpected keys supplied: {', '.join(sorted(set(value) - known))}")
    if required - set(value):
        raise ValueError(f"Expected keys not found: {', '.join(sorted(required - set(value)))}")


def _twice(values: list[str]) -> str:
    return next(each for each in values if values.count(each) > 1)
