"""`holdfast up`: start a cluster, making it if there is none, and say when it is ready.

In the foreground this process becomes the supervisor, and a child of it watches until the cluster is
ready; with --detach the supervisor is started behind, and this process watches.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cluster.config import Config, load, parse
from cluster.config.compute_service import NO
from cluster.config.services import COMPUTE, IMAGES, VOLUMES, running
from cluster.layout import Layout
from cluster.supervision import control, lock
from cluster.telemetry.probe import is_free
from compute.agent import presence
from tools import environment, supervisor
from tools.clouds import CLOUD
from tools.data_directory import (
    Cluster,
    Contents,
    add_data_argument,
    data_option,
    inspect,
    layout_of,
    lock_path,
    program,
)
from tools.errors import OperatorError
from tools.private_file import write_private
from tools.processes import ports
from tools.progress import Progress
from tools.readiness import await_ready

LEAST_FREE_BYTES = 1 << 30
EXIT_FAILURE = 1
_PORT_PATIENCE_S = 2.0  # processes of a cluster that was just killed may take a moment to go
_STOP_PATIENCE_S = 30.0
_OFFSET_LINE = re.compile(r"^#? *offset *=.*$", re.MULTILINE)  # the only setting of this name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_argument(parser)
    parser.add_argument("--nodes", type=_positive, metavar="N", help="storage nodes of a new cluster (default: 4)")
    parser.add_argument("--devices-per-node", type=_positive, metavar="N", help="of a new cluster (default: 1)")
    parser.add_argument(
        "--proxies", type=_positive, metavar="N", help="proxies of a new cluster (default: one per core)"
    )
    parser.add_argument(
        "--port-offset", type=int, metavar="P", help="is added to every port, now and at later starts (default: 0)"
    )
    parser.add_argument(
        "--without-identity", action="store_true", help="of a new cluster: no identity service (OpenStack's Keystone)"
    )
    parser.add_argument("--without-console", action="store_true", help="of a new cluster: no console (a web page)")
    parser.add_argument(
        "--wait-for-services", action="store_true", help="ready means that OpenStack's APIs answer, too"
    )
    parser.add_argument("--detach", action="store_true", help="run behind; return when it is ready")


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 1000")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Start the cluster; return when it is ready or, in the foreground, when it has stopped."""
    layout = layout_of(arguments)
    _refuse_other(layout)
    _check_disk(layout)
    lock_descriptor = _prepare(layout)
    try:
        config = _make_or_load(layout, arguments)
        _check_ports(config)
        environment.refresh(layout, config)
    except BaseException:
        os.close(lock_descriptor)
        raise
    os.set_inheritable(lock_descriptor, True)
    cluster = Cluster(layout, config)
    command = supervisor.command(layout, lock_descriptor)
    sys.stdout.flush()
    if not arguments.detach:
        _become_supervisor(cluster, command, lock_descriptor, arguments.wait_for_services)
    return _start_behind(cluster, command, lock_descriptor, arguments.wait_for_services)


def _refuse_other(layout: Layout) -> None:
    if inspect(layout) is Contents.OTHER:
        raise OperatorError(f"{layout.directory} holds something else: choose an empty or new directory with --data")


def _check_disk(layout: Layout) -> None:
    """Raise OperatorError when the file system is too full to start on."""
    existing = layout.directory
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE_BYTES:
        raise OperatorError(
            f"{layout.directory} has {free / 2**30:.1f} GiB free and needs at least 1: "
            "make room, or choose another directory with --data"
        )


def _prepare(layout: Layout) -> int:
    """Make the directories that a supervisor needs and take its lock."""
    try:
        for directory in (layout.directory, layout.run, layout.logs, layout.sockets):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_private(layout.sockets)
        return lock.acquire(lock_path(layout))
    except lock.Held as held:
        who = f" (process {held.pid})" if held.pid else ""
        option = data_option(layout)
        raise OperatorError(
            f"the cluster in {layout.directory} is running already{who}: `{program()} status{option}` shows it, "
            f"`{program()} down{option}` stops it"
        ) from held
    except OSError as error:
        raise OperatorError(f"cannot write to {error.filename or layout.directory}: {error.strerror}") from error


def _check_private(directory: Path) -> None:
    state = directory.stat()
    if state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise OperatorError(f"{directory} must belong to you alone: `chmod 700 {directory}`, or remove it")


def _make_or_load(layout: Layout, arguments: argparse.Namespace) -> Config:
    if inspect(layout) is Contents.CLUSTER:
        return _load(layout, arguments)
    # imported here because it needs numpy, for which only a first start should pay
    from tools.creation import Wishes, create, plan

    asked = {
        "node_count": arguments.nodes,
        "devices_per_node": arguments.devices_per_node,
        "proxy_count": arguments.proxies,
        "port_offset": arguments.port_offset,
        "has_identity": False if arguments.without_identity else None,
        "has_console": False if arguments.without_console else None,
    }
    wishes = Wishes(**{name: value for name, value in asked.items() if value is not None})
    config = plan(wishes)
    _check_ports(config)  # a cluster that cannot start is not made
    print(f"making a cluster of {wishes.node_count} nodes in {layout.directory}", file=sys.stderr)
    create(layout, config)
    return config


def _load(layout: Layout, arguments: argparse.Namespace) -> Config:
    """Return the configuration of the cluster that is there, with another port offset if one is asked for."""
    config = load(layout.config)
    _refuse_nodes(layout, arguments.nodes, len({device.node for device in config.devices}))
    _refuse_proxies(layout, arguments.proxies, config.worker_count())
    _refuse_identity(layout, arguments.without_identity, config)
    offset = arguments.port_offset
    if offset is None or offset == config.ports.offset:
        return config
    text = _OFFSET_LINE.sub(f"offset = {offset}", layout.config.read_text())
    changed = parse(text)
    if changed.ports.offset != offset:
        raise OperatorError(f"cannot find the offset in {layout.config}: set it there, under [ports]")
    write_private(layout.config, text)
    return changed


