"""The services of the control plane: what starts them, where they listen, and what the catalog says of them.

An entry of SERVICES is all that the others go by: the supervisor's programs and the ports that are checked, what
`holdfast up` and `status` show, and the catalog of the identity service. A service has a section of the configuration,
a port and an admin port in [ports], and a daemon made like that of the identity service, on which all others depend:
they take its tokens, so that without it none of them runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cluster.config.ports import PortsConfig
from cluster.config.urls import bracketed
from cluster.config.whole import Config


class Section(Protocol):
    """What the sections of all services have."""

    @property
    def enabled(self) -> bool:
        """Whether the service runs."""

    @property
    def public_url(self) -> str:
        """Where clients find it, without the path of its API; empty: http, and as [ports] says."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """What the catalog says of a service; some are in it under several types."""

    type: str
    name: str
    path: str = ""  # of the API, behind the service's URL


@dataclass(frozen=True, slots=True)
class ControlService:
    """A service of the control plane."""

    name: str  # of its process, its log and its ready file
    title: str  # in a sentence
    api: str  # the name that OpenStack's users know
    module: str  # of the daemon
    section: Callable[[Config], Section]
    port: Callable[[PortsConfig], int]  # with the offset
    admin_port: Callable[[PortsConfig], int]
    catalog: tuple[CatalogEntry, ...]  # the first is what people are shown
    needs: "tuple[ControlService, ...]" = ()  # without which it does not run, beside the identity service

    def runs(self, config: Config) -> bool:
        """Tell whether the service is part of a cluster."""
        return (
            config.identity.enabled
            and self.section(config).enabled
            and all(needed.runs(config) for needed in self.needs)
        )

    def base_url(self, config: Config) -> str:
        """Return what the paths of its API are below, as clients are told."""
        own = f"http://{bracketed(config.ports.listen)}:{self.port(config.ports)}"
        return self.section(config).public_url.rstrip("/") or own

    def api_url(self, config: Config) -> str:
        """Return where its API begins, as clients are told."""
        return self.base_url(config) + self.catalog[0].path


IDENTITY = ControlService(
    name="identity",
    title="the identity service",
    api="Keystone",
    module="identity.keystone.daemon",
    section=lambda config: config.identity,
    port=lambda ports: ports.identity_port,
    admin_port=lambda ports: ports.identity_admin_port,
    catalog=(CatalogEntry("identity", "keystone", "/v3"),),
)

IMAGES = ControlService(
    name="images",
    title="the image service",
    api="Glance",
    module="compute.images.daemon",
    section=lambda config: config.images,
    port=lambda ports: ports.images_port,
    admin_port=lambda ports: ports.images_admin_port,
    catalog=(CatalogEntry("image", "glance"),),
)

VOLUMES = ControlService(
    name="volumes",
    title="the volume service",
    api="Cinder",
    module="compute.volumes.daemon",
    section=lambda config: config.volumes,
    port=lambda ports: ports.volumes_port,
    admin_port=lambda ports: ports.volumes_admin_port,
    catalog=(CatalogEntry("block-storage", "cinder", "/v3"), CatalogEntry("volumev3", "cinderv3", "/v3")),
)

COMPUTE = ControlService(
    name="compute",
    title="the compute service",
    api="Nova",
    module="compute.instances.daemon",
    section=lambda config: config.compute,
    port=lambda ports: ports.compute_port,
    admin_port=lambda ports: ports.compute_admin_port,
    catalog=(CatalogEntry("compute", "nova", "/v2.1"),),
    needs=(IMAGES, VOLUMES),
)

NETWORK = ControlService(
    name="network",
    title="the network service",
    api="Neutron",
    module="compute.network.daemon",
    section=lambda config: config.network,
    port=lambda ports: ports.network_port,
    admin_port=lambda ports: ports.network_admin_port,
    catalog=(CatalogEntry("network", "neutron"),),
    needs=(COMPUTE,),
)

# in the order in which they are started and told of
SERVICES: tuple[ControlService, ...] = (IDENTITY, IMAGES, VOLUMES, COMPUTE, NETWORK)


def running(config: Config) -> list[ControlService]:
    """Return the services that are part of a cluster."""
    return [service for service in SERVICES if service.runs(config)]
