"""Sizes, times and volumes in words; and sizes and durations from words."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cluster.config import Config
from tools.environment import nbd_url
from tools.errors import OperatorError

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:iB)?", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
Answer = dict[str, Any]


def size_of(text: str) -> int:
    """Return how many bytes `text` means: 512, 10G, 1.5T, 20 GiB. Raise OperatorError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise OperatorError(f"{text} is no size: bytes, or a number with K, M, G, T or P")
    return int(float(found[1]) * (1 << _UNITS[found[2].upper()]))


def seconds_of(text: str) -> float:
    """Return how many seconds `text` means: 90s, 12h, 7d. Raise OperatorError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise OperatorError(f"{text} is no duration: a number with s, m, h, d or w")
    return float(found[1]) * _SECONDS[found[2]]


def shown(size: int) -> str:
    """Return a size for people."""
    for unit in ("P", "T", "G", "M", "K"):
        if size >= 1 << _UNITS[unit]:
            return f"{size / (1 << _UNITS[unit]):.4g} {unit}iB"
    return f"{size} B"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with columns."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def volumes_shown(volumes: Sequence[Answer]) -> list[str]:
    """Return a table of volumes."""
    if not volumes:
        return ["There are no volumes: `holdfast volume create NAME SIZE` makes one."]
    rows = [(each["name"], shown(each["size"]), each["state"], str(len(each["snapshots"]))) for each in volumes]
    return table(("NAME", "SIZE", "STATE", "SNAPSHOTS"), rows)


def volume_shown(volume: Answer, config: Config) -> list[str]:
    """Return what there is to say of a volume."""
    lines = [
        f"{volume['name']}: {shown(volume['size'])}, {volume['state']}, made {time_shown(volume['created_us'])}",
        f"  {nbd_url(config)}{volume['name']}",
    ]
    if volume["encrypted"]:
        lines.append("  encrypted")
    if volume["description"]:
        lines.append(f"  {volume['description']}")
    if volume["purge_us"]:
        lines.append(f"  deleted for ever after {time_shown(volume['purge_us'])}; `undelete` saves it")
    if volume["flattening"]:
        lines.append("  becomes independent of its parent: `holdfast volume jobs` shows how far that is")
    limits = limits_shown(volume["limits"])
    if limits:
        lines.append(f"  limits: {limits}")
    return lines + [
        f"  snapshot {each['name']}: {shown(each['size'])}, {time_shown(each['created_us'])}"
        for each in volume["snapshots"]
    ]


def limits_shown(limits: Answer) -> str:
    """Return the limits that there are; empty: none."""
    said = []
    for kind, words in (("", ""), ("read_", " of reads"), ("write_", " of writes")):
        if limits[kind + "iops"]:
            said.append(f"{limits[kind + 'iops']} requests/s{words}")
        if limits[kind + "bandwidth"]:
            said.append(f"{shown(limits[kind + 'bandwidth'])}/s{words}")
    return ", ".join([*said, f"bursts of {limits['burst_s']:g} s"]) if said else ""


def time_shown(microseconds: int) -> str:
    """Return a time since 1970 for people."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
