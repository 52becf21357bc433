"""Servers as the API shows them, by the version that the client speaks. What a page needs is read at once."""

import hashlib
import ipaddress
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compute.instances import block_devices, cards, hosts, server_groups, servers
from compute.instances.api.requests import Request, at_least, is_admin, links, target_of
from compute.instances.block_devices import BlockDevice
from compute.instances.cards import Card
from compute.instances.hosts import KnownHost
from compute.instances.moments import iso, iso_micro
from compute.instances.servers import Server
from compute.instances.statuses import VmState

Document = dict[str, Any]

_WITH_PROGRESS = frozenset(("ACTIVE", "BUILD", "DELETED", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"))
_WITH_FAULT = frozenset(("ERROR", "DELETED"))
_MORE = "OS-EXT-SRV-ATTR:"


@dataclass(frozen=True, slots=True)
class Known:
    """What documents of some servers are made of."""

    devices: Mapping[str, Sequence[BlockDevice]]
    cards: Mapping[str, Sequence[Card]]
    tags: Mapping[str, Sequence[str]]
    hosts: Mapping[str, KnownHost]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


def brief(context: Request, server: Server) -> Document:
    """Return what listings show."""
    return {"id": server.id, "name": server.name, "links": links(context, f"servers/{server.id}")}


def detailed(context: Request, found: Sequence[Server], shown_alone: bool = False) -> list[Document]:
    """Return all that there is to be seen of servers."""
    ids = [each.id for each in found]
    known = Known(
        block_devices.of_servers(context.connection, ids),
        cards.of_servers(context.connection, ids),
        servers.tags_of(context.connection, ids) if at_least(context, 26) else {},
        {each.name: each for each in hosts.every(context.connection)},
        _groups(context, ids) if shown_alone and at_least(context, 71) else {},
    )
    return [_document(context, each, known, shown_alone) for each in found]


def show(context: Request, server: Server) -> Document:
    """Return all that there is to be seen of a server."""
    return detailed(context, [server], shown_alone=True)[0]


def changed(context: Request, server: Server) -> Document:
    """Return what is shown of a server that was changed: before 2.75 less than there is to be seen."""
    document = show(context, server)
    if not at_least(context, 75):
        for name in [each for each in document if each.startswith(("OS-EXT-", "OS-SRV-", "os-extended-"))]:
            del document[name]
        for name in ("config_drive", "key_name", "security_groups", "host_status", "fault"):
            document.pop(name, None)
        for each in itertools.chain.from_iterable(document["addresses"].values()):
            del each["OS-EXT-IPS:type"], each["OS-EXT-IPS-MAC:mac_addr"]
    return document


def addresses_of(found: Sequence[Card]) -> dict[str, list[Document]]:
    """Return the addresses of a server, by network."""
    addresses: dict[str, list[Document]] = {}
    for card in found:
        port = card.port
        if port is None or card.state == cards.UNWANTED:
            continue
        its = addresses.setdefault(port.network_name, [])
        floating = [pair.split(" ") for pair in port.floating]
        for address, _subnet in port.fixed_ips:
            its.append(_address(address, "fixed", port.mac))
            its += [_address(pair[0], "floating", port.mac) for pair in floating if pair[1:] == [address]]
    return addresses


def host_id(server: Server) -> str:
    """Return what tells a project's servers on one host from those on others, and no more."""
    if not server.host:
        return ""
    return hashlib.sha224(f"{server.project_id}{server.host}".encode()).hexdigest()


def fault_of(context: Request, server: Server) -> Document | None:
    """Return what went wrong with a server; None: nothing, or nothing any more."""
    if server.fault is None or server.status not in _WITH_FAULT:
        return None
    fault: Document = {
        "code": server.fault["code"],
        "created": iso(server.fault["created_us"]),
        "message": server.fault["message"],
    }
    if server.fault.get("details") and (is_admin(context) or server.fault["code"] != 500):
        fault["details"] = server.fault["details"]
    return fault


def flavor_of(context: Request, flavor: Mapping[str, Any]) -> Document:
    """Return the flavor of a server as it was when it got it; in old versions, where it is."""
    if not at_least(context, 47):
        return {"id": flavor["id"], "links": links(context, f"flavors/{flavor['id']}")[1:]}
    return {
        "vcpus": flavor["vcpus"],
        "ram": flavor["memory_mib"],
        "disk": flavor["disk_gb"],
        "ephemeral": flavor["ephemeral_gb"],
        "swap": flavor["swap_mib"],
        "original_name": flavor["name"],
        "extra_specs": dict(flavor["extra_specs"]),
    }


def _document(context: Request, server: Server, known: Known, shown_alone: bool) -> Document:
    devices, its_cards = known.devices[server.id], known.cards[server.id]
    document: Document = {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": dict(server.metadata),
        "hostId": host_id(server),
        "image": _image(context, server),
        "flavor": flavor_of(context, server.flavor),
        "created": iso(server.created_at_us),
        "updated": iso(server.updated_at_us or server.created_at_us),
        "addresses": addresses_of(its_cards),
        "accessIPv4": server.access_ipv4 or "",
        "accessIPv6": _shortest(server.access_ipv6 or ""),
        "links": links(context, f"servers/{server.id}"),
        "OS-DCF:diskConfig": server.disk_config,
        "OS-EXT-AZ:availability_zone": _zone(server),
        "config_drive": "True" if server.config_drive else "",
        "key_name": server.key_name,
        "OS-SRV-USG:launched_at": _moment(server.launched_at_us),
        "OS-SRV-USG:terminated_at": _moment(server.deleted_at_us),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:power_state": server.power,
        "os-extended-volumes:volumes_attached": _volumes(context, devices),
    }
    if server.status in _WITH_PROGRESS:
        document["progress"] = server.progress
    fault = fault_of(context, server)
    if fault is not None:
        document["fault"] = fault
    groups = _security_groups(server, its_cards)
    if groups:
        document["security_groups"] = groups
    return document | _for_administrators(context, server) | _newer(context, server, known, shown_alone)


def _for_administrators(context: Request, server: Server) -> Document:
    if not context.allows("os_compute_api:os-extended-server-attributes", target_of(server)):
        return {f"{_MORE}hostname": server.hostname} if at_least(context, 90) else {}
    found: Document = {
        f"{_MORE}host": server.host,
        f"{_MORE}instance_name": f"instance-{server.id[:8]}",
        f"{_MORE}hypervisor_hostname": server.host,
    }
    if at_least(context, 3):
        found |= {
            f"{_MORE}reservation_id": server.reservation_id,
            f"{_MORE}launch_index": server.launch_index,
            f"{_MORE}hostname": server.hostname,
            f"{_MORE}kernel_id": "",
            f"{_MORE}ramdisk_id": "",
            f"{_MORE}root_device_name": server.root_device_name,
            f"{_MORE}user_data": server.user_data,
        }
    return found


def _newer(context: Request, server: Server, known: Known, shown_alone: bool) -> Document:
    """Return what newer versions of the API show, too."""
    found: Document = {}
    if at_least(context, 9):
        found["locked"] = server.locked_by is not None
    if at_least(context, 16) and context.allows("os_compute_api:servers:show:host_status", target_of(server)):
        found["host_status"] = _host_status(context, server, known)
    if at_least(context, 19):
        found["description"] = server.description
    if at_least(context, 26):
        found["tags"] = list(known.tags[server.id])
    if at_least(context, 63):
        found["trusted_image_certificates"] = None
    if at_least(context, 71) and shown_alone:
        found["server_groups"] = list(known.groups.get(server.id, ()))
    if at_least(context, 73):
        found["locked_reason"] = server.locked_reason
    if at_least(context, 96):
        found["pinned_availability_zone"] = server.wish.get("zone")
    return found


def _host_status(context: Request, server: Server, known: Known) -> str:
    if not server.host:
        return ""
    host = known.hosts.get(server.host)
    if host is None:
        return "UNKNOWN"
    if host.forced_down:
        return "DOWN"
    if not host.is_up(context.now_us):
        return "UNKNOWN"
    return "MAINTENANCE" if host.disabled else "UP"


def _image(context: Request, server: Server) -> Document | str:
    if not server.image_id:
        return ""
    return {"id": server.image_id, "links": links(context, f"images/{server.image_id}")[1:]}


def _volumes(context: Request, devices: Sequence[BlockDevice]) -> list[Document]:
    found = [each for each in devices if each.volume_id]
    if not at_least(context, 3):
        return [{"id": each.volume_id} for each in found]
    return [{"id": each.volume_id, "delete_on_termination": each.delete_on_termination} for each in found]


def _security_groups(server: Server, its_cards: Sequence[Card]) -> list[Document]:
    if server.vm_state == VmState.BUILDING or its_cards:
        return [{"name": name} for name in server.security_groups]
    return []


def _zone(server: Server) -> str:
    return (server.availability_zone or "") if server.host else str(server.wish.get("zone") or "")


def _moment(moment_us: int | None) -> str | None:
    return iso_micro(moment_us)


def _shortest(address: str) -> str:
    """Return an address as RFC 5952 has it written; what is none stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _address(address: str, kind: str, mac: str) -> Document:
    return {
        "version": 6 if ":" in address else 4,
        "addr": address,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": mac,
    }


def _groups(context: Request, ids: Sequence[str]) -> dict[str, list[str]]:
    found = {}
    for server_id in ids:
        group = server_groups.of_server(context.connection, server_id)
        found[server_id] = [] if group is None else [group.id]
    return found
