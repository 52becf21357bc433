"""What has to fit together in a configuration."""

import ipaddress
import os
import re
from collections.abc import Iterator

from cluster.config.compute_service import AGENT_MARK, ComputeConfig
from cluster.config.identity import KEY_SIZE, ClusterConfig
from cluster.config.identity_service import PERIODS_KEPT, IdentityConfig
from cluster.config.machines import DeviceConfig, NodeConfig
from cluster.config.services import COMPUTE, running
from cluster.config.storage import StorageConfig
from cluster.config.units import PORT
from cluster.config.whole import Config
from cluster.errors import ConfigError


def check(config: Config) -> None:
    """Raise ConfigError when settings that are fine alone do not fit together."""
    _check_secrets(config.cluster)
    _check_fullness(config.storage)
    _check_identity(config.identity)
    _check_nodes(config.nodes)
    _check_devices(config.devices)
    _check_ports(config)
    _check_compute(config.compute)


def _check_secrets(cluster: ClusterConfig) -> None:
    try:
        fits = len(cluster.key) == 2 * KEY_SIZE and len(cluster.key_bytes) == KEY_SIZE
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"[cluster] key must be {2 * KEY_SIZE} hexadecimal digits")
    if not cluster.hash_prefix and not cluster.hash_suffix:
        raise ConfigError("[cluster] hash_prefix and hash_suffix must not both be empty")


def _check_fullness(storage: StorageConfig) -> None:
    if storage.warn_full_ratio > storage.refuse_full_ratio:
        raise ConfigError(
            "[storage] must have warn_full_ratio <= refuse_full_ratio, not "
            f"{storage.warn_full_ratio} and {storage.refuse_full_ratio}"
        )


def _check_identity(identity: IdentityConfig) -> None:
    if identity.token_ttl_s > PERIODS_KEPT * identity.key_rotation_s:
        raise ConfigError(
            f"[identity] must have token_ttl_s <= {PERIODS_KEPT} * key_rotation_s, not {identity.token_ttl_s} and "
            f"{identity.key_rotation_s}: tokens would end with the key that they were made with"
        )
    try:
        re.compile(identity.password_pattern)
    except re.error as error:
        raise ConfigError(f"[identity] password_pattern must be a regular expression: {error}") from None


def _check_compute(compute: ComputeConfig) -> None:
    if compute.libvirt and compute.agents > 1 and AGENT_MARK not in compute.libvirt:
        raise ConfigError(
            f"[compute] libvirt must have {AGENT_MARK} in it where there are {compute.agents} agents: one would take "
            "the other's guests away"
        )
    for prefix in compute.guests_may_reach:
        try:
            ipaddress.IPv4Network(prefix)
        except ValueError as error:
            raise ConfigError(f"[compute] guests_may_reach must be prefixes of IPv4 addresses: {error}") from None
    if compute.tunnel_address:
        try:
            ipaddress.ip_address(compute.tunnel_address)
        except ValueError as error:
            raise ConfigError(f"[compute] tunnel_address must be an address of this host: {error}") from None


def _check_nodes(nodes: tuple[NodeConfig, ...]) -> None:
    names = [node.name for node in nodes]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two [[node]] tables have the name {name}: one node has one")


def _check_devices(devices: tuple[DeviceConfig, ...]) -> None:
    by_id: dict[int, DeviceConfig] = {}
    by_directory: dict[str, DeviceConfig] = {}
    for device in devices:
        directory = os.path.normpath(device.directory)
        if device.id in by_id:
            raise ConfigError(f"two devices have the id {device.id}: each needs its own")
        if directory in by_directory:
            other = by_directory[directory].id
            raise ConfigError(f"devices {other} and {device.id} both store in {device.directory}")
        by_id[device.id] = by_directory[directory] = device


def _check_ports(config: Config) -> None:
    owners: dict[int, str] = {}
    for owner, port in _ports_used(config):
        if port > PORT.most:
            raise ConfigError(f"{owner} would get port {port}: choose lower ports or a smaller offset")
        if port in owners:
            raise ConfigError(f"{owners[port]} and {owner} would both get port {port}: change one in [ports]")
        owners[port] = owner


def _ports_used(config: Config) -> Iterator[tuple[str, int]]:
    """Yield who listens where on this host."""
    ports = config.ports
    yield "S3", ports.s3_port
    yield "Swift", ports.swift_port
    for service in running(config):
        yield service.title, service.port(ports)
        yield f"the metrics of {service.title}", service.admin_port(ports)
    if COMPUTE.runs(config):
        for agent in range(config.compute.agents):
            yield f"agent {agent}", ports.agent_port(agent)
            yield f"the displays of agent {agent}", ports.agent_displays_port(agent)
            yield f"the metrics of agent {agent}", ports.agent_admin_port(agent)
    if config.console.enabled:
        yield "the console", ports.console_port
        yield "the metrics of the console", ports.console_admin_port
    for gateway in range(config.block.gateways):
        yield f"block gateway {gateway}", ports.gateway_nbd_port(gateway)
        yield f"the metrics of block gateway {gateway}", ports.gateway_admin_port(gateway)
    for worker in range(config.worker_count()):
        yield f"the metrics of proxy worker {worker}", ports.proxy_admin_port(worker)
    for device in config.devices:
        yield f"the metrics of device {device.id}", ports.storage_admin_port(device.id)
    if config.cluster.transport == "tcp":
        for device in config.devices:
            yield f"device {device.id}", config.wire_port(device)
