"""What a storage daemon tells of its device in figures: read when somebody looks, so that they cost nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cluster.telemetry.metrics import Registry

Status = Mapping[str, Any]

_GAUGES = {  # of the device's status -> what follows holdfast_device_, meaning
    "blobs": ("versions", "Objects and tombstones, the newest version of each name."),
    "live_bytes": ("live_bytes", "Bytes of the log that are still needed."),
    "segments": ("log_segments", "Segments of the log."),
    "queued_bytes": ("queued_bytes", "Bytes that wait to be written to the log."),
    "uploads": ("uploads", "Uploads under way, or not committed yet."),
    "unlisted": ("unlisted", "Versions whose row nobody has confirmed."),
    "quarantined": ("quarantined", "Versions whose bytes did not match their checksums when they were read."),
    "log_damages": ("log_damages", "Stretches of the log that were found damaged at start."),
    "full": ("full", "1: nearly full, only deletions are taken."),
    "failed": ("failed", "1: the disk failed, nothing is written until a restart."),
    "space_total": ("size_bytes", "Size of the file system."),
    "space_free": ("free_bytes", "Room on the file system."),
    "replicas_lacking": ("replicas_lacking", "Versions that the last comparison missed; NaN: a peer was not asked."),
    "databases_lacking": ("databases_lacking", "Databases that it found behind; NaN: a peer was not asked."),
    "rings_version": ("rings_version", "Version of the rings that the device goes by."),
    "partitions_to_copy": ("partitions_to_copy", "Partitions that move here and are not copied yet."),
    "partitions_misplaced": ("partitions_misplaced", "Partitions that moved away and are here still; NaN: not known."),
    "moving_waits": ("moving_waits", "1: partitions cannot be copied or dropped now; status and /healthz say why."),
}


class Replication(Protocol):
    """Counts what it pulls (storage.housekeeping.replicate)."""

    fetched_count: int
    failed_count: int


class Synchronization(Protocol):
    """Counts what it pulls (storage.housekeeping.synchronize)."""

    pulled_count: int


class Rows(Protocol):
    """Counts what it makes good (storage.housekeeping.rows)."""

    added_count: int
    orphan_count: int


class Copying(Protocol):
    """Counts what it copies (storage.housekeeping.join)."""

    copied_objects: int
    copied_databases: int
    copied_bytes: int


class Retiring(Protocol):
    """Counts what it drops (storage.housekeeping.retire)."""

    forgotten_objects: int
    forgotten_databases: int


def register_device(registry: Registry, status: Callable[[], Status]) -> None:
    """Add the state of a device."""
    for key, (name, meaning) in _GAUGES.items():
        registry.gauge(f"holdfast_device_{name}", meaning, _reader(status, key))


def register_housekeeping(
    registry: Registry, replicate: Replication, synchronize: Sequence[Synchronization], rows: Rows
) -> None:
    """Add what is done behind the requests."""
    registry.counter(
        "holdfast_device_versions_fetched_total",
        "Versions that replication fetched from peers.",
        lambda: replicate.fetched_count,
    )
    registry.counter(
        "holdfast_device_fetch_failures_total",
        "Versions that replication could not fetch.",
        lambda: replicate.failed_count,
    )
    registry.counter(
        "holdfast_device_databases_pulled_total",
        "Databases whose changes were pulled from peers.",
        lambda: sum(task.pulled_count for task in synchronize),
    )
    registry.counter(
        "holdfast_device_rows_added_total",
        "Rows added whose proxies had not done so.",
        lambda: rows.added_count,
    )
    registry.counter(
        "holdfast_device_orphans_deleted_total",
        "Objects deleted that no container would ever have listed.",
        lambda: rows.orphan_count,
    )


def register_moves(registry: Registry, join: Copying, retire: Retiring) -> None:
    """Add what changes of the rings make a device do."""
    registry.counter(
        "holdfast_device_objects_copied_total",
        "Versions copied because their partitions move here.",
        lambda: join.copied_objects,
    )
    registry.counter(
        "holdfast_device_bytes_copied_total",
        "Bytes of them.",
        lambda: join.copied_bytes,
    )
    registry.counter(
        "holdfast_device_databases_copied_total",
        "Databases copied because their partitions move here.",
        lambda: join.copied_databases,
    )
    registry.counter(
        "holdfast_device_objects_dropped_total",
        "Versions dropped because their partitions moved away.",
        lambda: retire.forgotten_objects,
    )
    registry.counter(
        "holdfast_device_databases_dropped_total",
        "Databases dropped because their partitions moved away.",
        lambda: retire.forgotten_databases,
    )


def _reader(status: Callable[[], Status], key: str) -> Callable[[], float]:
    return lambda: _number(status()[key])


def _number(value: float | str | None) -> float:
    """Return a figure, 1 for a text that says something, NaN for what is not known."""
    if value is None:
        return math.nan
    return float(bool(value)) if isinstance(value, str) else float(value)
