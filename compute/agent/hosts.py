"""What hosts are called, and where their agents are: the same for the agents and for who asks them."""

import socket
from collections.abc import Mapping

from cluster.config import Config
from cluster.config.urls import bracketed


def host_name(number: int) -> str:
    """Return the name of the host that agent `number` of this machine is."""
    own = socket.gethostname()
    return f"{own}-{number}" if number else own


def agent_urls(config: Config) -> Mapping[str, str]:
    """Return where the agents of this machine are asked, by the host's name."""
    ports = config.ports
    return {
        host_name(number): f"http://{bracketed(ports.admin_listen)}:{ports.agent_port(number)}"
        for number in range(config.compute.agents)
    }
