"""The options of `holdfast volume`, and which of its actions does what."""

import argparse
import importlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tools.data_directory import Cluster, add_data_argument, open_cluster
from tools.volumes import background, backup_options, bench, images, limits, moving, space
from tools.volumes.asking import Answer, all_volumes, ask_gateway
from tools.volumes.showing import seconds_of, size_of, volume_shown, volumes_shown

Do = Callable[[Cluster, argparse.Namespace], Answer]
Show = Callable[[Answer], Sequence[str]]
_BACKUPS = "tools.volumes.backups"  # only for its own actions: with encryption and compression it takes long to import


class Action(NamedTuple):
    """What is done, and how its answer is shown; None: as a volume."""

    do: Do
    show: Show | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str, *arguments: str) -> argparse.ArgumentParser:
        options = actions.add_parser(name, help=summary)
        for argument in arguments:
            options.add_argument(argument.partition("[")[0].lower(), metavar=argument)
        options.add_argument("--json", action="store_true", help="for programs")
        add_data_argument(options)
        return options

    _add_volumes(action)
    _add_snapshots(action)
    _add_others(action)
    backup_options.add_actions(action)


def _add_volumes(action: Callable[..., argparse.ArgumentParser]) -> None:
    create = action("create", "make an empty volume", "NAME", "SIZE")
    create.add_argument("--description", default="", help="for people")
    create.add_argument("--encrypt", action="store_true", help="devices see nothing of its data, or of its clones'")
    action("list", "show which volumes there are")
    action("show", "show a volume and its snapshots", "NAME")
    resize = action("resize", "make a volume larger; its clients connect again and see it", "NAME", "SIZE")
    resize.add_argument("--shrink", action="store_true", help="smaller, too: what is beyond the new end is lost")
    limits.add_limit_arguments(action("limit", "show or change how much clients may do by second", "NAME"))
    trash = action("trash", "have nobody open a volume any more", "NAME")
    trash.add_argument("--keep", metavar="TIME", help="delete it for ever after 7d, 12h, …; else it stays")
    action("undelete", "take a volume out of the trash", "NAME")
    purge = action("purge", "delete what is in the trash, with its snapshots, for ever")
    purge.add_argument("name", metavar="NAME", nargs="?")
    purge.add_argument("--all", action="store_true", help="all that is there")
    action("delete", "delete a volume and its data, for ever", "NAME")


def _add_snapshots(action: Callable[..., argparse.ArgumentParser]) -> None:
    action("snapshot", "keep a volume as it is now", "NAME", "SNAPSHOT")
    group = action("snapshot-group", "keep volumes as they are at one moment", "SNAPSHOT")
    group.add_argument("names", metavar="NAME", nargs="+")
    action("delete-snapshot", "give up a snapshot; its space comes back in the background", "NAME", "SNAPSHOT")
    action("clone", "make a volume that begins as a snapshot", "NAME", "SNAPSHOT", "CLONE")
    flatten = action("flatten", "make a clone independent of what it was cloned from", "NAME")
    flatten.add_argument("--background", action="store_true", help="do not wait for it")
    action("rollback", "make a volume as it was; what was written since is lost", "NAME", "SNAPSHOT")
    diff = action("diff", "show where a volume differs from a snapshot", "NAME", "SNAPSHOT")
    diff.add_argument("other", metavar="SNAPSHOT2", nargs="?", help="compare with this one instead")
    diff.add_argument("--fast", action="store_true", help="show the chunks of 4 MiB that were written to; read nothing")


