"""OpenStack Swift's ring: its file, and lookups."""

from functools import partial
from pathlib import Path
from unittest.mock import patch

from swift.common.ring import Ring, RingData

from tests.bench.ring import setting
from tests.bench.ring.setting import FILE_REPEATS, Clock, Figures


def look_up(directory: Path) -> Figures:
    gz, clock = directory / "swift.ring.gz", Clock()
    clock("gz_save_s", partial(RingData.load(str(gz)).save, str(gz)), FILE_REPEATS)
    with (
        patch("swift.common.utils.HASH_PATH_PREFIX", setting.PREFIX),
        patch("swift.common.utils.HASH_PATH_SUFFIX", setting.SUFFIX),
    ):
        ring = clock("gz_load_s", lambda: Ring(str(gz)), FILE_REPEATS)
        get_nodes = ring.get_nodes
        rates = setting.lookup_rates(
            lambda name: get_nodes(setting.ACCOUNT, setting.CONTAINER, name), ring.get_part_nodes
        )
    figures = clock.figures | {"gz_mb": setting.megabytes(gz)}
    own = {name.replace("gz_", "own_"): value for name, value in figures.items()}  # it has this format only
    return figures | own | rates


if __name__ == "__main__":
    setting.run(look_up)
