"""OpenStack Swift's builder: three rebalances and the builder file."""

from functools import partial
from pathlib import Path
from unittest.mock import patch

from swift.common.ring import RingBuilder

from tests.bench.ring import setting
from tests.bench.ring.setting import FILE_REPEATS, Clock, Figures


def build(directory: Path) -> Figures:
    clock = Clock()
    builder = RingBuilder(setting.PART_POWER, setting.REPLICAS, 1)
    for device_id in range(setting.DEVICES):
        builder.add_dev(setting.device_fields(device_id))
    for number, phase in enumerate(setting.PHASES):
        if phase == "removed":
            builder.remove_dev(setting.REMOVED)
        with patch("swift.common.ring.builder.time", return_value=setting.START_S + number * setting.PAUSE_S):
            clock(f"{phase}_s", partial(builder.rebalance, setting.SEED + number))
        setting.save_rows(directory / f"swift-{phase}", builder._replica2part2dev)
    clock.figures["peak_mb"] = setting.peak_mb()
    path = directory / "swift.builder"
    clock("builder_save_s", lambda: builder.save(str(path)), FILE_REPEATS)
    clock("builder_load_s", lambda: RingBuilder.load(str(path)), FILE_REPEATS)
    builder.get_ring().save(str(directory / "swift.ring.gz"))
    return clock.figures | {"builder_mb": setting.megabytes(path)}


if __name__ == "__main__":
    setting.run(build)
