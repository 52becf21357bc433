"""What the configuration of a cluster means for its network service."""

from sqlalchemy import URL

from cluster.config import Config
from cluster.config.services import COMPUTE
from cluster.controlplane.service_user import service_user
from cluster.layout import Layout
from compute.network.settings import QuotaDefaults, Settings


def settings_of(config: Config) -> Settings:
    """Return how the service behaves."""
    network = config.network
    return Settings(
        public_url=network.public_url.rstrip("/"),
        dns_domain=network.dns_domain,
        mtu=network.mtu,
        availability_zone=config.compute.availability_zone,
        quotas=QuotaDefaults(
            network=network.quota_networks,
            subnet=network.quota_subnets,
            port=network.quota_ports,
            security_group=network.quota_security_groups,
            security_group_rule=network.quota_security_group_rules,
            router=network.quota_routers,
            floatingip=network.quota_floating_ips,
        ),
        default_cidr=network.default_cidr,
        external_cidr=network.external_cidr,
        host_users=frozenset((service_user(config.cluster.key_bytes, COMPUTE.name).id,)),
    )


def database_url(config: Config, layout: Layout) -> str | URL:
    """Return where the service keeps what it knows."""
    return config.network.database or URL.create("sqlite", database=str(layout.network_database))
