"""`holdfast status`: how a cluster is, asked of its processes and not remembered.

Exit code: 0 healthy, 1 degraded (it serves, but something is amiss), 2 down.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

from cluster.config.services import SERVICES
from storage.overview import survey as overview
from storage.overview.survey import DEGRADED, DOWN, HEALTHY
from storage.overview.surveyed import Surveyed
from tools.data_directory import Cluster, add_data_argument, data_option, open_cluster, program

EXIT_CODES = {HEALTHY: 0, DEGRADED: 1, DOWN: 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_data_argument(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the status."""
    cluster = open_cluster(arguments)
    report = survey(cluster)
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(_lines(report)))
    return EXIT_CODES[report["state"]]


def survey(cluster: Cluster) -> dict[str, Any]:
    """Return the state of the cluster, as --json shows it."""
    surveyed = Surveyed(cluster.config, cluster.layout, program(), data_option(cluster.layout))
    return overview.survey(surveyed)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    yield report["sentence"]
    yield ""
    yield f"{'':<14} {'state':<12} {'pid':>8} {'since':<10} {'memory':>9}  disk; share of the data"
    for node in report["nodes"]:
        for device in node["devices"]:
            yield _line(f"node {node['node']} d{device['id']}", device, device["capacity"], device["ring"]["share"])
    for process in [*report["proxies"], *report["gateways"], *report["services"]]:
        yield _line(process["name"], process, None, "")
    if report["supervisor"]:
        pid, memory = report["supervisor"]["pid"], report["supervisor"]["rss_bytes"]
        yield f"{'supervisor':<14} {'up':<12} {pid:>8} {'':<10} {_megabytes(memory):>9}"
        yield ""
        yield f"S3     {report['endpoints']['s3']}"
        yield f"Swift  {report['endpoints']['swift']}"
        if "nbd" in report["endpoints"]:
            yield f"NBD    {report['endpoints']['nbd']}"
        if "console" in report["endpoints"]:
            yield f"Console  {report['endpoints']['console']}"
        for service in SERVICES:
            if service.name in report["endpoints"]:
                yield f"{service.api}  {report['endpoints'][service.name]}"


def _line(name: str, process: dict[str, Any], capacity: dict[str, Any] | None, share: str) -> str:
    disk = ""
    if capacity and capacity["total_bytes"]:
        disk = f"  {capacity['used_bytes'] / 2**30:.1f} GiB used, {capacity['free_bytes'] / 2**30:.1f} free"
    if share:
        disk = f"{disk}; {share}" if disk else f"  {share}"
    pid = process["pid"] or ""
    since = _ago(process["since"])
    return f"{name:<14} {process['state']:<12} {pid:>8} {since:<10} {_megabytes(process['rss_bytes']):>9}{disk}"


def _megabytes(count: int | None) -> str:
    return f"{count / 2**20:.0f} MiB" if count else ""


def _ago(since: float | None) -> str:
    if since is None:
        return ""
    seconds = max(0, int(time.time() - since))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