def _add_others(action: Callable[..., argparse.ArgumentParser]) -> None:
    usage = action("du", "show what volumes and their snapshots take up")
    usage.add_argument("name", metavar="NAME", nargs="?")
    action("jobs", "show what goes on in the background")
    move = action("move", "have another gateway serve a volume; its clients are sent away", "NAME")
    move.add_argument("gateway", metavar="GATEWAY", type=int, help="its number, from 0")
    export = action("export", "write a volume into a file; takes qemu-img", "NAME[@SNAPSHOT]", "FILE")
    export.add_argument("--format", choices=images.FORMATS, default="raw")
    bring_in = action("import", "make a volume of an image in a file; takes qemu-img", "FILE", "NAME")
    bring_in.add_argument("--format", choices=images.FORMATS, help="of the file (default: what it looks like)")
    measure = action("bench", "measure what a volume gives its clients; it is only read")
    measure.add_argument("name", metavar="NAME|URI", nargs="?")
    measure.add_argument("--write", action="store_true", help="measure writes too, on a volume made for it")
    measure.add_argument("--seconds", type=float, default=3.0, metavar="N", help="for each load (default: 3)")


def run(arguments: argparse.Namespace) -> int:
    """Do it and show the result."""
    if arguments.action in backup_options.ACTIONS:
        run_backups: Callable[[argparse.Namespace], int] = importlib.import_module(_BACKUPS).run
        return run_backups(arguments)
    cluster = open_cluster(arguments)
    action = _ACTIONS[arguments.action]
    answer = action.do(cluster, arguments)
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    lines = volume_shown(answer["volume"], cluster.config) if action.show is None else action.show(answer)
    print("\n".join(lines))
    return 0


def _asked(do: str, *names: str) -> Do:
    """Return what asks the gateway, and gives it some of the arguments as they are."""
    return lambda cluster, given: ask_gateway(cluster, do, **{name: getattr(given, name) for name in names})


def _list(cluster: Cluster, _given: argparse.Namespace) -> Answer:
    return {"volumes": all_volumes(cluster)}


def _create(cluster: Cluster, given: argparse.Namespace) -> Answer:
    return ask_gateway(
        cluster,
        "create",
        name=given.name,
        size=size_of(given.size),
        description=given.description,
        encrypted=given.encrypt,
    )


def _clone(cluster: Cluster, given: argparse.Namespace) -> Answer:
    return ask_gateway(cluster, "clone", parent=given.name, snapshot=given.snapshot, name=given.clone)


def _resize(cluster: Cluster, given: argparse.Namespace) -> Answer:
    return ask_gateway(cluster, "resize", name=given.name, size=size_of(given.size), shrink=given.shrink)


def _trash(cluster: Cluster, given: argparse.Namespace) -> Answer:
    keep_s = None if given.keep is None else seconds_of(given.keep)
    return ask_gateway(cluster, "trash", name=given.name, keep_s=keep_s)


def _group(cluster: Cluster, given: argparse.Namespace) -> Answer:
    return ask_gateway(cluster, "snapshot-group", names=given.names, snapshot=given.snapshot)


_ACTIONS: dict[str, Action] = {
    "create": Action(_create),
    "list": Action(_list, lambda answer: volumes_shown(answer["volumes"])),
    "show": Action(_asked("show", "name")),
    "resize": Action(_resize),
    "limit": Action(limits.limit, limits.limit_shown),
    "trash": Action(_trash),
    "undelete": Action(_asked("undelete", "name")),
    "purge": Action(background.purge, background.purge_shown),
    "delete": Action(_asked("delete", "name"), lambda answer: [f"{answer['volume']['name']} is deleted"]),
    "snapshot": Action(_asked("snapshot", "name", "snapshot")),
    "snapshot-group": Action(_group, lambda answer: volumes_shown(answer["volumes"])),
    "delete-snapshot": Action(_asked("delete-snapshot", "name", "snapshot")),
    "clone": Action(_clone),
    "flatten": Action(background.flatten, background.flatten_shown),
    "rollback": Action(_asked("rollback", "name", "snapshot")),
    "diff": Action(space.diff, space.diff_shown),
    "du": Action(space.usage, space.usage_shown),
    "move": Action(moving.move, moving.move_shown),
    "jobs": Action(_asked("jobs"), background.jobs_shown),
    "export": Action(images.export, images.export_shown),
    "import": Action(images.bring_in),
    "bench": Action(bench.bench, bench.bench_shown),
}
