"""Makes a clone independent of its parent: what it shares is brought up, then its chain lacks the parent's layers.

Invariant: the catalog cuts a layer off only when every chunk that it has is, durably on a quorum, in a layer of the
clone's own that stays in its chain. That this is so is checked under the clone's lock: each layer that chunks were
brought into must still be in the chain; it is not when the clone was rolled back meanwhile, and then all begins anew.

`flattening` in the catalog says that it is wanted, from the first step until the last. Snapshots of the clone keep
reading through the parent's layers; with the last of them that does, the clone forgets its parent.
"""

from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import VolumeInUse
from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import Volume
from blockgw.holding import Holder, Opened
from blockgw.maintenance.claims import claim_all, pinned
from blockgw.maintenance.jobs import Job

ROUNDS = 8  # of beginning anew


async def flatten(gateway: Holder, name: str, job: Job) -> None:
    """Do it, or the rest of it. Raise VolumeError, CatalogError."""
    for _ in range(ROUNDS):
        async with gateway.lock(name):
            opened = await gateway.hold(name)
            shared = await _shared(gateway, opened.about)
            if not opened.about.flattening and opened.about.parent is None:
                return
        with pinned(gateway, opened):
            layers = [layer for layer in opened.volume.chain if layer in shared]
            own = await claim_all(gateway, opened.about.family, opened.volume, layers, job)
            async with gateway.lock(name):
                if await _cut(gateway, opened, own):
                    return
    raise VolumeInUse(f"{name} is rolled back all the time")


async def _cut(gateway: Holder, opened: Opened, own: set[int]) -> bool:
    """Cut the parent's layers off; tell whether that could be done."""
    opened.volume.check()
    shared = await _shared(gateway, opened.about)
    if not own <= set(opened.about.chain):
        return False

    def change(catalog: Catalog) -> Volume:
        return catalog.change(opened.about.name, lambda each: volumes.flattened(each, shared))

    await gateway.switch(opened, change)
    return True


async def _shared(gateway: Holder, about: Volume) -> frozenset[int]:
    family = await gateway.catalog(lambda catalog: catalog.family(about.family))
    return family.shared_with_parent(about)