def _refuse_nodes(layout: Layout, wanted: int | None, count: int) -> None:
    if wanted is not None and wanted != count:
        option, called = data_option(layout), program()
        raise OperatorError(
            f"this cluster has {count} nodes, not {wanted}: start it without --nodes; then `{called} node add{option}` "
            f"adds one, `{called} device remove{option}` takes devices away"
        )


def _refuse_proxies(layout: Layout, wanted: int | None, count: int) -> None:
    if wanted is not None and wanted != count:
        raise OperatorError(
            f"this cluster has {count} proxies, not {wanted}: --proxies is for a first start; "
            f"later, workers under [proxy] in {layout.config} says how many"
        )


def _refuse_identity(layout: Layout, unwanted: bool, config: Config) -> None:
    if unwanted and config.identity.enabled:
        raise OperatorError(
            "this cluster has an identity service: --without-identity is for a first start; "
            f"later, enabled under [identity] in {layout.config} says whether it runs"
        )


def _check_ports(config: Config) -> None:
    """Raise OperatorError when another program has one of our ports."""
    deadline = time.monotonic() + _PORT_PATIENCE_S
    for port in ports(config):
        while not is_free(port.host, port.number):
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"port {port.number}, for {port.owner}, is in use by another program: stop that, "
                    "or add a number to all ports with --port-offset"
                )
            time.sleep(0.05)


def _become_supervisor(
    cluster: Cluster, command: tuple[str, ...], lock_descriptor: int, with_services: bool
) -> NoReturn:
    """Go on as the supervisor, with a child that watches until the cluster is ready."""
    if os.fork() == 0:
        os.close(lock_descriptor)  # or the cluster would seem to run for as long as it watches
        os._exit(_watch_in_front(cluster, with_services))
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


def _start_behind(cluster: Cluster, command: tuple[str, ...], lock_descriptor: int, with_services: bool) -> int:
    log = cluster.layout.log("supervisor")
    with open(log, "ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(lock_descriptor,),
            cwd=cluster.layout.directory,
        )
    os.close(lock_descriptor)
    with Progress() as progress:
        try:
            await_ready(cluster, lambda: process.poll() is None, progress, with_services)
        except BaseException:  # Ctrl-C too: nothing half-started stays behind
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_PATIENCE_S)
            raise
    process.returncode = 0  # it goes on without us
    print(_welcome(cluster))
    return 0


def _watch_in_front(cluster: Cluster, with_services: bool) -> int:
    """Tell when the cluster is ready, beside the supervisor; stop it when it does not become so."""
    supervisor_pid = os.getppid()
    is_alive: Callable[[], bool] = lambda: os.getppid() == supervisor_pid  # noqa: E731
    try:
        with Progress() as progress:
            await_ready(cluster, is_alive, progress, with_services)
        print(f"{_welcome(cluster)}\nCtrl-C stops it.", flush=True)
    except OperatorError as error:
        print(f"holdfast: {error}.", file=sys.stderr, flush=True)
        _give_up(cluster, supervisor_pid)
        return EXIT_FAILURE
    except (KeyboardInterrupt, BrokenPipeError):
        return EXIT_FAILURE
    return 0


def _give_up(cluster: Cluster, supervisor_pid: int) -> None:
    """Let the supervisor stop everything and end with a failure."""
    try:
        control.ask(cluster.layout.control_socket, "shutdown", exit_code=EXIT_FAILURE)
    except control.ControlError:
        if os.getppid() == supervisor_pid:  # it is there but does not listen
            os.kill(supervisor_pid, signal.SIGTERM)


def _welcome(cluster: Cluster) -> str:
    option = data_option(cluster.layout)
    called = program()
    config, layout = cluster.config, cluster.layout
    volumes = config.block.gateways
    identity = config.identity.enabled
    return "\n".join(
        [
            "ready",
            f"  S3     {environment.s3_url(config)}",
            f"  Swift  {environment.swift_auth_url(config)}",
            *([f"  NBD    {environment.nbd_url(config)}NAME"] if volumes else []),
            *(f"  {service.api}  {service.api_url(config)}" for service in running(config)),
            *([f"  Console  {environment.console_url(config)}"] if config.console.enabled else []),
            "To use it, in a shell:",
            f'  set -a; eval "$({called} env{option})"; set +a',
            "  aws s3 mb s3://photos",
            "  aws s3 cp picture.jpg s3://photos/",
            *([f"  {called} volume create disk 20G{option}"] if volumes else []),
            *(["  openstack project create photos"] if identity else []),
            *([f"OpenStack's clients also read {layout.openrc} or {layout.clouds} ({CLOUD})."] if identity else []),
            *_about_guests(config),
            f"`{called} status{option}` tells how it is, `{called} down{option}` stops it.",
        ]
    )


def _about_guests(config: Config) -> list[str]:
    """Return what the operator should know of servers: why there are none, or what they have to do without."""
    compute = config.compute
    if not (IMAGES.runs(config) and VOLUMES.runs(config)) or compute.start == NO or not compute.agents:
        return []
    lacking = presence.missing(compute.networking)
    if COMPUTE.runs(config) and not lacking:
        return []
    what = "Some of what servers need is not here" if COMPUTE.runs(config) else "OpenStack's servers do not run here"
    return [f"{what}:", *(f"  {line}" for line in presence.lines(lacking))]
