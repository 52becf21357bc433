"""storage.log on a device whose fdatasync fails: what the next process finds is there after a power cut, too."""

import random
from functools import partial

import pytest

from storage.log.device import DeviceLog
from storage.log.interface import START, DeviceFailed
from tests.sim.disk import Keep, SimulatedDisk, Storage
from tests.sim.process import Process
from tests.sim.test_loop import play
from tests.sim.threads import SimulatedCommitter, SimulatedWaiters

ROOT = "/tmp/sim-log-test"
KIND = 1


def opened(storage: Storage, life: int) -> DeviceLog:
    chance = random.Random(life)
    return DeviceLog(
        ROOT,
        disk=SimulatedDisk(storage, Process("h", f"h.{life}")),
        waiters=SimulatedWaiters(chance, 100, 1, lambda: 1e-4),
        entropy=random.Random(0).randbytes,
        committer=partial(SimulatedCommitter, pace=lambda: 1e-4),
    )


async def _scenario(seed: int) -> tuple[list[bytes], list[bytes]]:
    """Return what is found after a failed sync by a process that begins anew, and after a power cut thereafter."""
    storage = Storage(random.Random(seed))
    log = opened(storage, 1)
    log.register(KIND, lambda _batch: None)
    log.start()
    await log.append(KIND, b"first")
    storage.faults.sync_error = 1.0
    with pytest.raises(DeviceFailed):
        await log.append(KIND, b"second")
    storage.faults.sync_error = 0.0
    found = [record.metadata for record in opened(storage, 2).scan(START)]  # the process dies, the kernel does not
    for file in storage.names.values():
        file.lose_power(storage.chance, Keep(0.0))
    again = [record.metadata for record in opened(storage, 3).scan(START)]
    return found, again


@pytest.mark.parametrize("seed", range(8))
def test_what_a_process_finds_after_a_failed_sync_it_finds_after_a_power_cut(seed: int) -> None:
    found, again = play(_scenario(seed))
    assert found[0] == b"first"
    assert again == found
