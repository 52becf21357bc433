"""`holdfast down`: stop a cluster, clients first; the data stay."""

import argparse
import os
import signal
import time

from cluster.config.services import COMPUTE
from cluster.supervision import control, lock
from cluster.telemetry.probe import health
from tools.data_directory import Cluster, add_data_argument, open_cluster
from tools.errors import OperatorError
from tools.progress import Progress

TIMEOUT_S = 60.0
_PAUSE_S = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stop the cluster and return once it has stopped."""
    cluster = open_cluster(arguments)
    if not cluster.is_running():
        print("it is not running")
        return 0
    guests = _guests(cluster)
    _tell(cluster)
    deadline = time.monotonic() + TIMEOUT_S
    with Progress() as progress:
        while cluster.is_running():
            if time.monotonic() > deadline:
                raise OperatorError(f"it has not stopped after {TIMEOUT_S:.0f} s: see {cluster.layout.logs}, try again")
            progress.show(f"stopping: {_left(cluster)}")
            time.sleep(_PAUSE_S)
    print("stopped")
    if guests:
        print(f"Guests that run: {guests}. They wait for their disks until the cluster is up again.")
    return 0


def _guests(cluster: Cluster) -> int:
    """Return how many guests run on this host, which outlive their agents."""
    config = cluster.config
    if not COMPUTE.runs(config):
        return 0
    ports = [config.ports.agent_admin_port(number) for number in range(config.compute.agents)]
    answers = [health(config.ports.admin_listen, port) for port in ports]
    return sum(int(answer.details.get("running", 0)) for answer in answers if answer is not None)


def _tell(cluster: Cluster) -> None:
    """Ask the supervisor to shut down, by a signal if it does not listen (yet)."""
    try:
        control.ask(cluster.layout.control_socket, "shutdown")
    except control.ControlError as error:
        pid = lock.holder(cluster.lock_path)
        if pid is None:
            raise OperatorError(f"its supervisor does not answer: {error}") from error
        os.kill(pid, signal.SIGTERM)


def _left(cluster: Cluster) -> str:
    try:
        processes = control.ask(cluster.layout.control_socket, "status")["processes"]
    except control.ControlError:
        return "nearly done"
    left = [str(each["name"]) for each in processes if each["pid"]]
    return f"{', '.join(left)} left" if left else "nearly done"
