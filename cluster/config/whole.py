"""A whole configuration: its sections, and what follows from several of them."""

import os
from dataclasses import dataclass, field

from cluster.config.block import BlockConfig
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
from cluster.errors import ConfigError

_DEFAULT_WORKERS_LIMIT = 4  # of "one per core": more proxies than this take memory from storage on one host


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A cluster's whole configuration."""

    cluster: ClusterConfig
    ports: PortsConfig = field(default_factory=PortsConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    block: BlockConfig = field(default_factory=BlockConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    volumes: VolumesConfig = field(default_factory=VolumesConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    ring: RingConfig = field(default_factory=RingConfig)
    log: LogConfig = field(default_factory=LogConfig)
    devices: tuple[DeviceConfig, ...] = ()  # ordered by id
    nodes: tuple[NodeConfig, ...] = ()  # those that have a table

    def device(self, device_id: int) -> DeviceConfig:
        """Return the device with this id. Raise ConfigError when there is none."""
        for device in self.devices:
            if device.id == device_id:
                return device
        raise ConfigError(f"no device has the id {device_id}")

    def worker_count(self, core_count: int | None = None) -> int:
        """Return how many proxies run on a host with `core_count` cores (default: this one)."""
        if placed := sum(node.proxies for node in self.nodes):
            return placed
        cores = core_count or os.cpu_count() or 1
        return self.proxy.workers or min(cores, _DEFAULT_WORKERS_LIMIT)

    def wire_port(self, device: DeviceConfig) -> int:
        """Return where `device` takes peers with transport tcp."""
        return device.port or self.ports.wire_port(device.id)

    def node(self, name: str) -> NodeConfig:
        """Return the node of this name; one that has no table has no settings of its own."""
        return next((node for node in self.nodes if node.name == name), NodeConfig(name=name))

    def proxy_node(self, worker: int) -> NodeConfig:
        """Return the node on which a proxy worker runs; without a name when no node has proxies."""
        placed = [node for node in self.nodes for _worker in range(node.proxies)]
        return placed[worker] if worker < len(placed) else NodeConfig(name="")

    def proxy_listen(self, worker: int) -> str:
        """Return the address on which a proxy worker takes clients."""
        return self.proxy_node(worker).listen or self.ports.listen

    def proxy_admin_listen(self, worker: int) -> str:
        """Return the address of a proxy worker's admin port."""
        return self.proxy_node(worker).listen or self.ports.admin_listen

    def gateway_node(self, gateway: int) -> NodeConfig:
        """Return the node on which a block gateway runs: one with a proxy; without a name when no node has any."""
        return self.proxy_node(gateway % max(1, self.worker_count()))

    def gateway_listen(self, gateway: int) -> str:
        """Return the address on which a block gateway takes clients."""
        return self.block.address(self.gateway_node(gateway).listen or self.ports.listen)

    def gateway_admin_listen(self, gateway: int) -> str:
        """Return the address of a block gateway's admin port."""
        return self.gateway_node(gateway).listen or self.ports.admin_listen

    def storage_admin_listen(self, device_id: int) -> str:
        """Return the address of the admin port of a device."""
        return self.node(self.device(device_id).node).listen or self.ports.admin_listen
