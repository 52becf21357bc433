"""How much the index store of a device does at once, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """Bounds and rhythms of one device's index store."""

    split_rows: int = 0  # live rows of a container, or of a range of it, beyond which it is split; 0: never

    merge_rows: int = 1000  # pending rows of a database that are merged at once; more: larger, cheaper batches
    merge_delay_s: float = 0.5  # the oldest pending row is merged after this; reads never wait for it
    waiting_rows: int = 50_000  # pending in all, about 1 KB of memory each; beyond, rows are refused BUSY
    states: int = 4096  # databases known in memory, about 1 KB each; a first row to another one reads its file
    handles: int = 128  # open databases, 2 files and about 0.26 MB each (measured), more for large ones
    jobs: int = 1000  # waiting for the database thread; beyond, BUSY
    checkpoint_delay_s: float = 30.0  # between checkpoints; longer: more to replay after a crash
    checkpoint_bytes: int = 32 << 20  # of records since the last checkpoint; the same
    sync_rows: int = 2000  # per page pulled from a peer


DEFAULT_TUNING = Tuning()
