"""`holdfast volume`: what there is of volumes, and what is done to them besides reading and writing.

Asks the block gateway, which must run: it knows which volumes are in use.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from cluster.supervision.control import ControlError, NotRunning, ask
from tools.data_directory import Cluster, add_data_argument, open_cluster
from tools.errors import OperatorError

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:iB)?", re.IGNORECASE)

Answer = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str, *arguments: str) -> argparse.ArgumentParser:
        options = actions.add_parser(name, help=summary)
        for argument in arguments:
            options.add_argument(argument.lower(), metavar=argument)
        options.add_argument("--json", action="store_true", help="for programs")
        add_data_argument(options)
        return options

    create = action("create", "make an empty volume", "NAME", "SIZE")
    create.add_argument("--description", default="", help="for people")
    action("list", "show which volumes there are")
    action("show", "show a volume and its snapshots", "NAME")
    action("snapshot", "keep a volume as it is now", "NAME", "SNAPSHOT")
    action("delete-snapshot", "give up a snapshot", "NAME", "SNAPSHOT")
    action("clone", "make a volume that begins as a snapshot", "NAME", "SNAPSHOT", "CLONE")
    action("rollback", "make a volume as it was; what was written since is lost", "NAME", "SNAPSHOT")
    resize = action("resize", "make a volume larger; its clients connect again and see it", "NAME", "SIZE")
    resize.add_argument("--shrink", action="store_true", help="smaller, too: what is beyond the new end is lost")
    action("trash", "have nobody open a volume any more", "NAME")
    action("undelete", "take a volume out of the trash", "NAME")
    action("delete", "delete a volume and its data, for ever", "NAME")


def run(arguments: argparse.Namespace) -> int:
    """Do it and show the result."""
    cluster = open_cluster(arguments)
    answer = _ask(cluster, arguments.action, **_REQUESTS.get(arguments.action, _named)(arguments))
    if arguments.json:
        print(json.dumps(answer, indent=2))
    elif arguments.action == "list":
        print("\n".join(_table(answer["volumes"])))
    elif arguments.action == "delete":
        print(f"{arguments.name} is deleted")
    else:
        print("\n".join(_lines(answer["volume"], cluster)))
    return 0


def _ask(cluster: Cluster, do: str, **about: Any) -> Answer:
    if not cluster.config.block.gateways:
        raise OperatorError(
            f"this cluster serves no volumes: set gateways = 1 under [block] in {cluster.layout.config}"
        )
    try:
        return ask(cluster.layout.gateway_socket(0), do, **about)
    except NotRunning as error:
        raise OperatorError("the block gateway does not answer: is the cluster up?") from error
    except ControlError as error:
        raise OperatorError(str(error)) from error


def _named(arguments: argparse.Namespace) -> Answer:
    wanted = vars(arguments)
    return {name: wanted[name] for name in ("name", "snapshot") if name in wanted}


_REQUESTS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "create": lambda given: {"name": given.name, "size": size_of(given.size), "description": given.description},
    "clone": lambda given: {"parent": given.name, "snapshot": given.snapshot, "name": given.clone},
    "resize": lambda given: {"name": given.name, "size": size_of(given.size), "shrink": given.shrink},
}


def size_of(text: str) -> int:
    """Return how many bytes `text` means: 512, 10G, 1.5T, 20 GiB. Raise OperatorError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise OperatorError(f"{text} is no size: bytes, or a number with K, M, G, T or P")
    return int(float(found[1]) * (1 << _UNITS[found[2].upper()]))


def shown(size: int) -> str:
    """Return a size for people."""
    for unit in ("P", "T", "G", "M", "K"):
        if size >= 1 << _UNITS[unit]:
            return f"{size / (1 << _UNITS[unit]):.4g} {unit}iB"
    return f"{size} B"


def _table(volumes: Sequence[Answer]) -> list[str]:
    if not volumes:
        return ["There are no volumes: `holdfast volume create NAME SIZE` makes one."]
    rows = [("NAME", "SIZE", "STATE", "SNAPSHOTS")]
    rows += [(each["name"], shown(each["size"]), each["state"], str(len(each["snapshots"]))) for each in volumes]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _lines(volume: Answer, cluster: Cluster) -> list[str]:
    ports = cluster.config.ports
    lines = [
        f"{volume['name']}: {shown(volume['size'])}, {volume['state']}, made {_time(volume['created_us'])}",
        f"  nbd://{ports.listen}:{ports.nbd_port}/{volume['name']}",
    ]
    if volume["description"]:
        lines.append(f"  {volume['description']}")
    lines += [
        f"  snapshot {each['name']}: {shown(each['size'])}, {_time(each['created_us'])}" for each in volume["snapshots"]
    ]
    return lines


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
