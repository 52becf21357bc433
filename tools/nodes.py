"""`holdfast node`: stop, start or kill the processes of one storage node."""

import argparse
import time
from collections.abc import Callable
from typing import Any

from cluster.supervision import control
from tools.data_directory import Cluster, add_data_argument, data_option, open_cluster, program
from tools.errors import OperatorError
from tools.processes import last_line, storage_name

TIMEOUT_S = 30.0
_PAUSE_S = 0.03
_DEATHS_LIMIT = 3  # while it is being started
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


def run(arguments: argparse.Namespace) -> int:
    """Do it, and return once it is so."""
    cluster = open_cluster(arguments)
    names = [storage_name(device) for device in cluster.config.devices if device.node == arguments.node]
    if not names:
        nodes = dict.fromkeys(device.node for device in cluster.config.devices)
        raise OperatorError(f"there is no node {arguments.node}: choose one of {', '.join(nodes)}")
    try:
        before = control.ask(cluster.layout.control_socket, "status")
        control.ask(cluster.layout.control_socket, arguments.action, names=names)
        if arguments.action == "start":
            _await_started(cluster, names, _deaths(before))
        else:
            _await(cluster, names, lambda process: process["state"] == "stopped")
    except control.NotRunning:
        option = data_option(cluster.layout)
        raise OperatorError(f"the cluster is not running: `{program()} up{option}` starts it") from None
    except control.ControlError as error:
        raise OperatorError(str(error)) from error
    print(f"node {arguments.node} is {_DONE[arguments.action]}")
    return 0


def _deaths(report: dict[str, Any]) -> dict[str, int]:
    return {process["name"]: process["deaths"] for process in report["processes"]}


def _await_started(cluster: Cluster, names: list[str], deaths_before: dict[str, int]) -> None:
    def is_ready(process: dict[str, Any]) -> bool:
        name = process["name"]
        if process["deaths"] - deaths_before[name] >= _DEATHS_LIMIT:
            log = cluster.layout.log(name)
            raise OperatorError(f"{name} does not start ({process['last_exit']}): {last_line(log)} (its log: {log})")
        return cluster.layout.ready(name).exists()

    _await(cluster, names, is_ready)


def _await(cluster: Cluster, names: list[str], is_done: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        processes = control.ask(cluster.layout.control_socket, "status")["processes"]
        left = [process["name"] for process in processes if process["name"] in names and not is_done(process)]
        if not left:
            return
        if time.monotonic() > deadline:
            raise OperatorError(
                f"{left[0]} is not there yet after {TIMEOUT_S:.0f} s: see {cluster.layout.log(left[0])}"
            )
        time.sleep(_PAUSE_S)
