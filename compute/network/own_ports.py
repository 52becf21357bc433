"""Ports of the service's own: for DHCP, of routers, of floating addresses. They are nobody's quota, and unfiltered.

They come and go with what they are for, and nobody deletes them otherwise. Which ports these are is said by the tables
that name them, but for DHCP's: users may write `device_owner` of ports in their networks.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import exists, select

from compute.network import addresses, allocation
from compute.network.attributes import PORT
from compute.network.networks import ACTIVE, DHCP_OWNER
from compute.network.schema import floating_ips, router_ports, routers
from compute.network.work import AnyRow, Work

ROUTER_INTERFACE, ROUTER_GATEWAY, FLOATING = "network:router_interface", "network:router_gateway", "network:floatingip"


def make(work: Work, network_id: str, project_id: str, device_owner: str, device_id: str) -> allocation.Owner:
    """Make a port without addresses."""
    mac = addresses.new_mac()
    port_id = work.add(
        PORT,
        {
            "project_id": project_id,
            "name": "",
            "description": "",
            "network_id": network_id,
            "admin_state_up": True,
            "mac_address": mac,
            "status": ACTIVE,
            "device_id": device_id,
            "device_owner": device_owner,
            "port_security_enabled": False,
            "allowed_address_pairs": [],
            "extra_dhcp_opts": [],
            "host_id": "",
            "vnic_type": "normal",
            "profile": {},
        },
    )
    return allocation.Owner(network_id, port_id, mac, device_owner)


def make_with_addresses(
    work: Work,
    network_id: str,
    device_owner: str,
    device_id: str,
    asked: Sequence[Mapping[str, str]] | None,
    project_id: str = "",
) -> str:
    """Make a port with the addresses it asks for (None: those it gets by itself); return its id."""
    owner = make(work, network_id, project_id, device_owner, device_id)
    allocation.give(work, owner, asked)
    return owner.port_id


def is_own(work: Work, port: AnyRow) -> bool:
    """Tell whether a port goes only with what it is for."""
    if port.device_owner == DHCP_OWNER:
        return True
    named = (routers.c.gateway_port_id, router_ports.c.port_id, floating_ips.c.floating_port_id)
    return any(work.connection.scalar(select(exists().where(column == port.id))) for column in named)
