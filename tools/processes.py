"""The processes of a cluster: what starts each of them, and where they listen."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.config import Config
from cluster.layout import Layout
from cluster.processes import auxiliaries, gateway_name, proxy_name, storage_name
from cluster.supervision.program import Program

_PROXY_STOP_ORDER, _STORAGE_STOP_ORDER = 0, 1  # what serves clients goes first
_STOP_MARGIN_S = 5.0  # beyond what a proxy gives the requests under way


@dataclass(frozen=True, slots=True)
class Port:
    """Where a process listens."""

    owner: str  # in words
    host: str
    number: int


def programs(config: Config, layout: Layout) -> list[Program]:
    """Return the programs of the cluster, storage first."""
    storage = [
        _program(layout, storage_name(device), "storage.daemon", ("--device", str(device.id)), _STORAGE_STOP_ORDER,
                 namespace=config.node(device.node).namespace)
        for device in config.devices
    ]
    grace_s = config.proxy.shutdown_grace_s + _STOP_MARGIN_S
    proxies = [
        _program(layout, proxy_name(worker), "proxy.daemon", ("--worker", str(worker)), _PROXY_STOP_ORDER, grace_s,
                 config.proxy_node(worker).namespace)
        for worker in range(config.worker_count())
    ]
    gateways = [
        _program(layout, gateway_name(number), "blockgw.daemon", ("--gateway", str(number)), _PROXY_STOP_ORDER, grace_s,
                 config.gateway_node(number).namespace)
        for number in range(config.block.gateways)
    ]
    others = [
        _program(layout, each.name, each.module, each.options, _PROXY_STOP_ORDER, grace_s)
        for each in auxiliaries(config)
    ]
    return storage + proxies + gateways + others


def _program(
    layout: Layout, name: str, module: str, options: tuple[str, ...], stop_order: int, stop_timeout_s: float = 15.0,
    namespace: str = "",
) -> Program:
    return Program(
        name=name,
        arguments=(*python_module(module), "--config", str(layout.config), *options),
        log=layout.log(name),
        ready=layout.ready(name),
        pid=layout.pid(name),
        stop_order=stop_order,
        stop_timeout_s=stop_timeout_s,
        namespace=namespace,
    )


def python_module(module: str) -> tuple[str, ...]:
    """Return the command that runs `module`; -P: whatever is in the current directory is not ours."""
    return (sys.executable, "-P", "-m", module)


def ports(config: Config) -> Iterator[Port]:
    """Yield where the processes listen on the supervisor's network; nodes in namespaces are on others."""
    listen = config.ports
    for host in dict.fromkeys(config.proxy_listen(worker) for worker in _workers_here(config)):
        yield Port("S3", host, listen.s3_port)
        yield Port("Swift", host, listen.swift_port)
    for worker in _workers_here(config):
        name, host = proxy_name(worker), config.proxy_admin_listen(worker)
        yield Port(f"the metrics of {name}", host, listen.proxy_admin_port(worker))
    for each in auxiliaries(config):
        yield Port(each.title, each.host, each.port)
        yield Port(f"the metrics of {each.title}", listen.admin_listen, each.admin_port)
    for number in range(config.block.gateways):
        if config.gateway_node(number).namespace:
            continue
        name, host = gateway_name(number), config.gateway_admin_listen(number)
        yield Port("NBD", config.gateway_listen(number), listen.gateway_nbd_port(number))
        yield Port(f"the metrics of {name}", host, listen.gateway_admin_port(number))
    for device in config.devices:
        if config.node(device.node).namespace:
            continue
        port = listen.storage_admin_port(device.id)
        yield Port(f"the metrics of {storage_name(device)}", config.storage_admin_listen(device.id), port)
        if config.cluster.transport == "tcp":
            yield Port(storage_name(device), device.host, config.wire_port(device))


def _workers_here(config: Config) -> list[int]:
    return [worker for worker in range(config.worker_count()) if not config.proxy_node(worker).namespace]


def last_line(log: Path) -> str:
    """Return the last line that a process logged; empty when there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8192))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""
