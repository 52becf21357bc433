"""Keeping older gateways out of a layer: devices are told to take nothing of an older epoch any more.

A promise counts as long as the connection lasts in which it was made. A device that loses its data is another process
afterwards; it gets back what it had promised from those who had promised the same by the time that it asks them, which
is SETTLE_S after (storage.housekeeping.rebuild). Whoever promises later does not count together with it.
"""

import asyncio

from blockgw.errors import VolumeError
from blockgw.inventory import is_enough
from blockgw.volumes.devices import DevicePlacing
from storage.client import Placement

FENCE_RETRY_S = 0.2
FENCE_S = 20.0


async def fence(placement: Placement, placing: DevicePlacing, layer: int, epoch: int) -> None:
    """Leave no quorum of any chunk of `layer` to epochs older than `epoch`. Raise VolumeError after FENCE_S."""
    deadline = asyncio.get_running_loop().time() + FENCE_S
    fenced: dict[int, int] = {}  # device -> the connection in which it has promised
    while True:
        devices = placing.devices()
        left = {device: each for device, each in devices.items() if fenced.get(device) != each.run}
        calls = {device: each.fence(layer, epoch) for device, each in left.items()}
        if calls:
            await asyncio.wait(calls.values())
        fenced |= {device: call.result() for device, call in calls.items() if call.exception() is None}
        if is_enough(placement, {device for device, each in devices.items() if fenced.get(device) == each.run}):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise VolumeError("too few devices can be reached to open a volume")
        await asyncio.sleep(FENCE_RETRY_S)
