"""`holdfast node add` and `holdfast device add`: more devices, and a fair share of the data moved to them."""

import argparse
import itertools
import os
import statistics
from collections.abc import Sequence

from cluster.config import Config, DeviceConfig
from cluster.layout import Layout
from tools.data_directory import Cluster, data_option, program
from tools.errors import OperatorError
from tools.rings.machines import node_host, ring_device
from tools.rings.procedure import Steps, carry_out
from tools.rings.session import Session
from tools.rings.wishes import adding


def add_node(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Add a node with devices on this host."""
    with Session(cluster) as session:
        session.refuse_unless_idle()
        ids = session.devices.next_ids(arguments.devices)
        devices = node_devices(
            cluster.config, ids, arguments.name, arguments.region, arguments.zone, arguments.weight
        )
        return _add(session, f"add node {devices[0].node}", devices, arguments)


def add_device(cluster: Cluster, arguments: argparse.Namespace) -> int:
    """Add a device to a node that is there."""
    with Session(cluster) as session:
        session.refuse_unless_idle()
        (device_id,) = session.devices.next_ids(1)
        device = another_device(cluster.config, cluster.layout, device_id, arguments.node, arguments.weight)
        return _add(session, f"add device {device_id} to node {device.node}", [device], arguments)


def _add(session: Session, note: str, devices: Sequence[DeviceConfig], arguments: argparse.Namespace) -> int:
    config = session.devices.config
    session.devices.check(devices)
    ids = [device.id for device in devices]
    proposal = session.propose(note, adding([ring_device(config, device) for device in devices]))
    option = data_option(session.cluster.layout)
    steps = Steps(
        prepare=lambda: session.devices.make(devices),
        undo=lambda: session.devices.take_away(ids, delete_data=False),
        interrupted=f"when it is through, `{program()} ring rebalance{option}` moves what is left to move, if anything",
    )
    return carry_out(session, proposal, arguments, steps)


def node_devices(
    config: Config, ids: Sequence[int], name: str | None, region: int, zone: int | None, weight: float | None
) -> list[DeviceConfig]:
    """Return the devices of a new node. Raise OperatorError."""
    nodes = {device.node for device in config.devices}
    if name in nodes:
        raise OperatorError(f"there is a node {name} already: `device add {name}` gives it another device")
    if name is not None and not _is_fit(name):
        raise OperatorError(f"{name!r} is no name for a node: use letters, digits, - and _")
    node = _next_number(nodes) if name is None else name
    host = config.node(node).host or _free_host({device.host for device in config.devices})
    own_zone = zone or 1 + max((device.zone for device in config.devices if device.region == region), default=0)
    return [
        DeviceConfig(
            id=device_id,
            node=node,
            region=region,
            zone=own_zone,
            weight=weight or usual_weight(config),
            directory=f"nodes/{node}/d{disk}",
            host=host,
        )
        for disk, device_id in enumerate(ids)
    ]


def another_device(
    config: Config, layout: Layout, device_id: int, node: str, weight: float | None
) -> DeviceConfig:
    """Return one more device of a node. Raise OperatorError."""
    others = [device for device in config.devices if device.node == node]
    if not others:
        nodes = ", ".join(dict.fromkeys(device.node for device in config.devices))
        raise OperatorError(f"there is no node {node}: choose one of {nodes}, or make one with `node add`")
    taken = {os.path.normpath(device.directory) for device in config.devices}
    disk = 0
    while f"nodes/{node}/d{disk}" in taken or (layout.directory / f"nodes/{node}/d{disk}").exists():
        disk += 1  # a directory that is there may hold what a removed device left
    return DeviceConfig(
        id=device_id,
        node=node,
        region=others[0].region,
        zone=others[0].zone,
        weight=weight or usual_weight(config),
        directory=f"nodes/{node}/d{disk}",
        host=others[0].host,
    )


def usual_weight(config: Config) -> float:
    """Return what devices here mostly weigh."""
    weights = [device.weight for device in config.devices if device.weight > 0]
    return statistics.median_high(weights) if weights else 1.0


def _next_number(nodes: set[str]) -> str:
    return str(1 + max((int(node) for node in nodes if node.isdecimal()), default=-1))


def _is_fit(name: str) -> bool:
    return name.isascii() and name.replace("-", "x").replace("_", "x").isalnum() and len(name) <= 64


def _free_host(hosts: set[str]) -> str:
    """Return a loopback address that no node has: by it the rings tell nodes apart."""
    return next(host for host in map(node_host, itertools.count()) if host not in hosts)
