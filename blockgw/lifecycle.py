"""What becomes of whole volumes: their size, the trash, the end."""

from dataclasses import replace

from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import SnapshotInUse
from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import State, Volume
from blockgw.holding import Holder, Opened
from blockgw.maintenance.garbage import sweep
from blockgw.wide import WideZero
from cluster.clock import wall_us


async def resize(gateway: Holder, name: str, size: int, may_shrink: bool) -> Volume:
    """Give a volume another size; its clients are hung up on, and see it when they come back."""
    async with gateway.lock(name):
        before = await gateway.catalog(lambda catalog: catalog.find(name))
        volumes.resized(before, size, may_shrink)
        opened = await gateway.hold(name, unused=size < before.size)
        if size < before.size:
            await _cut_off(gateway, opened, size)
        opened.about = await gateway.catalog(
            lambda catalog: catalog.owned(opened.lease.epoch).change(
                name, lambda each: volumes.resized(each, size, may_shrink)
            )
        )
        gateway.serve(opened)
    await gateway.hang_up(name)
    return opened.about


async def _cut_off(gateway: Holder, opened: Opened, start: int) -> None:
    """Give back what is beyond a new end, so that it is zeros when the volume grows again."""
    wide = WideZero(gateway.placement, opened.about.family, opened.volume)
    await wide.zero(start, opened.about.size - start, fua=False, trim=True)
    await opened.volume.flush()


async def trash(gateway: Holder, name: str, keep_s: float | None) -> Volume:
    """Have nobody open a volume any more; it may be had back, for `keep_s` or (None) until it is deleted."""
    until_us = 0 if keep_s is None else wall_us() + int(keep_s * 1e6)
    async with gateway.lock(name):
        await gateway.close_volume(await gateway.hold(name, unused=True))
        changed = await gateway.catalog(
            lambda catalog: catalog.change(name, lambda each: volumes.trashed(each, until_us))
        )
    await gateway.refresh()
    return changed


async def restore(gateway: Holder, name: str) -> Volume:
    """Take a volume out of the trash."""
    changed = await gateway.catalog(lambda catalog: catalog.change(name, volumes.restored))
    await gateway.refresh()
    return changed


async def delete(gateway: Holder, name: str) -> Volume:
    """Delete a volume with its data. Nobody may use it, and it must have no snapshots.

    What is interrupted after the first step is no volume any more that could be opened: delete it again.
    """
    async with gateway.lock(name):
        opened = await gateway.hold(name, unused=True, deleting=True)
        doomed = await gateway.catalog(lambda catalog: catalog.owned(opened.lease.epoch).change(name, _doomed))
        await gateway.catalog(lambda catalog: catalog.doom(doomed.family, doomed.chain))
        await gateway.catalog(lambda catalog: catalog.remove(doomed))
        await gateway.let_go(opened)
    await sweep(gateway, doomed.family)
    await gateway.refresh()
    return doomed


async def purge(gateway: Holder, name: str) -> Volume:
    """Delete a volume that is in the trash, with its snapshots. Raise SnapshotInUse when clones read through one."""
    await gateway.catalog(lambda catalog: _without_snapshots(catalog, name))
    return await delete(gateway, name)


def _without_snapshots(catalog: Catalog, name: str) -> None:
    """Have a volume be deleted from now on, and its snapshots first; nobody takes it out of the trash any more.

    When clones read through one of them, all stay: the volume may be taken out of the trash yet.
    """
    about = catalog.change(name, _purged)
    try:
        if clones := catalog.clones(about):
            names = ", ".join(clone.name for clone in clones[:5])
            raise SnapshotInUse(f"{name} has clones: {names}; flatten or delete them first")
        for snapshot in about.snapshots:
            catalog.delete_snapshot(name, snapshot.name)
    except SnapshotInUse:
        catalog.change(name, lambda each: replace(each, state=State.TRASHED))
        raise


def _purged(about: Volume) -> Volume:
    if about.state is not State.DELETING:
        volumes.require(about, State.TRASHED)
    return replace(about, state=State.DELETING)


def _doomed(about: Volume) -> Volume:
    if about.snapshots:
        raise SnapshotInUse(f"{about.name} has {len(about.snapshots)} snapshots: delete them first")
    return replace(about, state=State.DELETING)
