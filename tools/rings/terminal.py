"""Asking before something is begun."""

import argparse
import sys

from tools.errors import OperatorError


class Declined(OperatorError):
    """The operator said no, or only wanted to look."""


def add_consent_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a command be told not to ask, or not to do anything."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="for programs")


def ask(question: str, arguments: argparse.Namespace) -> None:
    """Return when the operator agrees. Raise OperatorError."""
    if arguments.yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise OperatorError("this begins only with --yes, for there is no terminal on which to ask")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Declined("nothing was changed")
