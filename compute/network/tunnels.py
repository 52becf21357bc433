"""How networks go on at other hosts: what tells them apart on the hosts' wires, and which ports are where.

A host tells, with how it wires, at which address and UDP port it is sent guests' packets. One that has told of none
(its cards are qemu's own networks) is nobody's peer. A host that is lost stays one until its ports are elsewhere: what
is sent there is lost, as anything that is sent to a lost host.
"""

import ipaddress
import random
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from compute.network import allocation
from compute.network.errors import InvalidInput, TunnelIdInUse
from compute.network.schema import hosts, networks, ports
from compute.network.work import AnyRow, Work

FIRST_VNI, LAST_VNI = 1, 2**24 - 1  # RFC 7348, section 5
_LAST_PORT = 65_535


def new_vni(work: Work) -> int:
    """Return what no network has: any, so that clusters on the same wires have different ones."""
    while True:
        vni = random.randint(FIRST_VNI, LAST_VNI)
        if not _is_taken(work, vni):
            return vni


def require_free(work: Work, vni: int) -> None:
    """Raise unless a network may have it: InvalidInput, TunnelIdInUse."""
    if not FIRST_VNI <= vni <= LAST_VNI:
        raise InvalidInput(error_message=f"segmentation_id out of range ({FIRST_VNI} through {LAST_VNI})")
    if _is_taken(work, vni):
        raise TunnelIdInUse(tunnel_id=vni)


def of_networks(
    connection: Connection, host: str, rows: Sequence[AnyRow], reached: Sequence[str]
) -> dict[str, dict[str, Any] | None]:
    """Return, by network, how it goes on at hosts other than this one; None: it does not.

    Into networks that are `reached` by routers other hosts send although they have no ports there.
    """
    endpoints = _endpoints(connection)
    own = endpoints.pop(host, None)
    elsewhere = [name for name, endpoint in endpoints.items() if endpoint != own]
    others = {name: endpoints[name] for name in elsewhere}
    return {row.id: _tunnel(connection, row, others, row.id in reached) for row in rows}


def addresses_of_hosts(connection: Connection) -> list[str]:
    """Return the addresses at which hosts find each other."""
    return sorted({address for address, _port in _endpoints(connection).values()})


def _tunnel(
    connection: Connection, network: AnyRow, endpoints: Mapping[str, tuple[str, int]], is_reached: bool
) -> dict[str, Any] | None:
    if network.segmentation_id is None or not endpoints:
        return None
    query = select(ports.c.id, ports.c.mac_address, ports.c.host_id).where(ports.c.network_id == network.id)
    found = connection.execute(query.where(ports.c.host_id != "").order_by(ports.c.id)).all()
    found = [port for port in found if port.host_id in endpoints]
    held = allocation.of_ports(connection, [port.id for port in found])
    cards: dict[str, list[dict[str, Any]]] = {}
    for port in found:
        card = {"mac": port.mac_address, "addresses": [each["ip_address"] for each in held[port.id]]}
        cards.setdefault(port.host_id, []).append(card)
    peers = [
        {"address": endpoints[name][0], "port": endpoints[name][1], "cards": cards[name]} for name in sorted(cards)
    ]
    return {"vni": network.segmentation_id, "peers": peers} if peers or is_reached else None


def _endpoints(connection: Connection) -> dict[str, tuple[str, int]]:
    """Return where each host is sent guests' packets, of those that have told."""
    found = {}
    for row in connection.execute(select(hosts.c.host, hosts.c.configurations)):
        address, port = (row.configurations.get(name) for name in ("tunneling_ip", "tunneling_port"))
        try:
            endpoint = str(ipaddress.ip_address(str(address))), int(port)
        except (TypeError, ValueError):
            continue
        if 0 < endpoint[1] <= _LAST_PORT:
            found[row.host] = endpoint
    return found


def _is_taken(work: Work, vni: int) -> bool:
    return work.connection.scalar(select(networks.c.id).where(networks.c.segmentation_id == vni)) is not None
