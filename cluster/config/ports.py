"""`[ports]`: where processes listen."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import LOOPBACK, PORT
from cluster.settings import Limits, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsConfig:
    """Where processes listen. `offset` is added to every port here, so use the methods."""

    listen: Annotated[
        str,
        Meaning("Address of the ports of S3, Swift and OpenStack's services. With 0.0.0.0 others reach them, too."),
    ] = LOOPBACK
    s3: Annotated[int, Meaning("S3, shared by all proxy workers."), PORT] = 9000
    swift: Annotated[int, Meaning("Swift, shared by all proxy workers."), PORT] = 8080
    identity: Annotated[int, Meaning("The identity service, OpenStack's Keystone."), PORT] = 5000
    images: Annotated[int, Meaning("The image service, OpenStack's Glance."), PORT] = 9292
    volumes: Annotated[int, Meaning("The volume service, OpenStack's Cinder."), PORT] = 8776
    compute: Annotated[int, Meaning("The compute service, OpenStack's Nova."), PORT] = 8774
    network: Annotated[int, Meaning("The network service, OpenStack's Neutron."), PORT] = 9696
    console: Annotated[int, Meaning("The console, a web page."), PORT] = 9001
    agent: Annotated[
        int,
        Meaning("Agent 0 of the compute service; agent N has this plus N. Only services of the cluster are let in."),
        PORT,
    ] = 8790
    agent_displays: Annotated[
        int,
        Meaning("Screens and serial lines of agent 0's guests, for the console; agent N has this plus N."),
        PORT,
    ] = 8830
    nbd: Annotated[int, Meaning("Volumes, by NBD: of block gateway 0; gateway N has this plus N."), PORT] = 10809
    admin_listen: Annotated[
        str,
        Meaning("Address of the admin ports. They have no access control: keep them from strangers."),
    ] = LOOPBACK
    storage_admin: Annotated[
        int, Meaning("/metrics and /healthz of device 0; device N has this plus N."), PORT
    ] = 6200
    proxy_admin: Annotated[
        int, Meaning("/metrics and /healthz of proxy worker 0; worker N has this plus N."), PORT
    ] = 6100
    gateway_admin: Annotated[int, Meaning("/metrics and /healthz of the block gateway."), PORT] = 6150
    identity_admin: Annotated[int, Meaning("/metrics and /healthz of the identity service."), PORT] = 6170
    images_admin: Annotated[int, Meaning("/metrics and /healthz of the image service."), PORT] = 6171
    volumes_admin: Annotated[int, Meaning("/metrics and /healthz of the volume service."), PORT] = 6172
    compute_admin: Annotated[int, Meaning("/metrics and /healthz of the compute service."), PORT] = 6173
    network_admin: Annotated[int, Meaning("/metrics and /healthz of the network service."), PORT] = 6174
    console_admin: Annotated[int, Meaning("/metrics and /healthz of the console."), PORT] = 6175
    agent_admin: Annotated[int, Meaning("/metrics and /healthz of agent 0; agent N has this plus N."), PORT] = 6176
    wire: Annotated[
        int, Meaning("Peer protocol of device 0, with transport tcp; device N has this plus N."), PORT
    ] = 6000
    offset: Annotated[
        int,
        Meaning("Added to every port of this file, so that several clusters fit on one host."),
        Limits(0, 60_000),
    ] = 0

    @property
    def s3_port(self) -> int:
        """Where S3 is served."""
        return self.s3 + self.offset

    @property
    def swift_port(self) -> int:
        """Where Swift is served."""
        return self.swift + self.offset

    @property
    def identity_port(self) -> int:
        """Where the identity service is served."""
        return self.identity + self.offset

    @property
    def identity_admin_port(self) -> int:
        """Where the identity service serves its metrics."""
        return self.identity_admin + self.offset

    @property
    def images_port(self) -> int:
        """Where the image service is."""
        return self.images + self.offset

    @property
    def images_admin_port(self) -> int:
        """Where the image service serves its metrics."""
        return self.images_admin + self.offset

    @property
    def volumes_port(self) -> int:
        """Where the volume service is."""
        return self.volumes + self.offset

    @property
    def volumes_admin_port(self) -> int:
        """Where the volume service serves its metrics."""
        return self.volumes_admin + self.offset

    @property
    def compute_port(self) -> int:
        """Where the compute service is."""
        return self.compute + self.offset

    @property
    def compute_admin_port(self) -> int:
        """Where the compute service serves its metrics."""
        return self.compute_admin + self.offset

    @property
    def network_port(self) -> int:
        """Where the network service is."""
        return self.network + self.offset

    @property
    def network_admin_port(self) -> int:
        """Where the network service serves its metrics."""
        return self.network_admin + self.offset

    @property
    def console_port(self) -> int:
        """Where the console is."""
        return self.console + self.offset

    @property
    def console_admin_port(self) -> int:
        """Where the console serves its metrics."""
        return self.console_admin + self.offset

    @property
    def nbd_port(self) -> int:
        """Where volumes are served."""
        return self.nbd + self.offset

    def gateway_nbd_port(self, gateway: int) -> int:
        """Return where block gateway `gateway` serves volumes."""
        return self.nbd_port + gateway

    def agent_port(self, agent: int) -> int:
        """Return where an agent of the compute service is asked."""
        return self.agent + agent + self.offset

    def agent_displays_port(self, agent: int) -> int:
        """Return where an agent of the compute service carries its guests' screens and serial lines."""
        return self.agent_displays + agent + self.offset

    def agent_admin_port(self, agent: int) -> int:
        """Return where an agent of the compute service serves its metrics."""
        return self.agent_admin + agent + self.offset

    def gateway_admin_port(self, gateway: int) -> int:
        """Return where block gateway `gateway` serves its metrics."""
        return self.gateway_admin + gateway + self.offset

    def storage_admin_port(self, device: int) -> int:
        """Return where the storage daemon of `device` serves its metrics."""
        return self.storage_admin + device + self.offset

    def proxy_admin_port(self, worker: int) -> int:
        """Return where proxy worker `worker` serves its metrics."""
        return self.proxy_admin + worker + self.offset

    def wire_port(self, device: int) -> int:
        """Return where `device` takes peers, unless it has a port of its own."""
        return self.wire + device + self.offset
