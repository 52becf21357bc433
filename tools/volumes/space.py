"""`du` and `diff`: what volumes take up, and where two snapshots differ."""

import argparse
from collections.abc import Iterator

from tools.data_directory import Cluster
from tools.progress import Progress
from tools.volumes.asking import Answer, all_volumes, ask_gateway
from tools.volumes.showing import shown, table


def usage(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Return what volumes take up, by volume."""
    names = [arguments.name]
    if arguments.name is None:
        names = [each["name"] for each in all_volumes(cluster)]
    volumes = []
    with Progress() as progress:
        for number, name in enumerate(names):
            progress.show(f"{number} of {len(names)} volumes")
            shares = ask_gateway(cluster, "du", name=name)["shares"]
            own = [share for share in shares if share["of"] != "parent"]
            total = {key: sum(share[key] for share in own) for key in ("chunks", "data", "stored")}
            volumes.append({"name": name, **total, "shares": shares})
    return {"volumes": volumes}


def usage_shown(answer: Answer) -> list[str]:
    """Return a table: a line for each volume, and for each snapshot of it."""
    rows = []
    for volume in answer["volumes"]:
        rows.append((volume["name"], shown(volume["data"]), shown(volume["stored"])))
        shares = volume["shares"] if len(volume["shares"]) > 1 else ()
        rows += [(f"  {_owner(share)}", shown(share["data"]), shown(share["stored"])) for share in shares]
    if not rows:
        return ["There are no volumes."]
    return table(("NAME", "DATA", "ON DEVICES"), rows)


def _owner(share: Answer) -> str:
    if share["of"] == "snapshot":
        return f"snapshot {share['snapshot']}"
    return "written since" if share["of"] == "volume" else "its parent's, shared"


def diff(cluster: Cluster, arguments: argparse.Namespace) -> Answer:
    """Return the ranges in which two snapshots differ."""
    with Progress() as progress:
        extents: list[list[int]] = []
        for offset, length in _pages(cluster, arguments, progress):
            if extents and extents[-1][0] + extents[-1][1] == offset:
                extents[-1][1] += length
            else:
                extents.append([offset, length])
    return {"fast": arguments.fast, "bytes": sum(length for _offset, length in extents), "extents": extents}


def _pages(cluster: Cluster, arguments: argparse.Namespace, progress: Progress) -> Iterator[tuple[int, int]]:
    first: int | None = 0
    while first is not None:
        answer = ask_gateway(
            cluster,
            "diff",
            name=arguments.name,
            snapshot=arguments.snapshot,
            other=arguments.other,
            fast=arguments.fast,
            first=first,
        )
        yield from answer["extents"]
        first = answer["next"]
        if first is not None:
            progress.show(f"compared up to {shown(first << 22)}")


def diff_shown(answer: Answer) -> list[str]:
    """Return a line for each range, and the sum."""
    lines = [f"{offset:>16} {length:>14}" for offset, length in answer["extents"]]
    may = "may differ (whole chunks)" if answer["fast"] else "differ"
    return [*lines, f"{answer['bytes']} bytes in {len(lines)} ranges {may}"]
