"""A block gateway: volumes for NBD, and what is asked of volumes besides reading and writing.

What changes a volume's layers, or what is in them, is done by who has it open (`openings`): snapshots, rolling back,
cutting off and deletion open it first if it is not. So no older gateway writes to a layer that has become a snapshot's.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence

from blockgw import lifecycle, snapshots, usage
from blockgw.catalog import volume as volumes
from blockgw.catalog.volume import Volume
from blockgw.encryption import new_key
from blockgw.maintenance.jobs import Job, Jobs
from blockgw.maintenance.upkeep import Upkeep
from blockgw.openings import Openings
from blockgw.throttle import throttle_of
from storage.chunks.near import NearFiles
from storage.client import Placement
from storage.rings.background import BackgroundStore


class Gateway(Openings):
    """Opens volumes, and does what operators ask for."""

    def __init__(
        self,
        placement: Placement,
        background: BackgroundStore,
        holder: str,
        near: NearFiles | None = None,
        cluster_key: bytes = b"",
    ) -> None:
        """See Openings."""
        super().__init__(placement, background, holder, near, cluster_key)
        self.jobs = Jobs()
        self.upkeep = Upkeep(self, self.jobs)  # to be started by whoever wants it

    async def close(self) -> None:
        """Break off what is done in the background, and close all volumes."""
        await self.upkeep.close()
        await super().close()

    # what there is: usage.py

    def changed(
        self, name: str, snapshot: str | None = None, since: str | None = None, first: int = 0
    ) -> AsyncGenerator[Sequence[int], None]:
        """Yield the numbers of the chunks in which a snapshot differs from an older or newer one, `since`, in order.

        Without `snapshot`: the volume as it is now. Without `since`: all chunks that there are. Chunks that are not
        yielded are the same in both, up to the smaller one's end. From chunk `first` on; by pages, which may be empty.
        Raise CatalogError; VolumeError when too few devices can be reached.
        """
        return usage.changed(self, name, snapshot, since, first)

    def diff(
        self, name: str, snapshot: str, other: str | None = None, fast: bool = False, first: int = 0
    ) -> AsyncGenerator[usage.Difference, None]:
        """Yield (chunk, ((offset, length), …) of what differs) between a snapshot and another, or the volume as it is.

        Exactly, or with `fast` by whole chunks that were written to. From chunk `first` on, up to the end of the
        shorter one. Raise CatalogError, VolumeError.
        """
        return usage.diff(self, name, snapshot, other, fast, first)

    async def usage(self, name: str) -> Sequence[usage.Share]:
        """Return what a volume takes up, by snapshot. Raise CatalogError, VolumeError."""
        return await usage.of_volume(self, name)

    # what operators ask for

    async def create(self, name: str, size: int, description: str = "", encrypted: bool = False) -> Volume:
        """Make an empty volume."""
        key = new_key(self._cluster_key) if encrypted else ""
        made = await self.catalog(lambda catalog: catalog.create(name, size, description, key))
        await self.refresh()
        return made

    async def clone(self, parent: str, snapshot: str, name: str) -> Volume:
        """Make a volume that begins as a snapshot."""
        made = await self.catalog(lambda catalog: catalog.clone(parent, snapshot, name))
        await self.refresh()
        return made

    async def snapshot(self, name: str, snapshot_name: str) -> Volume:
        """Keep a volume as it is now."""
        return (await snapshots.take(self, (name,), snapshot_name))[0]

    async def snapshot_together(self, names: Sequence[str], snapshot_name: str) -> Sequence[Volume]:
        """Keep volumes as they are at one moment."""
        return await snapshots.take(self, names, snapshot_name)

    async def rollback(self, name: str, snapshot_name: str) -> Volume:
        """Make a volume as it was. Nobody may use it."""
        changed = await snapshots.roll_back(self, name, snapshot_name)
        self.upkeep.wake()
        return changed

    async def delete_snapshot(self, name: str, snapshot_name: str) -> Volume:
        """Give up a snapshot that nobody reads through; its space comes back in the background."""
        changed = await snapshots.give_up(self, name, snapshot_name)
        self.upkeep.wake()
        return changed

    async def flatten(self, name: str) -> Job:
        """Have a clone made independent of its parent, in the background, also if we die meanwhile."""
        async with self.lock(name):
            opened = await self.hold(name)
            opened.about = await self.catalog(lambda catalog: catalog.change(name, volumes.to_be_flattened))
        return self.upkeep.flatten(name)

    async def resize(self, name: str, size: int, may_shrink: bool) -> Volume:
        """Give a volume another size; its clients are hung up on, and see it when they come back."""
        return await lifecycle.resize(self, name, size, may_shrink)

    async def limit(self, name: str, wanted: Mapping[str, float]) -> Volume:
        """Change fields of a volume's `Limits`; at once, for clients that are there too. Raise CatalogError."""
        async with self.lock(name):
            opened = await self.hold(name)
            opened.about = await self.catalog(
                lambda catalog: catalog.change(name, lambda each: volumes.limited(each, wanted))
            )
            opened.export.throttle = throttle_of(opened.about.limits)
            return opened.about

    async def trash(self, name: str, keep_s: float | None = None) -> Volume:
        """Have nobody open a volume any more; it may be had back, for ever or for `keep_s` seconds."""
        return await lifecycle.trash(self, name, keep_s)

    async def restore(self, name: str) -> Volume:
        """Take a volume out of the trash."""
        return await lifecycle.restore(self, name)

    async def delete(self, name: str) -> Volume:
        """Delete a volume with its data. Nobody may use it, and it must have no snapshots."""
        return await lifecycle.delete(self, name)

    async def purge(self, name: str) -> Volume:
        """Delete a volume that is in the trash, with its snapshots."""
        return await lifecycle.purge(self, name)
