"""What the configuration of a cluster means for its compute service."""

import shutil

from sqlalchemy import URL

from blockgw.grants import Grants
from cluster.config import Config
from cluster.config.services import COMPUTE, IDENTITY, IMAGES, NETWORK, VOLUMES
from cluster.config.urls import bracketed, reachable_host
from cluster.controlplane.service_user import service_user
from cluster.layout import Layout
from compute.agent.client import ClusterHosts
from compute.agent.hosts import agent_urls
from compute.asking import ServiceLogin
from compute.gateway import Gateway
from compute.instances.links import seal_of
from compute.instances.operations.work import Tools
from compute.instances.outside.image_service import ImageService
from compute.instances.outside.network_service import NetworkService
from compute.instances.outside.volume_service import VolumeService
from compute.instances.settings import AgentAddress, QuotaDefaults, Settings
from compute.volumes.moving.parent import Mover, Runner


def settings_of(config: Config) -> Settings:
    """Return how the service behaves."""
    compute = config.compute
    return Settings(
        public_url=compute.public_url.rstrip("/"),
        availability_zone=compute.availability_zone,
        quotas=QuotaDefaults(
            instances=compute.quota_instances,
            cores=compute.quota_cores,
            ram=compute.quota_ram_mib,
            key_pairs=compute.quota_key_pairs,
            server_groups=compute.quota_server_groups,
        ),
        agents=tuple(AgentAddress(name, url) for name, url in agent_urls(config).items()),
        vcpu_ratio=compute.vcpu_ratio,
        grants=Grants(config.cluster.key_bytes),
        seal=seal_of(config.cluster.key_bytes),
        image_format="qcow2" if shutil.which("qemu-img") else "raw",
        gateway_host=reachable_host(config.gateway_listen(0)),
        gateway_port=config.ports.gateway_nbd_port(0),
        console_url=f"http://{bracketed(config.ports.listen)}:{config.ports.console_port}",
    )


def database_url(config: Config, layout: Layout) -> str | URL:
    """Return where the service keeps what it knows."""
    return config.compute.database or URL.create("sqlite", database=str(layout.compute_database))


def tools_of(config: Config, layout: Layout, settings: Settings) -> Tools:
    """Return those who do things for it."""
    own = service_user(config.cluster.key_bytes, COMPUTE.name)
    login = ServiceLogin(IDENTITY.api_url(config), own.name, own.password)
    mover = Mover(Runner(layout, {}, bytes(32)))  # which seals nothing: it sends disks as they are
    return Tools(
        hosts=ClusterHosts({each.name: each.url for each in settings.agents}, login),
        volumes=VolumeService(VOLUMES.api_url(config), login),
        images=ImageService(IMAGES.base_url(config), login, mover),
        network=NetworkService(NETWORK.base_url(config), login),
        disks=Gateway(layout, max(1, config.block.gateways)),
    )
