"""Brings chunks of older layers up into a newer one, durably, while clients go on: what flatten and merge share.

A chunk is brought up by each device for itself, by a write of nothing on top of the older one (`OpenVolume.claim`);
with reflinks that copies no data. What the newer layer has already is left alone: writers may build on that very
version. It may have been brought up by somebody who has died, and be durable nowhere: so devices are flushed before
and after, and must be in the same run at both times.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from blockgw.errors import VolumeError
from blockgw.holding import Holder, Opened
from blockgw.inventory import Inventory, is_enough, placing_of
from blockgw.maintenance.jobs import Job
from blockgw.volumes.volume import OpenVolume

WIDTH = 4  # chunks at a time
REST = 1.0  # of the time that a batch took nothing is done, for clients to go on


@contextmanager
def pinned(gateway: Holder, opened: Opened) -> Iterator[None]:
    """Keep a volume open."""
    opened.pins += 1
    try:
        yield
    finally:
        opened.pins -= 1
        if not opened.users and not opened.pins and gateway.held(opened.about.name) is opened:
            gateway.close_later(opened)


async def claim_all(
    gateway: Holder, family: str, target: OpenVolume, layers: Sequence[int], job: Job
) -> set[int]:
    """Have all chunks of `layers` in the newest layer of `target`, durably; return which layers that has been.

    Raise VolumeError. There may be several when a snapshot is taken meanwhile.
    """
    inventory = Inventory(gateway.placement, bytes.fromhex(family))
    job.done, job.total = 0, 0
    async for rows in inventory.pages(layers):
        job.total += len(rows)
    before = await _flush(gateway, family, target.layer)
    seen = {target.layer}
    async for rows in inventory.pages(layers):
        for start in range(0, len(rows), WIDTH):
            numbers = [row.number for row in rows[start : start + WIDTH]]
            seen |= await _claim(target, numbers, layers)
            job.done += len(numbers)
    after = await _flush(gateway, family, target.layer)
    if not is_enough(gateway.placement, {device for device, run in before.items() if after.get(device) == run}):
        raise VolumeError("devices have started again meanwhile; it is done once more")
    return seen


async def _claim(target: OpenVolume, numbers: Collection[int], layers: Collection[int]) -> set[int]:
    """Have some chunks in the newest layer; return which that was, for each of them."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    claims = [loop.create_task(target.claim(number, layers)) for number in numbers]
    try:
        newest = await asyncio.gather(*claims)
    finally:
        for claim in claims:
            claim.cancel()
    await asyncio.sleep(REST * (loop.time() - began_s))
    return set(newest)


async def _flush(gateway: Holder, family: str, layer: int) -> dict[int, int]:
    """Have devices make durable what they have; return the runs of those that did."""
    calls = {number: device.flush(layer) for number, device in placing_of(gateway.placement, family).devices().items()}
    outcomes = await asyncio.gather(*calls.values(), return_exceptions=True)
    answers = zip(calls, outcomes, strict=True)
    return {number: outcome for number, outcome in answers if not isinstance(outcome, BaseException)}
