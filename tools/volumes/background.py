"""`flatten`, `jobs`, `purge`: what goes on in the background, and what is due."""

import argparse
import time

from tools.data_directory import Cluster
from tools.errors import OperatorError
from tools.progress import Progress
from tools.volumes.asking import Answer, all_volumes, ask_gateway
from tools.volumes.showing import table, time_shown

POLL_S = 0.5


def flatten(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Begin it; wait for the end, unless it is to be left to itself."""
    job: Answer = ask_gateway(cluster, "flatten", name=arguments.name)["job"]
    with Progress() as progress:
        while job["state"] == "running" and not arguments.background:
            progress.show(f"flattening {arguments.name}: {job['done']} of {job['total']} chunks")
            time.sleep(POLL_S)
            job = _job(cluster, "flatten", arguments.name) or job
    if job["state"] == "failed":
        raise OperatorError(f"{job['error']}; it is tried again in the background, `holdfast volume jobs` tells")
    return {"job": job}


def _job(cluster: Cluster, kind: str, name: str) -> Answer | None:
    jobs = ask_gateway(cluster, "jobs")["jobs"]
    return next((each for each in reversed(jobs) if (each["kind"], each["volume"]) == (kind, name)), None)


def flatten_shown(answer: Answer) -> list[str]:
    """Say how it is."""
    job = answer["job"]
    if job["state"] == "running":
        return [f"{job['volume']} is being flattened in the background: `holdfast volume jobs` shows how far it is"]
    return [f"{job['volume']} does not need its parent any more"]


def jobs_shown(answer: Answer) -> list[str]:
    """Return a table of jobs."""
    rows = [
        (
            each["kind"], each["volume"], each["state"], f"{each['done']} of {each['total']} chunks",
            time_shown(each["started_us"]), each["error"]
        )
        for each in answer["jobs"]
    ]
    return table(("WHAT", "VOLUME", "STATE", "DONE", "BEGUN", ""), rows) if rows else ["Nothing goes on."]


def purge(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Delete one volume of the trash for ever, or all."""
    names = [arguments.name]
    if arguments.name is None:
        if not arguments.all:
            raise OperatorError("purge what? NAME, or --all that is in the trash")
        names = [each["name"] for each in all_volumes(cluster) if each["state"] != "available"]
    for name in names:
        ask_gateway(cluster, "purge", name=name)
    return {"purged": names}


def purge_shown(answer: Answer) -> list[str]:
    """Say what is gone."""
    return [f"{name} is deleted" for name in answer["purged"]] or ["There is nothing in the trash."]
