"""Our ring as daemons have it, without the builder: its files, and lookups."""

from pathlib import Path

from ring import disk, file, swift_ring
from ring.hashing import NameHash
from tests.bench.ring import setting
from tests.bench.ring.setting import FILE_REPEATS, Clock, Figures


def look_up(directory: Path) -> Figures:
    gz, own, clock = directory / "ours.ring.gz", directory / "ours.ring", Clock()
    ring = clock("gz_load_s", lambda: swift_ring.load(gz.read_bytes()), FILE_REPEATS)
    clock("gz_save_s", lambda: disk.write(gz, swift_ring.dump(ring)), FILE_REPEATS)
    clock("own_save_s", lambda: file.write(own, ring), FILE_REPEATS)
    ring = clock("own_load_s", lambda: file.read(own), FILE_REPEATS)
    key = NameHash(setting.PREFIX, setting.SUFFIX).key
    partition, primaries = ring.partition, ring.primaries
    rates = setting.lookup_rates(
        lambda name: primaries(partition(key(setting.ACCOUNT, setting.CONTAINER, name))), primaries
    )
    return clock.figures | rates | {"own_mb": setting.megabytes(own), "gz_mb": setting.megabytes(gz)}


if __name__ == "__main__":
    setting.run(look_up)
