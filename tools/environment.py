"""`holdfast env`: what clients need to know, as KEY=VALUE lines that a shell can source."""

import argparse
import shlex

from cluster.config import Config
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from identity.errors import NoSuchUser
from identity.users import User, UserStore
from tools.data_directory import add_data_argument, open_cluster
from tools.errors import OperatorError
from tools.private_file import write_private
from tools.probe import reachable_host

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
    """Write DIR/cluster.env anew: ports or keys may have changed."""
    coordination = EmbeddedCoordination(layout.coordination)
    try:
        user = UserStore(coordination).get(ADMIN)
    except NoSuchUser:
        return
    finally:
        coordination.close()
    write_private(layout.environment, render(config, user))


def s3_url(config: Config) -> str:
    """Return where S3 clients go."""
    return f"http://{_host(config)}:{config.ports.s3_port}"


def swift_auth_url(config: Config) -> str:
    """Return where Swift clients log in."""
    return f"http://{_host(config)}:{config.ports.swift_port}/auth/v1.0"


def nbd_url(config: Config, gateway: int = 0) -> str:
    """Return where NBD clients find the volumes of a gateway; the name of one goes behind the slash."""
    return f"nbd://{_bracketed(config.gateway_listen(gateway))}:{config.ports.gateway_nbd_port(gateway)}/"


def _host(config: Config) -> str:
    return _bracketed(config.proxy_listen(0))


def _bracketed(listen: str) -> str:
    host = reachable_host(listen)
    return f"[{host}]" if ":" in host else host


def render(config: Config, user: User) -> str:
    """Return the lines for `user`: the AWS SDKs and tools, swift, and two remotes for rclone."""
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
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
