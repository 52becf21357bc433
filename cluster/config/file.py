"""The configuration file: TOML <-> `Config`."""

import os
import tomllib
from typing import Any, TypeVar

from cluster.config.block import BlockConfig
from cluster.config.checking import check
from cluster.config.compute_service import ComputeConfig
from cluster.config.console import ConsoleConfig
from cluster.config.identity import ClusterConfig
from cluster.config.identity_service import IdentityConfig
from cluster.config.images_service import ImagesConfig
from cluster.config.log import LogConfig
from cluster.config.machines import DeviceConfig, NodeConfig
from cluster.config.network_service import NetworkConfig
from cluster.config.ports import PortsConfig
from cluster.config.proxy import ProxyConfig
from cluster.config.ring import RingConfig
from cluster.config.storage import StorageConfig
from cluster.config.volumes_service import VolumesConfig
from cluster.config.whole import Config
from cluster.errors import ConfigError
from cluster.settings import read_section, refuse_unknown, render_plain, render_section

TableT = TypeVar("TableT")
_SECTIONS: dict[str, type] = {
    "cluster": ClusterConfig,
    "ports": PortsConfig,
    "proxy": ProxyConfig,
    "storage": StorageConfig,
    "block": BlockConfig,
    "identity": IdentityConfig,
    "images": ImagesConfig,
    "volumes": VolumesConfig,
    "compute": ComputeConfig,
    "network": NetworkConfig,
    "console": ConsoleConfig,
    "ring": RingConfig,
    "log": LogConfig,
}
_INTRODUCTION = (
    "# Holdfast cluster configuration. Holds secrets: readable by its owner only.\n"
    "# A line that begins with # and a name shows a default; take the # away to change it.\n"
    "# Every daemon reads this file once, when it starts.\n"
)
_HEADINGS = {
    "ports": "# Ports. Every one has the offset added.",
    "proxy": "# The HTTP front.",
    "storage": "# The storage daemons.",
    "block": "# Volumes.",
    "identity": "# The identity service: OpenStack's Keystone.",
    "images": "# The image service: OpenStack's Glance.",
    "volumes": "# The volume service: OpenStack's Cinder.",
    "compute": "# Servers: OpenStack's Nova.",
    "network": "# The network service: OpenStack's Neutron.",
    "console": "# The web page.",
    "ring": "# Read when the rings are made, never after.",
}


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check the file at `path`. Raise ConfigError, naming the file."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read())
    except OSError as error:
        raise ConfigError(f"cannot read {os.fspath(path)}: {error.strerror}") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"{os.fspath(path)}: {error}") from None


def parse(text: str) -> Config:
    """Return the configuration that `text` holds, checked as a whole. Raise ConfigError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None
    refuse_unknown(tables, [*_SECTIONS, "node", "device"], "the file")
    sections: dict[str, Any] = {
        name: read_section(section, f"[{name}]", tables.get(name, {})) for name, section in _SECTIONS.items()
    }
    nodes = _read_tables(NodeConfig, "node", tables.get("node", []))
    devices = sorted(_read_tables(DeviceConfig, "device", tables.get("device", [])), key=lambda device: device.id)
    config = Config(**sections, nodes=tuple(nodes), devices=tuple(devices))
    check(config)
    return config


def _read_tables(section: type[TableT], name: str, tables: object) -> list[TableT]:
    if not isinstance(tables, list):
        raise ConfigError(f"each {name} is a table of its own, under [[{name}]]")
    return [read_section(section, f"[[{name}]] number {number}", table) for number, table in enumerate(tables, start=1)]


def render(config: Config) -> str:
    """Return `config` as TOML for people: each setting with its meaning, defaults as comments."""
    parts = [_INTRODUCTION]
    for name in _SECTIONS:
        heading = f"{_HEADINGS[name]}\n[{name}]" if name in _HEADINGS else f"[{name}]"
        parts.append(render_section(getattr(config, name), heading))
    if config.nodes:
        parts.append("\n".join(render_plain(node, "[[node]]") for node in config.nodes))
    parts.append(_render_devices(config.devices))
    return "\n\n".join(parts)


def _render_devices(devices: tuple[DeviceConfig, ...]) -> str:
    introduction = "# Devices. docs/configuration.md tells what their settings mean.\n"
    return "\n".join([introduction, *(render_plain(device, "[[device]]") for device in devices)])
