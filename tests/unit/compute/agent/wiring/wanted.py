"""What a network service wants of a host, made up by a test; and a service that tells it."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from compute.agent.wiring.wanted import Wanted, wanted_of
from compute.stored import Unreachable

NETWORK_ID = "11111111-1111-4111-8111-111111111111"
OTHER_ID = "22222222-2222-4222-8222-222222222222"
GROUP_ID = "99999999-9999-4999-8999-999999999999"
ROUTER_ID = "77777777-7777-4777-8777-777777777777"
PORT_IDS = tuple(f"{digit * 8}-aaaa-4aaa-8aaa-aaaaaaaaaaaa" for digit in "abcdef")


def subnet(cidr: str = "10.0.0.0/24", **values: Any) -> dict[str, Any]:
    """Return the document of a subnet."""
    first = cidr.partition("/")[0].removesuffix("0") + "1"
    told = {"ip_version": 6 if ":" in cidr else 4, "cidr": cidr, "gateway_ip": first, "mode": ""}
    subnet_id = str(uuid.uuid5(uuid.NAMESPACE_OID, cidr))
    return {"id": subnet_id, **told, "dns_nameservers": [], "host_routes": [], **values}


def network(network_id: str = NETWORK_ID, addresses: Sequence[str] = ("10.0.0.2/24",), **values: Any) -> dict[str, Any]:
    """Return the document of a network."""
    dhcp = {"mac": "fa:16:3e:00:00:02", "addresses": list(addresses)}
    told = {"mtu": 1450, "dns_domain": "novalocal", "dhcp": dhcp, "subnets": [subnet()]}
    return {"id": network_id, **told, **values}


def port(number: int, network_id: str = NETWORK_ID, **values: Any) -> dict[str, Any]:
    """Return the document of a port: its addresses end with 10 and its number."""
    told = {"mac": f"fa:16:3e:00:01:{number:02x}", "addresses": [f"10.0.0.{10 + number}"], "device_id": "guest"}
    more: dict[str, Any] = {"up": True, "secure": True, "groups": [GROUP_ID], "pairs": [], "options": []}
    return {"id": PORT_IDS[number], "network_id": network_id, **told, **more, **values}


def rule(direction: str, **values: Any) -> dict[str, Any]:
    """Return the document of a rule."""
    nothing: dict[str, Any] = dict.fromkeys(("protocol", "first", "last", "prefix", "group"))
    return {"direction": direction, "ethertype": "IPv4", **nothing, **values}


EGRESS = rule("egress")


def router(interfaces: Sequence[Any], **values: Any) -> dict[str, Any]:
    """Return the document of a router."""
    return {"id": ROUTER_ID, "interfaces": list(interfaces), "gateway": None, "floating": [], **values}


def interface(number: int, network_id: str, address: str) -> dict[str, Any]:
    """Return the document of a router's interface."""
    port_id, mac = f"{number}eeeeeee-eeee-4eee-8eee-eeeeeeeeeeee", f"fa:16:3e:00:0e:{number:02x}"
    return {"id": port_id, "network_id": network_id, "mac": mac, "addresses": [address]}


def document(
    networks: Sequence[Any] = (),
    ports: Sequence[Any] = (),
    rules: Sequence[Any] = (EGRESS,),
    members: Any = None,
    routers: Sequence[Any] = (),
) -> dict[str, Any]:
    """Return a whole document, in which one group has these rules."""
    whole = {"networks": list(networks), "ports": list(ports), "groups": {GROUP_ID: list(rules)}}
    return {**whole, "members": members or {}, "routers": list(routers)}


def wanted(*parts: Any, **named: Any) -> Wanted:
    """Return what such a document says."""
    return wanted_of(document(*parts, **named))


class MemoryNetworkService:
    """See `source.NetworkService`."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = document()
        self.tag = 1
        self.is_away = False
        self.told: list[tuple[tuple[str, ...], bool]] = []

    def set(self, *parts: Any, **named: Any) -> None:
        """Want something else from now on."""
        self.document, self.tag = document(*parts, **named), self.tag + 1

    def wanted(self, tag: str, wait_s: float) -> Mapping[str, Any] | None:
        if self.is_away:
            raise Unreachable("it is away")
        return None if tag == str(self.tag) else {"tag": str(self.tag), "wanted": self.document}

    def tell(self, up: Sequence[str], configurations: Mapping[str, Any], started: bool) -> None:
        if self.is_away:
            raise Unreachable("it is away")
        self.told.append((tuple(up), started))
