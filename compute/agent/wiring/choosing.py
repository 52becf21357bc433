"""Which wiring a host has: what `[compute] networking` says; with auto, bridges where they can be had.

wiring = wiring_of(config, layout, agent=0, host="node-1")
"""

from collections.abc import Sequence
from pathlib import Path

from cluster.config import Config
from cluster.config.compute_service import AUTO
from cluster.config.services import COMPUTE, IDENTITY, NETWORK
from cluster.controlplane.service_user import service_user
from cluster.errors import ConfigError
from cluster.layout import Layout
from compute.agent.wiring import host
from compute.agent.wiring.bridge import Bridges
from compute.agent.wiring.interface import BRIDGE, USER, Wiring
from compute.agent.wiring.names import Names
from compute.agent.wiring.source import AskedNetworkService, NetworkService, Reporter, Source
from compute.agent.wiring.tunnels import FIRST_PORT
from compute.agent.wiring.user import UserNetwork
from compute.agent.wiring.wanted import Endpoint
from compute.asking import Asked, ServiceLogin

RUN = Path("/run")  # dnsmasq gives up root, and must be able to read its files


def wiring_of(config: Config, layout: Layout, agent: int, host_name: str) -> Wiring:
    """Return the wiring of an agent. Raise ConfigError where what is asked for cannot be had."""
    own = service_user(config.cluster.key_bytes, COMPUTE.name)
    login = ServiceLogin(IDENTITY.api_url(config), own.name, own.password)
    service = AskedNetworkService(Asked(NETWORK.title, NETWORK.base_url(config), login), host_name)
    compute = config.compute
    return chosen(compute.networking, layout, agent, service, compute.tunnel_address, compute.guests_may_reach)


def chosen(
    networking: str,
    layout: Layout,
    agent: int,
    service: NetworkService,
    tunnel_address: str = "",
    allowed: Sequence[str] = (),
) -> Wiring:
    """Return the wiring of an agent that asks a service. Raise ConfigError."""
    lacking = host.lacking() if networking in (AUTO, BRIDGE) else []
    if networking == BRIDGE and lacking:
        raise ConfigError(f"[compute] networking: {'; '.join(lacking)}")
    kept = layout.agent(agent)
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    if networking == USER or lacking:
        return UserNetwork(Reporter(service, {"mode": USER}), kept / "cards.json")
    names = Names.of(str(layout.directory), agent)
    source = Source(service, kept / "network.json")
    endpoint = Endpoint(tunnel_address or host.own_address(), FIRST_PORT + agent)
    told = {"mode": BRIDGE, "tunneling_ip": endpoint.address, "tunneling_port": endpoint.port}
    return Bridges(names, source, Reporter(service, told), RUN / f"holdfast-{names.mark}", endpoint, allowed)
