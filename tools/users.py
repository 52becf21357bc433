"""`holdfast user`: who may use the cluster. Works whether it runs or not; daemons notice within a second."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable

from cluster.coordination.embedded import EmbeddedCoordination
from identity.errors import IdentityError
from identity.users import User, UserStore, new_user
from tools import environment
from tools.data_directory import Cluster, add_data_argument, open_cluster
from tools.errors import OperatorError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    options = actions.add_parser("add", help="make a user with new keys, and show them")
    options.add_argument("name", metavar="NAME", help="USER, or ACCOUNT:USER to share an account")
    _add_common(options)
    options = actions.add_parser("list", help="show who there is")
    _add_common(options)
    options = actions.add_parser("remove", help="take a user away; what it stored stays")
    options.add_argument("name", metavar="NAME")
    _add_common(options)
    options = actions.add_parser("key", help="show the keys of a user")
    options.add_argument("name", metavar="NAME")
    options.add_argument("--renew", action="store_true", help="make new ones; the old ones and all tokens end")
    _add_common(options)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_data_argument(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Do it and show the result."""
    cluster = open_cluster(arguments)
    coordination = EmbeddedCoordination(cluster.layout.coordination)
    try:
        _ACTIONS[arguments.action](UserStore(coordination), cluster, arguments)
    except IdentityError as error:
        raise OperatorError(str(error)) from error
    finally:
        coordination.close()
    return 0


def _add(users: UserStore, _cluster: Cluster, arguments: argparse.Namespace) -> None:
    _show(users.add(new_user(arguments.name)), arguments)


def _list(users: UserStore, _cluster: Cluster, arguments: argparse.Namespace) -> None:
    _show_all(users.list(), arguments)


def _remove(users: UserStore, _cluster: Cluster, arguments: argparse.Namespace) -> None:
    if arguments.name == environment.ADMIN:
        raise OperatorError(f"{arguments.name} is whom `env` is for: give it new keys with `user key --renew` instead")
    users.remove(arguments.name)
    print(json.dumps({"removed": arguments.name}) if arguments.json else f"{arguments.name} is removed")


def _key(users: UserStore, cluster: Cluster, arguments: argparse.Namespace) -> None:
    user = users.renew_keys(arguments.name) if arguments.renew else users.get(arguments.name)
    if arguments.renew and user.name == environment.ADMIN:
        environment.refresh(cluster.layout, cluster.config)
    _show(user, arguments)


_ACTIONS: dict[str, Callable[[UserStore, Cluster, argparse.Namespace], None]] = {
    "add": _add,
    "list": _list,
    "remove": _remove,
    "key": _key,
}


def _show(user: User, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(dataclasses.asdict(user)))
        return
    for name in ("name", "account", "id", "display_name", "access_key", "secret_key"):
        print(f"{name:<13} {getattr(user, name)}")


def _show_all(users: Iterable[User], arguments: argparse.Namespace) -> None:
    if arguments.json:
        shown = [
            {name: value for name, value in dataclasses.asdict(user).items() if name != "secret_key"} for user in users
        ]
        print(json.dumps(shown))
        return
    print(f"{'name':<24} {'account':<32} access_key")
    for user in users:
        print(f"{user.name:<24} {user.account:<32} {user.access_key}")
