"""The processes of a cluster by name: which there are, and where those beside the data path listen."""

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.config import Config, DeviceConfig
from cluster.config.services import COMPUTE, running

CONSOLE = "console"  # the name of its process


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """A process that data are served without: a service of the control plane, an agent, the console."""

    name: str
    title: str  # in a sentence
    module: str
    options: tuple[str, ...]
    host: str
    port: int
    admin_port: int


def storage_name(device: DeviceConfig) -> str:
    """Return the name of the process that serves `device`."""
    return f"storage-{device.id}"


def proxy_name(worker: int) -> str:
    """Return the name of the proxy process `worker`."""
    return f"proxy-{worker}"


def gateway_name(number: int) -> str:
    """Return the name of the process of block gateway `number`."""
    return f"gateway-{number}"


def agent_name(number: int) -> str:
    """Return the name of the process of the compute service's agent `number`."""
    return f"agent-{number}"


def auxiliaries(config: Config) -> Iterator[Auxiliary]:
    """Yield them in the order in which they are started and told of."""
    ports = config.ports
    for each in running(config):
        yield Auxiliary(
            each.name, each.title, each.module, (), ports.listen, each.port(ports), each.admin_port(ports)
        )
    if COMPUTE.runs(config):
        for number in range(config.compute.agents):
            name, port, admin_port = agent_name(number), ports.agent_port(number), ports.agent_admin_port(number)
            options = ("--agent", str(number))
            yield Auxiliary(name, name, "compute.agent.daemon", options, ports.admin_listen, port, admin_port)
    if config.console.enabled:
        yield Auxiliary(
            CONSOLE, "the console", "compute.console.daemon", (), ports.listen, ports.console_port,
            ports.console_admin_port,
        )  # fmt: skip
