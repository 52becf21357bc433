"""`holdfast doctor`: what is wrong, one after the other, with what is done about it and what one can do.

It knows what `holdfast status` does, and compares what services have noted with what there is. It exits as
`status` does: 0 healthy, 1 degraded, 2 down.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tools.audits import differences
from tools.data_directory import add_data_argument, open_cluster
from tools.status import EXIT_CODES, survey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_argument(parser)
    parser.add_argument("--fix", action="store_true", help="mend what services have noted wrongly")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong."""
    cluster = open_cluster(arguments)
    report = survey(cluster)
    report["problems"] += [dataclasses.asdict(each) for each in differences(cluster, arguments.fix)]
    if arguments.json:
        print(json.dumps({"state": report["state"], "problems": report["problems"]}, indent=2))
    else:
        print("\n".join(lines(report)))
    return EXIT_CODES[report["state"]]


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for people."""
    problems = report["problems"]
    if not problems:
        yield f"Nothing is wrong: the cluster is {report['state']}."
    for number, problem in enumerate(problems, start=1):
        yield f"{number}. {problem['what']}"
        for label, name in (("what is done", "doing"), ("what you can do", "advice")):
            if problem[name]:
                yield f"   {label}: {problem[name]}"
