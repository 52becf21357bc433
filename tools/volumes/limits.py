"""`limit`: how much the clients of a volume may do."""

import argparse

from tools.data_directory import Cluster
from tools.volumes.asking import Answer, ask_gateway
from tools.volumes.showing import limits_shown, size_of

_OPTIONS = ("iops", "read_iops", "write_iops", "bandwidth", "read_bandwidth", "write_bandwidth")


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for name in _OPTIONS:
        kind, _underline, what = name.rpartition("_")
        noun, metavar = ("requests", "N") if what == "iops" else ("bytes", "SIZE")
        words = {"read": f"{noun} of reads", "write": f"{noun} of writes", "": f"{noun} of both together"}[kind]
        option = f"--{kind}-{what}" if kind else f"--{what}"
        parser.add_argument(option, dest=name, metavar=metavar, help=f"{words}, by second; 0: no limit")
    parser.add_argument(
        "--burst", dest="burst_s", type=float, metavar="SECONDS", help="of what was not used may be used at once"
    )


def limit(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Change what was given; show what there is."""
    given = {name: getattr(arguments, name) for name in _OPTIONS}
    wanted = {name: float(size_of(text)) for name, text in given.items() if text is not None}
    if arguments.burst_s is not None:
        wanted["burst_s"] = arguments.burst_s
    if not wanted:
        return ask_gateway(cluster, "show", name=arguments.name)
    return ask_gateway(cluster, "limit", name=arguments.name, **wanted)


def limit_shown(answer: Answer) -> list[str]:
    """Say what holds."""
    volume = answer["volume"]
    return [f"{volume['name']}: {limits_shown(volume['limits']) or 'no limits'}"]
