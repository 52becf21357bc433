"""Gives back the layers that deleted snapshots have left: each is merged into the layer above it, then dropped.

Invariant: a layer leaves a chain only when every chunk that it has is, durably on a quorum, in the layer right above
it, in that chain and in all others. So a chain reads the same with it and without it, and it does not matter how many
chains have been changed when we die, nor that somebody copies a chain that still has it: who goes on finds the same
layers by the same rule (`mergeable`) and does what is left. The layer is noted as doomed before the first change.

The layer above is the one that the volume writes to, or a snapshot's. A snapshot's is written to under the epoch of the
volume's lease, which wrote it before: devices take nothing from whoever had the lease earlier. Only chunks are added
that it does not have, so nobody who reads it, or copies from it, finds another version than before.

Who writes to a volume may copy up from a layer that he has found there. So all volumes whose chain loses the layer are
open here at that moment, and forget what they know. If one is open at another gateway it has to wait.
"""

from contextlib import AsyncExitStack

from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import Busy
from blockgw.catalog.family import Family
from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import Volume
from blockgw.errors import ShuttingDown
from blockgw.holding import Holder, Opened
from blockgw.lease import Tenure
from blockgw.maintenance.claims import claim_all, pinned
from blockgw.maintenance.jobs import Job
from blockgw.tenancy import fence
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.volume import OpenVolume

ROUNDS = 2 * volumes.CHAIN_LIMIT


async def merge(gateway: Holder, name: str, job: Job) -> int:
    """Merge what can be, of one volume; return how many layers that were. Raise VolumeError, CatalogError."""
    count = 0
    for _ in range(ROUNDS):
        async with gateway.lock(name):
            opened = await gateway.hold(name)
            plan = (await _family(gateway, opened.about)).mergeable(opened.about)
        if not plan:
            return count
        with pinned(gateway, opened):
            count += await _merge_one(gateway, opened, *plan[0], job)
    raise Busy(f"{name} has new snapshots all the time")


async def _merge_one(gateway: Holder, opened: Opened, lower: int, upper: int, job: Job) -> bool:
    about = opened.about
    if upper == opened.volume.layer:
        into = await claim_all(gateway, about.family, opened.volume, (lower,), job)
    else:
        placing = DevicePlacing(gateway.placement, bytes.fromhex(about.family), opened.lease.epoch)
        await fence(gateway.placement, placing, upper, opened.lease.epoch)
        target = OpenVolume((upper, lower), Tenure(opened.lease.epoch, float("inf")), True, placing)
        try:
            into = await claim_all(gateway, about.family, target, (lower,), job)
        finally:
            target.lose(ShuttingDown("the layers are merged"))
    if into != {upper}:
        return False  # a snapshot was taken meanwhile
    return await _commit(gateway, opened, lower, upper)


async def _commit(gateway: Holder, opened: Opened, lower: int, upper: int) -> bool:
    """Take a layer out of all chains; tell whether they were as they should be for that."""
    family = await _family(gateway, opened.about)
    names = sorted(each.name for each in family.volumes if any(lower in chain for chain in each.chains))
    async with AsyncExitStack() as locks:
        for name in names:
            await locks.enter_async_context(gateway.lock(name))
        opened.volume.check()
        family = await _family(gateway, opened.about)
        about = next((each for each in family.volumes if each.id == opened.about.id), None)
        if about is None or (lower, upper) not in family.mergeable(about):
            return False
        concerned = [each for each in family.volumes if any(lower in chain for chain in each.chains)]
        if not {each.name for each in concerned} <= set(names):
            return False
        writers = {each.name: await gateway.hold(each.name) for each in concerned if lower in each.chain}
        await gateway.catalog(lambda catalog: catalog.doom(opened.about.family, (lower,)))
        for each in concerned:
            await _cut(gateway, each.name, writers.get(each.name), lower)
    return True


async def _cut(gateway: Holder, name: str, writer: Opened | None, layer: int) -> None:
    def change(catalog: Catalog) -> Volume:
        return catalog.change(name, lambda each: volumes.without_layers(each, (layer,)))

    if writer is not None:
        await gateway.switch(writer, change)
        return
    about = await gateway.catalog(change)
    held = gateway.held(name)
    if held is not None:
        held.about = about


async def _family(gateway: Holder, about: Volume) -> Family:
    return await gateway.catalog(lambda catalog: catalog.family(about.family))
