"""`holdfast ring`: which rings are in force and how a change of them goes; taking it back, offline study."""

import argparse
from typing import Any

from storage.rings.document import ACCOUNT, CONTAINER, OBJECT
from tools.data_directory import add_data_argument, open_cluster
from tools.rings.terminal import add_consent_arguments

RINGS = (ACCOUNT, CONTAINER, OBJECT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options. Those given before the action count, unless they are given again after it."""
    _add_show_arguments(parser, default=False)
    add_data_argument(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="(default: show)")
    options = actions.add_parser("show", help="which rings are in force, how a change goes")
    _add_show_arguments(options, default=argparse.SUPPRESS)
    add_data_argument(options, default=argparse.SUPPRESS)
    options = actions.add_parser("cancel", help="take back the change under way, while that can be done")
    options.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for programs")
    add_data_argument(options, default=argparse.SUPPRESS)
    options = actions.add_parser("rebalance", help="move what is not where it should be, if anything")
    _add_change_arguments(options)
    options = actions.add_parser("draw", help="draw what devices should hold, and hold, as SVG")
    options.add_argument("file", metavar="FILE", help="out.svg")
    options.add_argument("--ring", choices=RINGS, default=OBJECT, help=f"(default: {OBJECT})")
    add_data_argument(options, default=argparse.SUPPRESS)
    options = actions.add_parser("export", help="write rings and builders as files for ring-builder")
    options.add_argument("directory", metavar="DIR", help="where to; it is made")
    add_data_argument(options, default=argparse.SUPPRESS)
    options = actions.add_parser("apply", help="take over a builder that was exported and changed by ring-builder")
    options.add_argument("file", metavar="FILE", help="object-0.builder")
    options.add_argument("--ring", choices=RINGS, help="which ring it is for (default: as the file is called)")
    _add_change_arguments(options)


def _add_show_arguments(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--watch", action="store_true", default=default, help="stay until the change under way is through"
    )
    parser.add_argument(
        "--json", action="store_true", default=default, help="for programs; with --watch, an object a line"
    )


def _add_change_arguments(options: argparse.ArgumentParser) -> None:
    add_consent_arguments(options)
    add_data_argument(options, default=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    cluster, action = open_cluster(arguments), arguments.action or "show"
    # imported here because they need numpy, for which only who deals with rings should pay
    if action in ("draw", "export", "apply"):
        from tools.rings import files

        return files.ACTIONS[action](cluster, arguments)
    from tools.rings import command

    return command.ACTIONS[action](cluster, arguments)
