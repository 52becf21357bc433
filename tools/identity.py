"""`holdfast identity`: what has to be done to the identity service from outside, by who has the cluster's files."""

import argparse
import secrets
import sys

from sqlalchemy.exc import SQLAlchemyError

from cluster.clock import wall_us
from cluster.controlplane.database import Database, retried
from cluster.coordination.embedded import EmbeddedCoordination
from identity.keystone import bootstrap, cluster_services, rescue
from identity.keystone.bootstrap import Beginning
from identity.keystone.carrier import Carrier
from identity.keystone.errors import KeystoneError
from tools import clouds, environment
from tools.data_directory import Cluster, add_data_argument, open_cluster
from tools.errors import OperatorError
from tools.private_file import write_private

_PASSWORD_BYTES = 24  # random; 32 characters
_CARRIER = "holdfast identity"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    options = actions.add_parser("password", help="give a user a new password, and let it in again")
    options.add_argument("name", metavar="NAME", nargs="?", default=clouds.ADMIN, help=f"(default: {clouds.ADMIN})")
    options.add_argument("--domain", metavar="ID", default=clouds.DOMAIN, help=f"(default: {clouds.DOMAIN})")
    options.add_argument("--stdin", action="store_true", help="read the password there, instead of making one")
    add_data_argument(options)


def run(arguments: argparse.Namespace) -> int:
    """Give the user its new password; show it when it was made here."""
    cluster = open_cluster(arguments)
    if not cluster.config.identity.enabled:
        raise OperatorError("this cluster has no identity service: enabled under [identity] is false")
    password = sys.stdin.readline().rstrip("\n") if arguments.stdin else secrets.token_urlsafe(_PASSWORD_BYTES)
    try:
        _reset(cluster, arguments.name, arguments.domain, password)
    except KeystoneError as error:
        raise OperatorError(str(error)) from error
    except SQLAlchemyError as error:
        raise OperatorError(f"the database of the identity service: {type(error).__name__}: {error}") from error
    if (arguments.name, arguments.domain) == (clouds.ADMIN, clouds.DOMAIN):
        write_private(cluster.layout.admin_password, f"{password}\n")
        environment.refresh(cluster.layout, cluster.config)
    if not arguments.stdin:
        print(password)
    return 0


def _reset(cluster: Cluster, name: str, domain_id: str, password: str) -> None:
    config, layout = cluster.config, cluster.layout
    if not config.identity.database and not layout.identity_database.exists():
        raise OperatorError(f"there is no {layout.identity_database}: the identity service has not run yet")
    wish = Beginning(
        password=password,
        user=clouds.ADMIN,
        project=clouds.ADMIN,
        region=config.identity.region,
        services=cluster_services.services_of(config),
    )
    settings = cluster_services.settings_of(config)
    database = Database(cluster_services.database_url(config.identity, layout))
    coordination = EmbeddedCoordination(layout.coordination)
    try:
        with database.reading() as connection:
            if not bootstrap.has_begun(connection):
                raise OperatorError("the identity service has no users yet: it makes the administrator when it starts")
        retried(database, lambda connection: rescue.reset(connection, name, domain_id, wish, settings, wall_us()))
        carrier = Carrier(database, coordination, _CARRIER)
        while carrier.step():  # proxies hear of tokens that ended also while the service is down
            pass
    finally:
        coordination.close()
        database.close()
