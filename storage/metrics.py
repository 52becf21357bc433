"""What a storage daemon tells of its device in figures: read when somebody looks, so that they cost nothing else."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cluster.telemetry.metrics import Registry
from storage.health.condition import Health

Status = Mapping[str, Any]

_GAUGES = {  # of the device's status -> what follows holdfast_device_, meaning
    "blobs": ("versions", "Objects and tombstones, the newest version of each name."),
    "live_bytes": ("live_bytes", "Bytes of the log that are still needed."),
    "segments": ("log_segments", "Segments of the log."),
    "queued_bytes": ("queued_bytes", "Bytes that wait to be written to the log."),
    "uploads": ("uploads", "Uploads under way, or not committed yet."),
    "unlisted": ("unlisted", "Versions whose row nobody has confirmed."),
    "quarantined": ("quarantined", "Versions whose bytes did not match their checksums when they were read."),
    "unrecoverable": ("unrecoverable", "Of them, those that no other replica has either."),
    "databases_damaged": ("databases_damaged", "Databases that were found damaged, and are being made anew."),
    "log_damages": ("log_damages", "Stretches of the log that were found damaged at start."),
    "full": ("full", "1: nearly full, only deletions are taken."),
    "failed": ("failed", "1: the disk failed, nothing is written until a restart."),
    "space_total": ("size_bytes", "Size of the file system."),
    "space_free": ("free_bytes", "Room on the file system."),
    "replicas_lacking": ("replicas_lacking", "Versions that the last comparison missed; NaN: a peer was not asked."),
    "chunks": ("chunks", "Replicas of chunks of volumes, in all their layers."),
    "chunks_lacking": ("chunks_lacking", "Chunks that the last comparison missed; NaN: a peer was not asked."),
    "chunks_damaged": ("chunks_damaged", "Chunks that the disk could not read, and that are not replaced yet."),
    "chunks_differ": ("chunks_differ", "Chunks whose replicas differ at one version, no quorum of them agreeing."),
    "databases_lacking": ("databases_lacking", "Databases that it found behind; NaN: a peer was not asked."),
    "rings_version": ("rings_version", "Version of the rings that the device goes by."),
    "partitions_to_copy": ("partitions_to_copy", "Partitions that move here and are not copied yet."),
    "partitions_misplaced": ("partitions_misplaced", "Partitions that moved away and are here still; NaN: not known."),
    "rebuilding": ("rebuilding", "1: the device lost data, and does not vote on all of it yet."),
    "partitions_to_rebuild": ("partitions_to_rebuild", "Partitions that are not whole again yet."),
    "partitions_stood_in": ("partitions_stood_in", "Partitions that are here because another device is down."),
    "split_containers": ("split_containers", "Split containers whose root is here, as far as they were touched."),
    "container_ranges": ("container_ranges", "Ranges of split containers that are here, likewise."),
    "splitting_waits": ("splitting_waits", "1: a split that is due cannot be done now; status and /healthz say why."),
    "tombstones": ("tombstones", "Names that are deleted, and are remembered as such."),
    "graves": ("graves", "Names that are forgotten, of which older records may be in the log."),
    "expiring": ("expiring", "Objects that will expire."),
    "reclaim_waits": ("reclaim_waits", "1: old tombstones cannot be given up now; status and /healthz say why."),
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


class Scrubbing(Protocol):
    """Counts what it reads and finds (storage.housekeeping.scrub)."""

    read_bytes: int
    pass_count: int

    @property
    def share(self) -> float: ...
    @property
    def found_count(self) -> int: ...
    @property
    def healed_count(self) -> int: ...


class Healing(Protocol):
    """Counts what it could not heal (storage.housekeeping.heal)."""

    failed_count: int


class Splitting(Protocol):
    """Counts what it splits (storage.housekeeping.split)."""

    split_count: int
    merge_count: int
    settled_count: int

    @property
    def moved_rows(self) -> int:
        """Rows that were copied."""

    @property
    def longest_freeze_s(self) -> float:
        """How long writers had to wait, at most."""


class Copying(Protocol):
    """Counts what it copies (storage.housekeeping.join)."""

    @property
    def copied_objects(self) -> int: ...
    @property
    def copied_databases(self) -> int: ...
    @property
    def copied_bytes(self) -> int: ...


class Copies(Protocol):
    """Counts the copies that it makes, for whatever reason (storage.service)."""

    @property
    def copied_objects(self) -> int: ...
    @property
    def copied_bytes(self) -> int: ...


class ChunkPulling(Protocol):
    """Counts the chunks that it copies, for whatever reason (storage.chunks.pulls)."""

    pulled_count: int
    pulled_bytes: int


class ChunkComparing(Protocol):
    """Counts the chunks that it makes good (storage.housekeeping.replicate_chunks)."""

    pulled_count: int
    failed_count: int
    mended_count: int


class ChunkCopying(Protocol):
    """Counts the chunks that it copies (storage.housekeeping.rebuild, join)."""

    @property
    def copied_chunks(self) -> int: ...


class ChunkDropping(Protocol):
    """Counts the chunks that it drops (storage.housekeeping.retire)."""

    @property
    def forgotten_chunks(self) -> int: ...


class Hardware(Protocol):
    """Watches the disk (storage.health.monitor)."""

    health: Health

    @property
    def beat_s(self) -> float:
        """How long the last heartbeat took."""


class Repairing(Protocol):
    """Counts what it copies (storage.housekeeping.rebuild, stand_in)."""

    @property
    def copied_objects(self) -> int: ...
    @property
    def copied_bytes(self) -> int: ...


class Rate(Protocol):
    """Bytes per second (storage.housekeeping.budget)."""

    @property
    def rate(self) -> float: ...


class Reclaiming(Protocol):
    """Counts what it gives up (storage.housekeeping.reclaim)."""

    reclaimed_count: int
    kept_count: int


class ReclaimingDatabases(Protocol):
    """Counts what it gives up (storage.housekeeping.reclaim_databases)."""

    reclaimed_rows: int
    reclaimed_databases: int
    kept_count: int


class Expiring(Protocol):
    """Counts what it deletes (storage.housekeeping.expire)."""

    expired_count: int
    undecided_count: int


class Orphaned(Protocol):
    """Counts what it deletes (storage.housekeeping.orphans)."""

    looked_at_count: int
    deleted_count: int
    doubtful_count: int


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


def register_hardware(registry: Registry, monitor: Hardware, clock_off_s: Callable[[], float | None]) -> None:
    """Add how the disk and the clock are."""
    registry.gauge(
        "holdfast_device_service",
        "What the disk's state allows: 4 all, 3 no copies, 2 no new data, 1 reads of objects, 0 nothing.",
        lambda: float(monitor.health.service),
    )
    registry.gauge(
        "holdfast_device_heartbeat_seconds",
        "Time that the disk took for a small write, synced.",
        lambda: monitor.beat_s,
    )
    registry.gauge(
        "holdfast_device_clock_off_seconds",
        "How far the wall clock is ahead of the median of the peers'; NaN: not known.",
        lambda: _number(clock_off_s()),
    )


def register_scrub(registry: Registry, scrub: Scrubbing, heal: Healing) -> None:
    """Add what is read to find damage, and what becomes of it."""
    registry.counter(
        "holdfast_device_scrubbed_bytes_total",
        "Bytes read to see whether they are what was written.",
        lambda: scrub.read_bytes,
    )
    registry.counter(
        "holdfast_device_scrub_passes_total",
        "Passes over all of the device that were finished.",
        lambda: scrub.pass_count,
    )
    registry.gauge(
        "holdfast_device_scrub_done_ratio",
        "Share of the pass under way that is done; 1 between two passes.",
        lambda: scrub.share,
    )
    registry.counter(
        "holdfast_device_damage_found_total",
        "What did not match its checksums, found by reads or by scrub.",
        lambda: scrub.found_count,
    )
    registry.counter(
        "holdfast_device_damage_healed_total",
        "What of it was made good.",
        lambda: scrub.healed_count,
    )
    registry.counter(
        "holdfast_device_healing_failures_total",
        "Damaged versions that could not be fetched from another replica, each time that was tried.",
        lambda: heal.failed_count,
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


def register_copies(registry: Registry, service: Copies) -> None:
    """Add what was copied from peers in all: for changes of the rings, repair, replication and reads."""
    registry.counter(
        "holdfast_device_copies_total", "Versions copied from peers, for any reason.", lambda: service.copied_objects
    )
    registry.counter("holdfast_device_copies_bytes_total", "Bytes of them.", lambda: service.copied_bytes)


def register_chunks(
    registry: Registry,
    pulls: ChunkPulling,
    comparison: ChunkComparing,
    rebuild: ChunkCopying,
    join: ChunkCopying,
    retire: ChunkDropping,
) -> None:
    """Add what becomes of chunks of volumes behind the requests."""
    counters: tuple[tuple[str, str, Callable[[], float]], ...] = (
        ("copied", "Chunks copied from peers, for any reason.", lambda: pulls.pulled_count),
        ("copied_bytes", "Bytes of them.", lambda: pulls.pulled_bytes),
        ("missed", "Chunks copied that this device had missed.", lambda: comparison.pulled_count),
        ("missed_failures", "Those and damaged ones that could not be, each time.", lambda: comparison.failed_count),
        ("mended", "Chunks copied that the disk could not read here.", lambda: comparison.mended_count),
        ("rebuilt", "Chunks copied because this device had lost its data.", lambda: rebuild.copied_chunks),
        ("moved_here", "Chunks copied because their partitions move here.", lambda: join.copied_chunks),
        ("dropped", "Chunks dropped because their partitions moved away.", lambda: retire.forgotten_chunks),
    )
    for name, meaning, value in counters:
        registry.counter(f"holdfast_device_chunks_{name}_total", meaning, value)


def register_repair(registry: Registry, rebuild: Repairing, stand_in: Repairing, budget: Rate) -> None:
    """Add what is copied because data, or devices, are gone."""
    registry.counter(
        "holdfast_device_objects_rebuilt_total",
        "Versions copied because this device had lost its data.",
        lambda: rebuild.copied_objects,
    )
    registry.counter("holdfast_device_bytes_rebuilt_total", "Bytes of them.", lambda: rebuild.copied_bytes)
    registry.counter(
        "holdfast_device_objects_stood_in_total",
        "Versions copied because another device is down.",
        lambda: stand_in.copied_objects,
    )
    registry.counter("holdfast_device_bytes_stood_in_total", "Bytes of them.", lambda: stand_in.copied_bytes)
    registry.gauge(
        "holdfast_device_repair_bytes_per_s",
        "Bytes per second that copying may take now, by what clients feel.",
        lambda: budget.rate,
    )


def register_clearing(
    registry: Registry, reclaim: Reclaiming, databases: ReclaimingDatabases, expire: Expiring, orphans: Orphaned
) -> None:
    """Add what is done about garbage."""
    registry.counter(
        "holdfast_device_tombstones_reclaimed_total",
        "Old tombstones that this device had all devices give up.",
        lambda: reclaim.reclaimed_count,
    )
    registry.gauge(
        "holdfast_device_tombstones_kept",
        "Old tombstones that the last pass left, because some device has something else of the name.",
        lambda: reclaim.kept_count,
    )
    registry.counter(
        "holdfast_device_rows_reclaimed_total",
        "Rows deleted long ago that this device had all devices forget.",
        lambda: databases.reclaimed_rows,
    )
    registry.counter(
        "holdfast_device_databases_reclaimed_total",
        "Databases deleted or moved away long ago that this device had all devices forget.",
        lambda: databases.reclaimed_databases,
    )
    registry.gauge(
        "holdfast_device_rows_kept",
        "Such rows and databases that the last pass left, because some device has something else of the name.",
        lambda: databases.kept_count,
    )
    registry.counter(
        "holdfast_device_objects_expired_total",
        "Expired objects that this device has deleted.",
        lambda: expire.expired_count,
    )
    registry.counter(
        "holdfast_device_expiries_repeated_total",
        "Attempts at that which have to be repeated.",
        lambda: expire.undecided_count,
    )
    registry.counter(
        "holdfast_device_parts_checked_total",
        "Parts and entries of S3 uploads that were looked at, whether something names them.",
        lambda: orphans.looked_at_count,
    )
    registry.counter(
        "holdfast_device_parts_deleted_total",
        "Those that nothing named, and that were deleted.",
        lambda: orphans.deleted_count,
    )
    registry.counter(
        "holdfast_device_parts_doubtful_total",
        "Those that were left because too few replicas agreed.",
        lambda: orphans.doubtful_count,
    )


def register_splits(registry: Registry, split: Splitting) -> None:
    """Add what is done to large containers."""
    registry.counter(
        "holdfast_device_container_splits_total",
        "Containers, and ranges of them, that this device has split.",
        lambda: split.split_count,
    )
    registry.counter(
        "holdfast_device_container_merges_total",
        "Times that this device has merged ranges of a container.",
        lambda: split.merge_count,
    )
    registry.counter(
        "holdfast_device_splits_settled_total",
        "Splits and merges that were begun elsewhere, and that this device has finished.",
        lambda: split.settled_count,
    )
    registry.counter(
        "holdfast_device_split_rows_total", "Rows copied by splits and merges.", lambda: split.moved_rows
    )
    registry.gauge(
        "holdfast_device_split_longest_freeze_seconds",
        "How long writers of a container had to wait at most for the end of a split, since the start.",
        lambda: split.longest_freeze_s,
    )


def _reader(status: Callable[[], Status], key: str) -> Callable[[], float]:
    return lambda: _number(status()[key])


def _number(value: float | str | None) -> float:
    """Return a figure, 1 for a text that says something, NaN for what is not known."""
    if value is None:
        return math.nan
    return float(bool(value)) if isinstance(value, str) else float(value)
