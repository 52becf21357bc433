"""Which ports a new server gets: from what a client says of networks to its cards."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from compute.instances import cards
from compute.instances.cards import Card
from compute.instances.errors import Conflict, Invalid
from compute.instances.interfaces import Port
from compute.records import new_id

NONE, AUTO = "none", "auto"


def wanted(networks: Any, known: Sequence[Mapping[str, Any]], ports: Mapping[str, Port | None]) -> list[dict[str, Any]]:
    """Return which ports are wanted: each a network, a port, or a network and an address. Raise Invalid, Conflict.

    `networks` as the client said, `known` those that it may use, `ports` those that it named.
    """
    if networks == NONE:
        return []
    if networks is None or networks == AUTO or networks == []:
        return _any(known, networks == AUTO)
    by_id = {str(each["id"]): each for each in known}
    found = []
    for each in networks:
        port_id = each.get("port")
        if port_id:
            port = ports.get(port_id)
            if port is None:
                raise Invalid(f"Port {port_id} could not be found.")
            if port.device_id:
                raise Conflict(f"Port {port_id} is still in use.")
            if each.get("fixed_ip"):
                raise Invalid(f"Specified Fixed IP '{each['fixed_ip']}' cannot be used with port '{port_id}'.")
            found.append({"port": port, "network_id": port.network_id, "tag": each.get("tag")})
            continue
        network_id = each.get("uuid")
        if not network_id:
            raise Invalid("Bad network format: missing 'uuid'")
        if network_id not in by_id:
            raise Invalid(f"Network {network_id} could not be found.")
        if not by_id[network_id].get("subnets"):
            raise Invalid(f"Network {network_id} requires a subnet in order to boot instances on.")
        found.append({"network_id": network_id, "fixed_ip": _address(each.get("fixed_ip")), "tag": each.get("tag")})
    if len({each["port"].id for each in found if "port" in each}) < sum("port" in each for each in found):
        raise Invalid("Duplicate networks are not allowed: a port is there twice.")
    return found


def cards_of(
    found: Sequence[Mapping[str, Any]], server_id: str, group_ids: Sequence[str], now_us: int, first: int = 0
) -> list[Card]:
    """Return the cards of a server."""
    made = []
    for place, each in enumerate(found, first):
        port: Port | None = each.get("port")
        made.append(
            Card(
                id=new_id(),
                server_id=server_id,
                place=place,
                created_at_us=now_us,
                port_id=port.id if port else None,
                network_id=each["network_id"],
                fixed_ip=each.get("fixed_ip"),
                tag=each.get("tag"),
                kept=port is not None,
                security_groups=list(group_ids),
                info=cards.info_of(port) if port else {},
            )
        )
    return made


def _any(known: Sequence[Mapping[str, Any]], has_to: bool) -> list[dict[str, Any]]:
    usable = [each for each in known if each.get("subnets") and not each.get("router:external")]
    if len(usable) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not usable and has_to:
        raise Invalid("Unable to automatically allocate a network for the project: there is none that it may use.")
    return [{"network_id": str(each["id"])} for each in usable]


def _address(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Invalid(f"Invalid fixed IP address ({text})") from None
