"""Waiting until a cluster serves: every process says so, every proxy reaches a quorum, the ports take clients.

The services of the control plane are waited for only where somebody asks for them: data are served without them. Or
until some of its processes have started, stopped or gone.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from cluster.processes import auxiliaries
from cluster.supervision import control
from cluster.telemetry.probe import accepts, health
from tools.data_directory import Cluster, data_option, program
from tools.errors import OperatorError
from tools.processes import last_line
from tools.progress import Progress

TIMEOUT_S = 60.0  # for a cluster
_PROCESSES_TIMEOUT_S = 30.0  # for some of it
_PAUSE_S = 0.03
_DEATHS_LIMIT = 3  # of one process before it is ready: it will not start


def await_ready(
    cluster: Cluster, supervisor_is_alive: Callable[[], bool], progress: Progress, with_services: bool = False
) -> None:
    """Return when a PUT would work, and somebody could log in. Raise OperatorError when that will not be, and why."""
    deadline = time.monotonic() + TIMEOUT_S
    missing = "the supervisor"
    unneeded = set() if with_services else {each.name for each in auxiliaries(cluster.config)}
    while time.monotonic() < deadline:
        processes = _processes(cluster)
        if processes is None and not supervisor_is_alive():
            raise OperatorError(_with_last_line(cluster, "supervisor", "the supervisor ended"))
        if processes is not None:
            processes = [each for each in processes if each["name"] not in unneeded]
            _refuse_dead(cluster, processes)
            missing = _missing(cluster, processes, progress)
            if not missing:
                return
        time.sleep(_PAUSE_S)
    advice = f"`{program()} status{data_option(cluster.layout)}` and the logs in {cluster.layout.logs} tell more"
    raise OperatorError(f"not ready after {TIMEOUT_S:.0f} s, {missing} does not answer: {advice}")


def _processes(cluster: Cluster) -> Sequence[dict[str, Any]] | None:
    """Return what the supervisor knows of its processes; None when it does not answer."""
    try:
        answer = control.ask(cluster.layout.control_socket, "status")
    except control.ControlError:
        return None
    processes: list[dict[str, Any]] = answer["processes"]
    return processes


def _refuse_dead(cluster: Cluster, processes: Sequence[dict[str, Any]]) -> None:
    for process in processes:
        if process["deaths"] >= _DEATHS_LIMIT:
            what = f"{process['name']} does not start ({process['last_exit']})"
            raise OperatorError(_with_last_line(cluster, process["name"], what))


def _with_last_line(cluster: Cluster, name: str, what: str) -> str:
    log = cluster.layout.log(name)
    return f"{what}: {last_line(log) or 'it logged nothing'} (its log: {log})"


def _missing(cluster: Cluster, processes: Sequence[dict[str, Any]], progress: Progress) -> str:
    """Return what is not ready yet; empty when all is."""
    waiting = [each["name"] for each in processes if not cluster.layout.ready(each["name"]).exists()]
    progress.show(f"starting: {len(processes) - len(waiting)} of {len(processes)} processes are ready")
    if waiting:
        return str(waiting[0])
    config, ports = cluster.config, cluster.config.ports
    for worker in range(config.worker_count()):
        answer = health(config.proxy_admin_listen(worker), ports.proxy_admin_port(worker))
        if answer is None or not answer.serves:
            return f"proxy-{worker}"
    for host in {config.proxy_listen(worker) for worker in range(config.worker_count())}:
        for name, port in (("S3", ports.s3_port), ("Swift", ports.swift_port)):
            if not accepts(host, port):
                return f"the {name} port"
    return ""


def deaths(report: dict[str, Any]) -> dict[str, int]:
    """Return how often each process of a supervisor's report has died."""
    return {process["name"]: process["deaths"] for process in report["processes"]}


def await_started(cluster: Cluster, names: Sequence[str], deaths_before: dict[str, int]) -> None:
    """Return once these processes serve. Raise OperatorError when one does not start, ControlError."""

    def is_ready(process: dict[str, Any]) -> bool:
        name = process["name"]
        if process["deaths"] - deaths_before[name] >= _DEATHS_LIMIT:
            raise OperatorError(_with_last_line(cluster, name, f"{name} does not start ({process['last_exit']})"))
        return cluster.layout.ready(name).exists()

    _await(cluster, names, is_ready)


def await_stopped(cluster: Cluster, names: Sequence[str]) -> None:
    """Return once these processes are down, or the cluster's no more. Raise OperatorError, ControlError."""
    _await(cluster, names, lambda process: process["state"] == "stopped")


def _await(cluster: Cluster, names: Sequence[str], is_done: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + _PROCESSES_TIMEOUT_S
    while True:
        processes = control.ask(cluster.layout.control_socket, "status")["processes"]
        left = [process["name"] for process in processes if process["name"] in names and not is_done(process)]
        if not left:
            return
        if time.monotonic() > deadline:
            log = cluster.layout.log(left[0])
            raise OperatorError(f"{left[0]} is not there yet after {_PROCESSES_TIMEOUT_S:.0f} s: see {log}")
        time.sleep(_PAUSE_S)
