"""`[storage]`: the storage daemons."""

from dataclasses import dataclass
from typing import Annotated

from cluster.config.units import DAY_S, GiB, KiB, MiB
from cluster.settings import Limits, Meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """Storage daemons."""

    segment_bytes: Annotated[
        int,
        Meaning(
            "Size at which a log segment is closed and the next begun. Small: many files; large: compaction "
            "and recovery work in larger steps."
        ),
        Limits(MiB, 4 * GiB),
    ] = 256 * MiB
    max_open_indexes: Annotated[
        int,
        Meaning(
            "Container and account databases that a device keeps open; each takes two file descriptors and "
            "about 260 kB. Small: busy ones are opened again and again."
        ),
        Limits(8, 100_000),
    ] = 128
    upload_ttl_s: Annotated[
        float,
        Meaning("Time after which an upload that was never committed is dropped from a device."),
        Limits(60),
    ] = 3600.0
    container_split_rows: Annotated[
        int,
        Meaning(
            "Objects of a container, or of a range of it, beyond which it is split into ranges of names with "
            "databases of their own; neighbours are merged when an eighth of that is left of them together. Small: "
            "many databases, longer ways for listings that cross them; large: one device's database grows, and a "
            "split copies more. 0: never."
        ),
        Limits(0),
    ] = 1_000_000
    replication_interval_s: Annotated[
        float,
        Meaning(
            "Time between two comparisons of a device with its peers. Small: more idle load; large: a "
            "replica that missed a write stays behind for longer."
        ),
        Limits(0.1, DAY_S),
    ] = 30.0
    rebalance_bytes_per_s: Annotated[
        int,
        Meaning(
            "Bytes that a device copies or hands over per second when partitions move; each object counts for 16 KiB "
            "more. Small: a change of the rings takes longer; large: clients wait longer meanwhile. 0: no limit."
        ),
        Limits(0),
    ] = 64 * MiB
    repair_bytes_per_s: Annotated[
        int,
        Meaning(
            "Bytes per second that a device copies at most, whatever for: to itself, and for others; each object "
            "counts for 16 KiB more. Below that the rate follows what clients feel. Small: redundancy takes longer to "
            "come back. 0: no limit."
        ),
        Limits(0),
    ] = 0
    min_repair_bytes_per_s: Annotated[
        int,
        Meaning(
            "The same at least, however busy clients keep the device. Small: under a steady load lost replicas are not "
            "rebuilt for long; large: clients wait longer meanwhile."
        ),
        Limits(64 * KiB),
    ] = 8 * MiB
    handoff_after_s: Annotated[
        float,
        Meaning(
            "Time that a device is down before others keep replicas of what it holds until it is back. Small: much is "
            "copied for a restart; large: another failure meets fewer replicas. 0: never."
        ),
        Limits(0),
    ] = 600.0
    heartbeat_interval_s: Annotated[
        float,
        Meaning(
            "Time between two looks at a device's disk: a block is written, synced and read back. Small: an idle disk "
            "is kept awake; large: one that fails while nobody writes is found out later."
        ),
        Limits(0.1, 3600),
    ] = 2.0
    hang_after_s: Annotated[
        float,
        Meaning(
            "Time without an answer from the disk after which a device counts as hanging: it refuses everything at "
            "once, until the disk answers. Small: a busy disk is taken for a sick one; large: a device that others "
            "must do without keeps them waiting."
        ),
        Limits(0.2, 600),
    ] = 2.0
    require_mount: Annotated[
        bool,
        Meaning(
            "Devices are used only if their directory is a mount point. Without it a directory that never was one is "
            "taken as it is; one that was, and is none any more, is never filled either way."
        ),
    ] = False
    scrub_bytes_per_s: Annotated[
        int,
        Meaning(
            "Bytes that a device reads per second to find what is damaged, at most: clients come first. Small: a pass "
            "takes longer than scrub_cycle_s, and status warns. 0: nothing is read that no client asks for."
        ),
        Limits(0),
    ] = 20 * MiB
    scrub_cycle_s: Annotated[
        float,
        Meaning(
            "Time from the beginning of one pass over all bytes of a device to the next. Small: disks are read all the "
            "time; large: damage to two replicas of an object may come together before one is found."
        ),
        Limits(60),
    ] = 14 * DAY_S
    reclaim_age_s: Annotated[
        float,
        Meaning(
            "Age from which the record of a deletion is given up, once every device has heard of it. Small: writes of "
            "a client that slept for longer are put behind others; large: deleted names take space for longer."
        ),
        Limits(60, 3650 * DAY_S),
    ] = 7 * DAY_S
    orphan_grace_s: Annotated[
        float,
        Meaning(
            "Time after the end of an S3 multipart upload from which parts of it that no object is made of are "
            "deleted. Small: less than a proxy may take to complete an upload; large: such parts take space for longer."
        ),
        Limits(60, 3650 * DAY_S),
    ] = 3600.0
    warn_full_ratio: Annotated[
        float,
        Meaning("Used share of a device's file system from which status warns."),
        Limits(0, 1),
    ] = 0.85
    copies_full_ratio: Annotated[
        float,
        Meaning("Used share from which a device takes no copies of partitions that move, or for others that are down."),
        Limits(0, 1),
    ] = 0.90
    refuse_full_ratio: Annotated[
        float,
        Meaning("Used share from which clients' writes are refused. Deletions still work."),
        Limits(0, 1),
    ] = 0.95
