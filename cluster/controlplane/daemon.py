"""What all daemons of the control plane begin and end with: configuration and log first, then one that serves.

    if __name__ == "__main__":
        runner.patch()  # before anything else is imported
        from identity.keystone.serving import serve
        sys.exit(daemon.run("identity", serve, SQLAlchemyError))

is `python -m identity.keystone.daemon --config DIR/cluster.toml`.
"""

import argparse
import socket
from collections.abc import Callable

from cluster.config import Config, load
from cluster.controlplane.errors import Unavailable
from cluster.coordination.errors import CoordinationError
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.supervision import lock
from cluster.supervision.daemon import BAD_CONFIGURATION, CANNOT_START, allow_open_files
from cluster.telemetry.log import configure, get_logger

BACKLOG = 512  # connections that wait to be accepted

Serve = Callable[[Config, Layout], None]  # returns when the process was told to stop


def run(name: str, serve: Serve, *cannot_start: type[Exception]) -> int:
    """Run the daemon `name` until it is told to stop; return the exit status.

    There is one of its name in a data directory. That another runs, that the database is away, ConfigError,
    CoordinationError, OSError and `cannot_start` are told in the log, and end it with CANNOT_START.
    """
    log = get_logger(name)
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    parser.add_argument("--config", required=True)
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        log.error("bad_configuration", error=error)
        return BAD_CONFIGURATION
    configure(config.log.level, config.log.format)
    allow_open_files()
    layout = Layout.of_config(arguments.config)
    expected: tuple[type[Exception], ...] = (
        ConfigError,
        CoordinationError,
        OSError,
        Unavailable,
        lock.Held,
        *cannot_start,
    )
    try:
        lock.acquire(layout.lock(name))  # held until the process ends
        serve(config, layout)
    except expected as error:
        log.error("cannot_start", error=error)
        return CANNOT_START
    return 0


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raise OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
