"""Making a cluster: its configuration with fresh secrets, its rings, its first user.

VERSION is written last: a directory without it holds no data, and an interrupted start begins anew.
"""

import time
from dataclasses import dataclass

from cluster.config import Config, DeviceConfig, PortsConfig, ProxyConfig, RingConfig, check, fresh_cluster, render
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from cluster.version import DATA_LAYOUT
from identity.users import UserStore, new_user
from ring import file
from ring.builder import RingBuilder
from ring.device import Device
from ring.lookup import Ring
from tools.private_file import write_private

RING_NAMES = ("object-0", "container", "account")
ADMIN = "admin"
_MIN_PART_HOURS = 1


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asks of a new cluster."""

    node_count: int = 4
    devices_per_node: int = 1
    proxy_count: int = 0  # 0: as the configuration's default
    port_offset: int = 0


def plan(wishes: Wishes) -> Config:
    """Return the configuration of a new cluster. Raise ConfigError."""
    devices = tuple(
        DeviceConfig(
            id=node * wishes.devices_per_node + disk,
            node=str(node),
            zone=node + 1,
            directory=f"nodes/{node}/d{disk}",
        )
        for node in range(wishes.node_count)
        for disk in range(wishes.devices_per_node)
    )
    config = Config(
        cluster=fresh_cluster(),
        ports=PortsConfig(offset=wishes.port_offset),
        proxy=ProxyConfig(workers=wishes.proxy_count),
        ring=RingConfig(replicas=min(RingConfig().replicas, len(devices))),
        devices=devices,
    )
    check(config)
    return config


def create(layout: Layout, config: Config) -> None:
    """Make the cluster of `config` in a data directory that holds none."""
    for left in (layout.config, layout.coordination, layout.environment):
        for suffix in ("", "-wal", "-shm"):
            left.with_name(left.name + suffix).unlink(missing_ok=True)
    write_private(layout.config, render(config))
    coordination = EmbeddedCoordination(layout.coordination)
    try:
        for name, ring in build_rings(config).items():
            coordination.put(f"ring/{name}", file.dump(ring))
        UserStore(coordination).add(new_user(ADMIN, admin=True))
    finally:
        coordination.close()
    for device in config.devices:
        layout.device(device).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(layout.version, f"{DATA_LAYOUT}\n")


def build_rings(config: Config) -> dict[str, Ring]:
    """Return the rings of a new cluster, by name."""
    builder = RingBuilder.create(config.ring.part_power, config.ring.replicas, _MIN_PART_HOURS)
    for device in config.devices:
        builder = builder.add(_ring_device(config, device))
    now_s = time.time()
    return {name: builder.rebalance(seed, now_s)[0].to_ring() for seed, name in enumerate(RING_NAMES)}


def _ring_device(config: Config, device: DeviceConfig) -> Device:
    return Device(
        id=device.id,
        region=device.region,
        zone=device.zone,
        ip=device.host,
        port=config.wire_port(device),
        device=f"d{device.id}",
        weight=device.weight,
    )
