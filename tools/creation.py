"""Making a cluster: its configuration with fresh secrets, its rings and their builders, its first users.

VERSION is written last: a directory without it holds no data, and an interrupted start begins anew.
"""

import time
from dataclasses import dataclass

from cluster.clock import wall_us
from cluster.config import (
    Config,
    ConsoleConfig,
    DeviceConfig,
    IdentityConfig,
    PortsConfig,
    ProxyConfig,
    RingConfig,
    check,
    fresh_cluster,
    render,
)
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.version import DATA_LAYOUT
from identity.users import UserStore, new_user
from ring.builder import RingBuilder
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT
from storage.rings.store import RingStore
from tools.clouds import ensure_password
from tools.private_file import write_private
from tools.rings.builders import Builders, BuilderStore
from tools.rings.machines import node_host, ring_device
from tools.rings.wishes import adding, place

RING_NAMES = (OBJECT, CONTAINER, ACCOUNT)
ADMIN = "admin"
# A change of rings is safe however soon it follows another: it begins only once the data of that are in place.
_MIN_PART_HOURS = 0
# For the sake of dispersion a device may get a tenth more than its weight says, as Swift's operators have it.
_OVERLOAD = 0.1


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asks of a new cluster."""

    node_count: int = 4
    devices_per_node: int = 1
    proxy_count: int = 0  # 0: as the configuration's default
    port_offset: int = 0
    has_identity: bool = True  # the identity service
    has_console: bool = True


def plan(wishes: Wishes) -> Config:
    """Return the configuration of a new cluster. Raise ConfigError."""
    devices = tuple(
        DeviceConfig(
            id=node * wishes.devices_per_node + disk,
            node=str(node),
            zone=node + 1,
            directory=f"nodes/{node}/d{disk}",
            host=node_host(node),
        )
        for node in range(wishes.node_count)
        for disk in range(wishes.devices_per_node)
    )
    config = Config(
        cluster=fresh_cluster(),
        ports=PortsConfig(offset=wishes.port_offset),
        proxy=ProxyConfig(workers=wishes.proxy_count),
        identity=IdentityConfig(enabled=wishes.has_identity),
        console=ConsoleConfig(enabled=wishes.has_console),
        ring=RingConfig(replicas=min(RingConfig().replicas, len(devices))),
        devices=devices,
    )
    check(config)
    return config


def create(layout: Layout, config: Config) -> None:
    """Make the cluster of `config` in a data directory that holds none."""
    secrets = (layout.environment, layout.clouds, layout.openrc, layout.admin_password)
    for left in (layout.config, layout.coordination, *secrets):
        for suffix in ("", "-wal", "-shm"):
            left.with_name(left.name + suffix).unlink(missing_ok=True)
    write_private(layout.config, render(config))
    coordination = EmbeddedCoordination(layout.coordination)
    try:
        rings = BuilderStore(coordination).save(build(config))
        RingStore(coordination).create(rings, wall_us())
        UserStore(coordination).add(new_user(ADMIN, admin=True))
    finally:
        coordination.close()
    if config.identity.enabled:
        ensure_password(layout)
    for device in config.devices:
        layout.device(device).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(layout.version, f"{DATA_LAYOUT}\n")


def build(config: Config) -> Builders:
    """Return the builders of a new cluster, by name of the ring."""
    empty = RingBuilder.create(config.ring.part_power, config.ring.replicas, _MIN_PART_HOURS).set_overload(_OVERLOAD)
    devices = [ring_device(config, device) for device in config.devices]
    return place(dict.fromkeys(RING_NAMES, empty), adding(devices), time.time()).builders
