"""The services that requests are passed on to, by the name in the path: /api/NAME/REST becomes /REST there. Values."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.config import Config
from cluster.config.services import COMPUTE, IDENTITY, IMAGES, NETWORK, VOLUMES, ControlService
from cluster.config.urls import bracketed

PREFIX = "/api/"
_SERVICES: Mapping[str, ControlService] = {
    "identity": IDENTITY,
    "image": IMAGES,
    "volume": VOLUMES,
    "compute": COMPUTE,
    "network": NETWORK,
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service that listens."""

    name: str
    title: str  # in a sentence
    host: str  # the Host of requests to it, which S3's signatures cover
    port: int

    @property
    def origin(self) -> str:
        """What its paths are below."""
        return f"http://{self.host}"


def upstreams(config: Config) -> dict[str, Upstream]:
    """Return the services of a cluster by name. What is not enabled is not there."""
    ports, objects = config.ports, bracketed(config.proxy_listen(0))
    found = {
        "s3": Upstream("s3", "S3", f"{objects}:{ports.s3_port}", ports.s3_port),
        "swift": Upstream("swift", "Swift", f"{objects}:{ports.swift_port}", ports.swift_port),
    }
    for name, service in _SERVICES.items():
        if service.runs(config):
            port = service.port(ports)
            found[name] = Upstream(name, service.title, f"{bracketed(ports.listen)}:{port}", port)
    return found


def split(raw_path: str) -> tuple[str, str] | None:
    """Return the service's name and what it is asked for, as it came (path and query); None: it is for none."""
    if not raw_path.startswith(PREFIX):
        return None
    name, slash, rest = raw_path.removeprefix(PREFIX).partition("/")
    return (name, f"/{rest}") if slash and name else None
