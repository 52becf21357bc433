"""What a server's guest is told of itself: OpenStack's meta_data.json, and what EC2's form has beside. Pure.

Source: Nova's `InstanceMetadata`; cloud-init reads both.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from compute.agent.guest import Told
from compute.instances.block_devices import EPHEMERAL, SWAP, BlockDevice
from compute.instances.cards import Card
from compute.instances.servers import Server

_SEED_SIZE = 512  # bytes


def told_of(
    server: Server,
    cards: Sequence[Card],
    devices: Sequence[BlockDevice],
    network_data: Mapping[str, Any],
    secret: bytes,
) -> Told:
    """Return all that a guest is told. `secret`: what nobody can guess its random numbers without."""
    return Told(
        meta_data=meta_data(server, cards, devices, secret),
        network_data=network_data,
        vendor_data={},
        user_data=server.user_data or "",
        ec2=ec2_data(server, cards, devices),
    )


def meta_data(server: Server, cards: Sequence[Card], devices: Sequence[BlockDevice], secret: bytes) -> dict[str, Any]:
    """Return meta_data.json."""
    found: dict[str, Any] = {
        "uuid": server.id,
        "name": server.name,
        "hostname": server.hostname,
        "launch_index": server.launch_index,
        "availability_zone": server.availability_zone or "",
        "project_id": server.project_id,
        "random_seed": base64.b64encode(_seed(server.id, secret)).decode(),
        "devices": _devices(cards, devices),
        "dedicated_cpus": [],
    }
    if server.metadata:
        found["meta"] = dict(server.metadata)
    if server.key_name and server.key_data:
        found["public_keys"] = {server.key_name: server.key_data}
        found["keys"] = [{"name": server.key_name, "type": "ssh", "data": server.key_data}]
    return found


def ec2_data(server: Server, cards: Sequence[Card], devices: Sequence[BlockDevice]) -> dict[str, Any]:
    """Return what EC2's form has beside that."""
    ports = [card.port for card in cards if card.port is not None]
    addresses = [address for port in ports for address, _subnet in port.fixed_ips if ":" not in address]
    floating = [pair.split(" ")[0] for port in ports for pair in port.floating]
    found: dict[str, Any] = {
        "ami-id": ec2_id(server.image_id or "", "ami"),
        "ami-launch-index": server.launch_index,
        "ami-manifest-path": "",
        "block-device-mapping": _mapping(server, devices),
        "hostname": server.hostname,
        "instance-action": "none",
        "instance-id": ec2_id(server.id, "i"),
        "instance-type": server.flavor.get("name", ""),
        "local-hostname": server.hostname,
        "local-ipv4": addresses[0] if addresses else "",
        "placement": {"availability-zone": server.availability_zone or ""},
        "public-hostname": server.hostname,
        "public-ipv4": floating[0] if floating else "",
        "reservation-id": server.reservation_id,
        "security-groups": "\n".join(server.security_groups),
    }
    if server.key_name and server.key_data:
        found["public-keys"] = {server.key_name: server.key_data}
    return found


def ec2_id(identifier: str, prefix: str) -> str:
    """Return an id as EC2 would have it: the beginning of ours."""
    return f"{prefix}-{(identifier.replace('-', '') or '0' * 8)[:8]}"


def _mapping(server: Server, devices: Sequence[BlockDevice]) -> dict[str, str]:
    root = server.root_device_name or "/dev/vda"
    found = {"ami": root.removeprefix("/dev/"), "root": root}
    for number, each in enumerate(device for device in devices if device.use == EPHEMERAL):
        found[f"ephemeral{number}"] = each.device_name or ""
    for each in devices:
        if each.use == SWAP:
            found["swap"] = each.device_name or ""
    return found


def _devices(cards: Sequence[Card], devices: Sequence[BlockDevice]) -> list[dict[str, Any]]:
    """Return what has a tag, by which a guest recognises it."""
    found: list[dict[str, Any]] = []
    for card in cards:
        if card.tag and card.port is not None:
            found.append({"type": "nic", "bus": "none", "address": "", "mac": card.port.mac, "tags": [card.tag]})
    for each in devices:
        if each.tag:
            serial = each.volume_id or each.id
            found.append({"type": "disk", "bus": "none", "address": "", "serial": serial, "tags": [each.tag]})
    return found


def _seed(server_id: str, secret: bytes) -> bytes:
    block, found = b"", b""
    while len(found) < _SEED_SIZE:
        block = hmac.new(secret, block + server_id.encode(), hashlib.sha256).digest()
        found += block
    return found[:_SEED_SIZE]
