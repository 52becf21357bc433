"""`holdfast node`: stop, start or kill the processes of one storage node, or add a node."""

import argparse
from typing import Any

from cluster.processes import storage_name
from cluster.supervision import control
from tools.data_directory import Cluster, add_data_argument, data_option, open_cluster, program
from tools.errors import OperatorError
from tools.readiness import await_started, await_stopped, deaths
from tools.rings.terminal import add_consent_arguments

_DONE = {"stop": "stopped", "start": "started", "kill": "killed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, summary in (
        ("stop", "let it finish what is under way and stay down"),
        ("start", "start it again"),
        ("kill", "kill it at once, as a power cut would; it stays down until it is started"),
    ):
        options = actions.add_parser(action, help=summary)
        options.add_argument("node", metavar="NODE", help="its name, as `holdfast status` shows it: 0, 1, …")
        add_data_argument(options)
    _add_add_arguments(actions.add_parser("add", help="add a node and move a fair share of the data to it"))


def _add_add_arguments(options: argparse.ArgumentParser) -> None:
    options.add_argument("--devices", type=_positive, default=1, metavar="N", help="of the new node (default: 1)")
    options.add_argument("--zone", type=_positive, metavar="Z", help="its zone (default: one of its own)")
    options.add_argument("--region", type=_positive, default=1, metavar="R", help="its region (default: 1)")
    options.add_argument(
        "--weight", type=weight, metavar="W", help="of each of its devices (default: the median of the others)"
    )
    options.add_argument("--name", metavar="X", help="what it is called (default: the next number)")
    add_consent_arguments(options)
    add_data_argument(options)


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 1000")
    return number


def weight(text: str) -> float:
    """Return a weight above 0 that was given as an argument."""
    number = float(text)
    if not 0 < number <= 1e9:  # also refuses nan
        raise argparse.ArgumentTypeError(f"{text} is no weight above 0")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Do it, and return once it is so."""
    if arguments.action == "add":
        # imported here because it needs numpy, for which only who changes rings should pay
        from tools.rings.growing import add_node

        return add_node(open_cluster(arguments), arguments)
    return _control(open_cluster(arguments), arguments.action, arguments.node)


def _control(cluster: Cluster, action: str, node: str) -> int:
    names = [storage_name(device) for device in cluster.config.devices if device.node == node]
    if not names:
        nodes = dict.fromkeys(device.node for device in cluster.config.devices)
        raise OperatorError(f"there is no node {node}: choose one of {', '.join(nodes)}")
    try:
        before: dict[str, Any] = control.ask(cluster.layout.control_socket, "status")
        control.ask(cluster.layout.control_socket, action, names=names)
        if action == "start":
            await_started(cluster, names, deaths(before))
        else:
            await_stopped(cluster, names)
    except control.NotRunning:
        option = data_option(cluster.layout)
        raise OperatorError(f"the cluster is not running: `{program()} up{option}` starts it") from None
    except control.ControlError as error:
        raise OperatorError(str(error)) from error
    print(f"node {node} is {_DONE[action]}")
    return 0
