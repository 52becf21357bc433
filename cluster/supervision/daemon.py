"""What all our daemons begin and end with: configuration and log first, a loop, and signals that tell them to stop.

    def main() -> int:
        return daemon.run("proxy", "worker", _serve, RingsError)

is `python -m proxy.daemon --config DIR/cluster.toml --worker N`.
"""

import argparse
import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable

import uvloop

from cluster.allocator import keep_buffers
from cluster.config import Config, load
from cluster.coordination.errors import CoordinationError
from cluster.errors import ConfigError
from cluster.layout import Layout
from cluster.telemetry.log import configure, get_logger

BAD_CONFIGURATION, CANNOT_START = 2, 1  # exit statuses

# of one process: a device may have 512 segments, 2048 chunks, 1024 uploads (two descriptors each) and databases open
OPEN_FILES = 1 << 16

Serve = Callable[[Config, Layout, int, asyncio.Event], Awaitable[int]]  # the event: stop; returns the exit status


def run(package: str, unit: str, serve: Serve, *cannot_start: type[Exception]) -> int:
    """Run one daemon of `package` until SIGTERM or SIGINT; return the exit status.

    `unit` is what it is one of, and the name of the option with its number. ConfigError, CoordinationError, OSError
    and `cannot_start` are told in the log, and end it with CANNOT_START.
    """
    log = get_logger(package)
    parser = argparse.ArgumentParser(prog=f"python -m {package}.daemon")
    parser.add_argument("--config", required=True)
    parser.add_argument(f"--{unit}", dest="number", type=int, required=True)
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
    except ConfigError as error:
        log.error("bad_configuration", error=error)
        return BAD_CONFIGURATION
    configure(config.log.level, config.log.format)
    keep_buffers()
    allow_open_files()
    expected: tuple[type[Exception], ...] = (ConfigError, CoordinationError, OSError, *cannot_start)
    try:
        return uvloop.run(_until_told(serve, config, Layout.of_config(arguments.config), arguments.number))
    except expected as error:
        log.error("cannot_start", **{unit: arguments.number}, error=error)
        return CANNOT_START


def allow_open_files() -> None:
    """Raise the limit of open files as far as the host lets us: what it gives unasked is 1024 on many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _until_told(serve: Serve, config: Config, layout: Layout, number: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    return await serve(config, layout, number, stop)
