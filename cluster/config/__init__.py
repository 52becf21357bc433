"""The configuration of a cluster: one TOML file, read once, into frozen dataclasses.

Each field's annotation holds its meaning, unit and limits; `render` writes them into the file as
comments. `load` refuses what it does not know and what cannot work, in one sentence, before anything
starts. What follows from the settings (port of a worker, key as bytes) is a property beside them.

Read first: a section (`proxy`), `whole`, then `file` and `checking`. `cluster.settings` knows how a field is declared.
"""

from cluster.config.block import BlockConfig
from cluster.config.checking import check
from cluster.config.compute_service import ComputeConfig
from cluster.config.console import ConsoleConfig
from cluster.config.file import load, parse, render
from cluster.config.identity import ClusterConfig, fresh_cluster
from cluster.config.identity_service import IdentityConfig
from cluster.config.images_service import ImagesConfig
from cluster.config.log import LogConfig
from cluster.config.machines import DeviceConfig, NodeConfig
from cluster.config.network_service import NetworkConfig
from cluster.config.ports import PortsConfig
from cluster.config.proxy import ProxyConfig
from cluster.config.ring import RingConfig
from cluster.config.storage import StorageConfig
from cluster.config.units import LOOPBACK
from cluster.config.volumes_service import VolumesConfig
from cluster.config.whole import Config

__all__ = [
    "LOOPBACK",
    "BlockConfig",
    "ClusterConfig",
    "ComputeConfig",
    "Config",
    "ConsoleConfig",
    "DeviceConfig",
    "IdentityConfig",
    "ImagesConfig",
    "LogConfig",
    "NetworkConfig",
    "NodeConfig",
    "PortsConfig",
    "ProxyConfig",
    "RingConfig",
    "StorageConfig",
    "VolumesConfig",
    "check",
    "fresh_cluster",
    "load",
    "parse",
    "render",
]
