"""What the configuration of a cluster means for its volume service."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import URL

from blockgw.grants import Grants
from cluster.config import Config
from cluster.config.services import COMPUTE, IDENTITY, IMAGES, VOLUMES
from cluster.config.urls import reachable_host, s3_url
from cluster.controlplane.service_user import service_user
from cluster.errors import ConfigError
from cluster.layout import Layout
from compute.asking import ServiceLogin
from compute.volumes.backend import Images, Place, Servers
from compute.volumes.compute_service import ComputeService, NoServers
from compute.volumes.image_service import ImageService, NoImages
from compute.volumes.moving.parent import Mover
from compute.volumes.settings import NbdAddress, QuotaDefaults, Settings


def settings_of(config: Config) -> Settings:
    """Return how the service behaves."""
    volumes = config.volumes
    gateways = tuple(
        NbdAddress(reachable_host(config.gateway_listen(index)), config.ports.gateway_nbd_port(index))
        for index in range(max(1, config.block.gateways))
    )
    return Settings(
        gateways=gateways,
        grants=Grants(config.cluster.key_bytes),
        public_url=volumes.public_url.rstrip("/"),
        availability_zone=volumes.availability_zone,
        quotas=QuotaDefaults(
            volumes=volumes.quota_volumes,
            snapshots=volumes.quota_snapshots,
            gigabytes=volumes.quota_gigabytes,
            per_volume_gigabytes=volumes.quota_volume_gigabytes,
            backups=volumes.quota_backups,
            backup_gigabytes=volumes.quota_backup_gigabytes,
        ),
    )


def database_url(config: Config, layout: Layout) -> str | URL:
    """Return where the service keeps what it knows."""
    return config.volumes.database or URL.create("sqlite", database=str(layout.volumes_database))


def place_of(config: Config, project_id: str, container: str) -> Place:
    """Return where a project's backups go."""
    url = f"{config.volumes.backup_place.rstrip('/')}/{project_id}/{container}"
    if config.volumes.backup_endpoint:
        return Place(url, config.volumes.backup_endpoint)
    is_own = url.startswith("s3://") and not config.volumes.backup_login
    return Place(url, s3_url(config) if is_own else None)


def backup_login(config: Config, layout: Layout) -> Mapping[str, str]:
    """Return the variables by which the place of backups lets the service in. Raise ConfigError."""
    if not config.volumes.backup_login:
        own = service_user(config.cluster.key_bytes, VOLUMES.name)
        return {
            "AWS_ACCESS_KEY_ID": own.access_key,
            "AWS_SECRET_ACCESS_KEY": own.secret_key,
            "AWS_DEFAULT_REGION": config.proxy.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    path = layout.directory / config.volumes.backup_login
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[volumes] backup_login: {path} cannot be read: {error}") from None
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip().strip("'\"") for name, _equals, value in pairs if name[:1] != "#"}


def backup_seal(config: Config) -> bytes:
    """Return what backups of encrypted volumes are sealed with: whoever has the cluster's key can read them."""
    return HKDF(SHA256(), 32, salt=None, info=b"holdfast volume backups").derive(config.cluster.key_bytes)


def servers_of(config: Config) -> Servers:
    """Return the compute service of the cluster."""
    if not COMPUTE.runs(config):
        return NoServers()
    own = service_user(config.cluster.key_bytes, VOLUMES.name)
    return ComputeService(COMPUTE.api_url(config), ServiceLogin(IDENTITY.api_url(config), own.name, own.password))


def images_of(config: Config, mover: Mover) -> Images:
    """Return the image service of the cluster."""
    if not IMAGES.runs(config):
        return NoImages()
    own = service_user(config.cluster.key_bytes, VOLUMES.name)
    login = ServiceLogin(IDENTITY.api_url(config), own.name, own.password)
    return ImageService(IMAGES.base_url(config), login, mover)
