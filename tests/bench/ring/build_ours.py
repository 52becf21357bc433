"""Our builder: three rebalances and the builder file."""

from functools import partial
from pathlib import Path

from ring import disk, formats
from ring.builder import RingBuilder
from ring.device import Device
from ring.formats import Format
from tests.bench.ring import setting
from tests.bench.ring.setting import FILE_REPEATS, Clock, Figures


def build(directory: Path) -> Figures:
    clock = Clock()
    builder = RingBuilder.create(setting.PART_POWER, setting.REPLICAS, 1)
    for device_id in range(setting.DEVICES):
        builder = builder.add(Device(**setting.device_fields(device_id)))
    for number, phase in enumerate(setting.PHASES):
        if phase == "removed":
            builder = builder.remove(setting.REMOVED)
        now_s = setting.START_S + number * setting.PAUSE_S
        builder, _report = clock(f"{phase}_s", partial(builder.rebalance, setting.SEED + number, now_s))
        setting.save_rows(directory / f"ours-{phase}", builder.rows)
    clock.figures["peak_mb"] = setting.peak_mb()
    path = directory / "ours.builder"
    clock("builder_save_s", lambda: disk.write(path, formats.dump_builder(builder, Format.SWIFT)), FILE_REPEATS)
    clock("builder_load_s", lambda: formats.read_builder(path), FILE_REPEATS)
    disk.write(directory / "ours.ring.gz", formats.dump_ring(builder.to_ring(), Format.SWIFT))
    return clock.figures | {"builder_mb": setting.megabytes(path)}


if __name__ == "__main__":
    setting.run(build)
