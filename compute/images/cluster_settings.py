"""What the configuration of a cluster means for its image service: settings, where the database and the objects are."""

from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from sqlalchemy import URL

from cluster.config import Config
from cluster.config.urls import s3_url
from cluster.controlplane.service_user import service_user
from cluster.errors import ConfigError
from cluster.layout import Layout
from compute.images.settings import GiB, Quota, Settings, WebDownload

_ANSWER_S = 120  # a proxy waits for its devices
_CONNECTIONS = 64  # to the proxies; more uploads and downloads than this take turns at connecting


def settings_of(config: Config) -> Settings:
    """Return how the service behaves. Raise ConfigError."""
    images = config.images
    return Settings(
        public_url=images.public_url.rstrip("/"),
        max_size=images.max_gib * GiB,
        max_virtual_size=images.max_virtual_gib * GiB,
        kept_task_s=int(images.kept_task_s),
        kept_deleted_s=int(images.kept_deleted_s),
        importers=images.importers,
        goldens_at_once=images.volumes == "at-once" and config.block.gateways > 0,
        quota=Quota(
            size_total_mib=images.size_limit_mib,
            stage_total_mib=images.stage_limit_mib,
            count_total=images.count_limit,
            count_uploading=images.uploading_limit,
        ),
        web=WebDownload(
            enabled=images.web_download,
            ports=_ports(images.web_ports),
            hosts=tuple(host.lower() for host in images.web_hosts),
            refused_hosts=tuple(host.lower() for host in images.web_refused_hosts),
            private_addresses=images.web_private_addresses,
        ),
    )


def database_url(config: Config, layout: Layout) -> str | URL:
    """Return where the service keeps what it knows."""
    return config.images.database or URL.create("sqlite", database=str(layout.images_database))


def s3_client(config: Config, name: str) -> Any:
    """Return a client of this cluster's objects, as the service `name`."""
    user = service_user(config.cluster.key_bytes, name)
    return boto3.client(
        "s3",
        endpoint_url=s3_url(config),
        region_name=config.proxy.region,
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
        config=ClientConfig(
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": 10},  # some ten seconds in all
            read_timeout=_ANSWER_S,
            max_pool_connections=_CONNECTIONS,
            request_checksum_calculation="when_required",  # what is sent was digested already
            response_checksum_validation="when_required",
        ),
    )


def _ports(texts: tuple[str, ...]) -> tuple[int, ...]:
    try:
        return tuple(map(int, texts))
    except ValueError:
        raise ConfigError("[images] web_ports must be numbers, each in quotes") from None
