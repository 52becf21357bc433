"""storage.metrics: every figure is there, is true, and is documented."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from cluster.telemetry.metrics import Registry
from storage.metrics import (
    register_chunks,
    register_clearing,
    register_copies,
    register_device,
    register_housekeeping,
    register_moves,
    register_repair,
    register_scrub,
    register_splits,
)
from tests.unit.storage.blob_stores import Device, clock, put, run

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "metrics.md"


def figures(registry: Registry) -> Mapping[str, str]:
    """Return the values of metrics without labels."""
    lines = [line for line in registry.render().splitlines() if not line.startswith("#")]
    return {name.removeprefix("holdfast_device_"): value for name, value in (line.split() for line in lines)}


def test_a_devices_state_is_shown_as_it_is_now(tmp_path: Path) -> None:
    registry = Registry()

    async def body() -> None:
        async with Device(tmp_path / "d") as store:
            lacking = {"replicas_lacking": 3, "databases_lacking": None, "partitions_misplaced": None}
            moving = {"rings_version": 7, "partitions_to_copy": 2, "moving_waits": "device 3 is down"}
            garbage = {"reclaim_waits": "", "unrecoverable": 0, "databases_damaged": 0}
            losing = {"rebuilding": True, "partitions_to_rebuild": 5, "partitions_stood_in": 0}
            volumes = {"chunks": 9, "chunks_lacking": 1, "chunks_damaged": 0, "chunks_differ": 0}
            splits = {"split_containers": 1, "container_ranges": 2, "splitting_waits": ""}
            told = {**lacking, **moving, **losing, **volumes, **splits, **garbage}
            register_device(registry, lambda: {**told, **store.status()})
            before = figures(registry)
            await store.put(put("a", clock.now()), b"data")
            shown = figures(registry)
            assert (before["versions"], shown["versions"], shown["unlisted"]) == ("0", "1", "1")
            assert (shown["replicas_lacking"], shown["databases_lacking"]) == ("3", "NaN")
            assert (shown["chunks"], shown["chunks_lacking"]) == ("9", "1")
            assert (shown["rings_version"], shown["partitions_to_copy"], shown["moving_waits"]) == ("7", "2", "1")
            assert shown["partitions_misplaced"] == "NaN"
            assert (shown["failed"], shown["full"]) == ("0", "0")
            assert 0 < int(shown["free_bytes"]) < int(shown["size_bytes"])

    run(body)


def test_a_failure_is_shown_as_1() -> None:
    registry = Registry()
    register_device(registry, lambda: defaultdict(int, failed="EIO", full=True))
    assert (figures(registry)["failed"], figures(registry)["full"]) == ("1", "1")


def complete() -> Registry:
    """Return a registry with all that a storage daemon counts of its own."""
    registry = Registry()
    register_device(registry, lambda: defaultdict(int))
    pulls = [SimpleNamespace(pulled_count=3), SimpleNamespace(pulled_count=4)]
    replicate = SimpleNamespace(fetched_count=1, failed_count=2)
    register_housekeeping(registry, replicate, pulls, SimpleNamespace(added_count=5, orphan_count=6))
    join = SimpleNamespace(copied_objects=7, copied_bytes=8, copied_databases=9)
    register_moves(registry, join, SimpleNamespace(forgotten_objects=10, forgotten_databases=11))
    register_copies(registry, SimpleNamespace(copied_objects=25, copied_bytes=26))
    scrub = SimpleNamespace(read_bytes=20, pass_count=21, share=0.5, found_count=22, healed_count=23)
    register_scrub(registry, scrub, SimpleNamespace(failed_count=24))
    rebuild, stand_in = (SimpleNamespace(copied_objects=at, copied_bytes=at + 1) for at in (30, 32))
    register_repair(registry, rebuild, stand_in, SimpleNamespace(rate=34))
    pulling = SimpleNamespace(pulled_count=38, pulled_bytes=39)
    comparison = SimpleNamespace(pulled_count=40, failed_count=41, mended_count=45)
    rebuilt, joined = SimpleNamespace(copied_chunks=42), SimpleNamespace(copied_chunks=43)
    register_chunks(registry, pulling, comparison, rebuilt, joined, SimpleNamespace(forgotten_chunks=44))
    split = SimpleNamespace(split_count=12, merge_count=13, settled_count=14, moved_rows=15, longest_freeze_s=0.5)
    register_splits(registry, split)
    reclaim = SimpleNamespace(reclaimed_count=16, kept_count=17)
    orphans = SimpleNamespace(looked_at_count=20, deleted_count=21, doubtful_count=22)
    databases = SimpleNamespace(reclaimed_rows=35, reclaimed_databases=36, kept_count=37)
    register_clearing(registry, reclaim, databases, SimpleNamespace(expired_count=18, undecided_count=19), orphans)
    return registry


def test_what_housekeeping_did_is_counted() -> None:
    shown = figures(complete())
    counted = {name: value for name, value in shown.items() if name.endswith("_total")}
    assert counted == {
        "versions_fetched_total": "1",
        "fetch_failures_total": "2",
        "databases_pulled_total": "7",
        "rows_added_total": "5",
        "orphans_deleted_total": "6",
        "objects_copied_total": "7",
        "bytes_copied_total": "8",
        "databases_copied_total": "9",
        "objects_dropped_total": "10",
        "databases_dropped_total": "11",
        "scrubbed_bytes_total": "20",
        "scrub_passes_total": "21",
        "damage_found_total": "22",
        "damage_healed_total": "23",
        "healing_failures_total": "24",
        "container_splits_total": "12",
        "container_merges_total": "13",
        "splits_settled_total": "14",
        "split_rows_total": "15",
        "tombstones_reclaimed_total": "16",
        "rows_reclaimed_total": "35",
        "databases_reclaimed_total": "36",
        "objects_expired_total": "18",
        "expiries_repeated_total": "19",
        "parts_checked_total": "20",
        "parts_deleted_total": "21",
        "parts_doubtful_total": "22",
        "copies_total": "25",
        "copies_bytes_total": "26",
        "objects_rebuilt_total": "30",
        "bytes_rebuilt_total": "31",
        "objects_stood_in_total": "32",
        "bytes_stood_in_total": "33",
        "chunks_copied_total": "38",
        "chunks_copied_bytes_total": "39",
        "chunks_missed_total": "40",
        "chunks_missed_failures_total": "41",
        "chunks_mended_total": "45",
        "chunks_rebuilt_total": "42",
        "chunks_moved_here_total": "43",
        "chunks_dropped_total": "44",
    }


def test_the_documentation_lists_what_is_there() -> None:
    listed = re.findall(r"^\| `holdfast_device_(\w+)` \| (?:gauge|counter) \|", DOCUMENTATION.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(figures(complete()))
