"""`holdfast device`: list, add, drain, remove devices, weigh them, accept losses, while the cluster serves."""

import argparse

from tools.data_directory import add_data_argument, open_cluster
from tools.nodes import weight
from tools.rings.terminal import add_consent_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    options = actions.add_parser("list", help="show them, what they weigh and what they hold")
    options.add_argument("--json", action="store_true", help="for programs")
    add_data_argument(options)
    options = actions.add_parser("add", help="give a node another device and move a fair share of the data to it")
    options.add_argument("node", metavar="NODE")
    options.add_argument("--weight", type=weight, metavar="W", help="(default: the median of the others)")
    _add_common(options)
    options = actions.add_parser("drain", help="move all data off devices; they stay, with weight 0")
    _add_ids(options)
    _add_common(options)
    options = actions.add_parser("remove", help="take devices away; what they hold is moved, or rebuilt from others")
    _add_ids(options)
    options.add_argument("--delete-data", action="store_true", help="delete their directories as well")
    _add_common(options)
    options = actions.add_parser(
        "accept-loss", help="let a device that lost data vote with what it has, when the others are gone for good"
    )
    options.add_argument("ids", metavar="ID", type=_id, nargs=1)
    _add_common(options)
    options = actions.add_parser("set-weight", help="change the share of the data that a device gets")
    options.add_argument("ids", metavar="ID", type=_id, nargs=1)
    options.add_argument("weight", metavar="WEIGHT", type=weight, help="above 0; `drain` is for 0")
    _add_common(options)


def _add_ids(options: argparse.ArgumentParser) -> None:
    options.add_argument("ids", metavar="ID", type=_id, nargs="+", help="its number, as `device list` shows it")


def _add_common(options: argparse.ArgumentParser) -> None:
    add_consent_arguments(options)
    add_data_argument(options)


def _id(text: str) -> int:
    return int(text.removeprefix("d"))


def run(arguments: argparse.Namespace) -> int:
    """Do it, and return once it is so."""
    cluster = open_cluster(arguments)
    # imported here because they need numpy, for which only who changes rings should pay
    if arguments.action == "list":
        from tools.rings.listing import show

        return show(cluster, arguments)
    if arguments.action == "accept-loss":
        from tools.membership import accept_loss

        return accept_loss(cluster, arguments)
    if arguments.action == "add":
        from tools.rings.growing import add_device

        return add_device(cluster, arguments)
    from tools.rings.shrinking import drain, remove, set_weight

    return {"drain": drain, "remove": remove, "set-weight": set_weight}[arguments.action](cluster, arguments)
