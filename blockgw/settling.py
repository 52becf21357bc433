"""Makes replicas agree on a whole layer, before it becomes a snapshot's.

What the last writer of a volume has left on fewer replicas than a quorum is settled when a chunk is touched
(blockgw.volumes.opening), by a write, for which one must have the volume. Who reads a snapshot has not: he takes the
newest version that a quorum has, and finds a newer one when a device comes back that was away. So before a layer is
frozen all its chunks are touched of which some member may have another version. That costs what devices list, and
nothing for a volume that its last writer has closed in order.

Left out: a chunk that is nowhere but on a device that is away now.
"""

import asyncio

from blockgw.holding import Opened
from blockgw.inventory import Inventory, placing_of
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.volume import OpenVolume
from storage.client import Placement

WIDTH = 32  # chunks at a time


async def settle(placement: Placement, opened: Opened) -> None:
    """Have replicas agree on each chunk of the layer that is written to, once all is quiet. Raise VolumeError."""
    volume, family = opened.volume, opened.about.family
    if volume.settled:
        return
    placing = placing_of(placement, family)
    everybody = await _fenced_everywhere(placing, volume)
    inventory = Inventory(placement, bytes.fromhex(family))
    async for rows in inventory.pages((volume.layer,)):
        doubtful = [
            row.number
            for row in rows
            if row.layers[volume.layer].holders < len(placing.members(row.number).replicas)
        ]
        for start in range(0, len(doubtful), WIDTH):
            await asyncio.gather(*(_touch(volume, number) for number in doubtful[start : start + WIDTH]))
    volume.settled = everybody and inventory.unanimous


async def _fenced_everywhere(placing: DevicePlacing, volume: OpenVolume) -> bool:
    """Have devices take nothing of who had the volume before; tell whether all have promised that."""
    fences = [device.fence(volume.layer, volume.epoch) for device in placing.devices().values()]
    outcomes = await asyncio.gather(*fences, return_exceptions=True)
    return not any(isinstance(outcome, BaseException) for outcome in outcomes)


async def _touch(volume: OpenVolume, number: int) -> None:
    await volume.ensure(volume.chunk(number))
