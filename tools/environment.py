"""`holdfast env`: what clients need to know, as KEY=VALUE lines that a shell can source."""

import argparse
import shlex
from collections.abc import Mapping

from cluster.config import Config, urls
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from identity.errors import NoSuchUser
from identity.users import User, UserStore
from tools import clouds
from tools.data_directory import add_data_argument, open_cluster
from tools.errors import OperatorError
from tools.private_file import write_private

ADMIN = "admin"  # whose keys they are


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print DIR/cluster.env."""
    layout = open_cluster(arguments).layout
    try:
        print(layout.environment.read_text(), end="")
    except OSError as error:
        raise OperatorError(f"cannot read {layout.environment}: {error.strerror}") from error
    return 0


def refresh(layout: Layout, config: Config) -> None:
    """Write DIR/cluster.env, and what OpenStack's clients read, anew: ports or keys may have changed."""
    openstack = clouds.refresh(layout, config)
    coordination = EmbeddedCoordination(layout.coordination)
    try:
        user = UserStore(coordination).get(ADMIN)
    except NoSuchUser:
        return
    finally:
        coordination.close()
    write_private(layout.environment, render(config, user, openstack))


def s3_url(config: Config) -> str:
    """Return where S3 clients go."""
    return urls.s3_url(config)


def swift_auth_url(config: Config) -> str:
    """Return where Swift clients log in."""
    return urls.swift_auth_url(config)


def console_url(config: Config) -> str:
    """Return where browsers find the console."""
    return urls.console_url(config)


def nbd_url(config: Config, gateway: int = 0) -> str:
    """Return where NBD clients find the volumes of a gateway; the name of one goes behind the slash."""
    return urls.nbd_url(config, gateway)


def render(config: Config, user: User, openstack: Mapping[str, str]) -> str:
    """Return the lines for `user`: the AWS SDKs and tools, swift, two remotes for rclone; and OpenStack's variables."""
    region = config.proxy.region
    values = {
        "AWS_ENDPOINT_URL": s3_url(config),
        "AWS_ACCESS_KEY_ID": user.access_key,
        "AWS_SECRET_ACCESS_KEY": user.secret_key,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "ST_AUTH": swift_auth_url(config),
        "ST_AUTH_VERSION": "1.0",
        "ST_USER": user.name,
        "ST_KEY": user.secret_key,
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENDPOINT": s3_url(config),
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": user.access_key,
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": user.secret_key,
        "RCLONE_CONFIG_S3_REGION": region,
        "RCLONE_CONFIG_SWIFT_TYPE": "swift",
        "RCLONE_CONFIG_SWIFT_AUTH": swift_auth_url(config),
        "RCLONE_CONFIG_SWIFT_AUTH_VERSION": "1",
        "RCLONE_CONFIG_SWIFT_USER": user.name,
        "RCLONE_CONFIG_SWIFT_KEY": user.secret_key,
        **openstack,
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
