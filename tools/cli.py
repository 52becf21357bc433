"""The `holdfast` command: a table of commands, and how their errors end.

Only the module of the command that was asked for is imported, so that each starts in no time and the
supervisor, which `up` becomes, stays small.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from cluster.coordination.errors import CoordinationError
from cluster.errors import ConfigError
from cluster.version import VERSION
from ring.errors import RingError
from storage.rings.errors import RingsError
from tools.errors import OperatorError

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130  # as shells report SIGINT

COMMANDS = {
    "up": "tools.up",
    "down": "tools.down",
    "status": "tools.status",
    "doctor": "tools.doctor",
    "env": "tools.environment",
    "user": "tools.users",
    "identity": "tools.identity",
    "node": "tools.nodes",
    "device": "tools.devices",
    "ring": "tools.ring",
    "scrub": "tools.scrub",
    "volume": "tools.volumes",
    "bench": "tools.bench",
}
_SUMMARIES = {
    "up": "start a cluster, making it if there is none",
    "down": "stop it; the data stay",
    "status": "tell how it is, and what to do about it",
    "doctor": "tell one by one what is wrong, and what to do about it",
    "env": "print what clients need, as KEY=VALUE lines for a shell",
    "user": "add, list and remove users, show and renew their keys",
    "identity": "let a user of the identity service in again, with a new password",
    "node": "stop, start or kill one storage node, or add one",
    "device": "list, add, drain, remove and weigh the devices that store",
    "ring": "show which rings are in force and how a change of them goes",
    "scrub": "read all that is stored to see whether it is whole, and show how that goes",
    "volume": "make, list, copy, resize and delete volumes",
    "bench": "measure it",
}
assert COMMANDS.keys() == _SUMMARIES.keys()


class Command(Protocol):
    """What the module of a command has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code. Raise OperatorError."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        return _without_command(arguments)
    try:
        return _run(arguments[0], arguments[1:])
    except (OperatorError, ConfigError, CoordinationError, RingError, RingsError) as error:
        print(f"holdfast: {str(error).rstrip('.')}.", file=sys.stderr)
        return getattr(error, "exit_code", EXIT_FAILURE)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit must not fail again
        return EXIT_FAILURE
    except OSError as error:  # a disk that is full, a file that may not be read
        about = f"{error.filename}: " if error.filename else ""
        print(f"holdfast: {about}{error.strerror or error}.", file=sys.stderr)
        return EXIT_FAILURE
    except Exception as error:
        print(f"holdfast: this is a bug: {type(error).__name__} at {_origin(error)}: {error}.", file=sys.stderr)
        return EXIT_BUG


def _origin(error: Exception) -> str:
    """Return the file and line that raised `error`."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    return f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else "?"


def parser_of(name: str) -> tuple[argparse.ArgumentParser, Command]:
    """Return the parser and the module of a command."""
    command = cast(Command, importlib.import_module(COMMANDS[name]))
    parser = argparse.ArgumentParser(prog=f"holdfast {name}", description=f"{_SUMMARIES[name].capitalize()}.")
    command.add_arguments(parser)
    return parser, command


def _run(name: str, arguments: Sequence[str]) -> int:
    parser, command = parser_of(name)
    return command.run(parser.parse_args(arguments))


def _without_command(arguments: Sequence[str]) -> int:
    table = "\n".join(f"  {name:<8} {summary}" for name, summary in _SUMMARIES.items())
    parser = argparse.ArgumentParser(
        prog="holdfast",
        usage="holdfast COMMAND [OPTION …]",
        description="Distributed object and block storage, with S3, Swift, NBD and OpenStack's APIs.",
        epilog=f"commands:\n{table}\n\n`holdfast COMMAND --help` tells more of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"holdfast {VERSION}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    command = parser.parse_known_args(arguments)[0].command
    if command is not None:
        parser.error(f"there is no command {command}: choose one of {', '.join(COMMANDS)}")
    parser.print_help()
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
