"""Small builders of a cluster for tests of tools.rings."""

from collections.abc import Mapping

from cluster.config import Config, DeviceConfig, fresh_cluster
from ring.builder import RingBuilder
from ring.device import Device
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT
from tools.rings.wishes import adding, place

NOW_S = 1_700_000_000.0


def device(device_id: int, weight: float = 1.0) -> Device:
    """Return a device on a node and in a zone of its own."""
    return Device(device_id, 1, device_id + 1, f"127.0.0.{device_id + 1}", 6000 + device_id, f"d{device_id}", weight)


def builders(count: int = 4, replicas: int = 3, part_power: int = 6) -> Mapping[str, RingBuilder]:
    """Return the three builders of a cluster of `count` nodes, balanced."""
    empty = RingBuilder.create(part_power, replicas, 0)
    wish = adding([device(device_id) for device_id in range(count)])
    return place(dict.fromkeys((ACCOUNT, CONTAINER, OBJECT), empty), wish, NOW_S).builders


def config(count: int = 4) -> Config:
    """Return the configuration of these nodes."""
    devices = tuple(
        DeviceConfig(id=each, node=str(each), zone=each + 1, directory=f"nodes/{each}/d0", host=f"127.0.0.{each + 1}")
        for each in range(count)
    )
    return Config(cluster=fresh_cluster(), devices=devices)
