"""The volumes that one gateway has open, and what is asked of volumes besides reading and writing.

A volume is opened for writing in three steps: the lease, with a new epoch; then devices are told to take nothing of an
older epoch, enough of them that no quorum of any chunk is left to an older gateway; then it is noted in the catalog
that replicas may differ from now on. A crash between any two leaves a lease that ends by itself. It is closed in the
opposite order. While it is open the lease is renewed; who finds it lost stops at once.

What changes a volume's layers, or what is in them, is done by who has it open: snapshots, rolling back, cutting off and
deletion open it first if it is not. So no older gateway writes to a layer that has become a snapshot's. A snapshot is
taken between two writes, with all before it durable: the catalog's change is what counts. When it is not known whether
that was made the volume is lost to us, as if its lease was, and whoever opens it next looks it up.
"""

import asyncio
import os
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import CatalogError, SnapshotInUse, VolumeInUse
from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import State, Volume
from blockgw.errors import ShuttingDown, UnknownExport, VolumeError
from blockgw.export import VolumeExport
from blockgw.interfaces import Client, Export
from blockgw.lease import RENEW_S, TTL_S, Tenure, begun
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.volume import Fenced, OpenVolume
from cluster.clock import wall_us
from cluster.coordination.errors import CoordinationError, LeaseHeld, LeaseLost
from cluster.coordination.interface import Coordination
from cluster.coordination.lease import Lease
from cluster.telemetry.log import get_logger
from storage.client import Placement
from storage.quorum import Majority
from storage.rings.background import BackgroundStore
from storage.rings.document import OBJECT, Stage

READ_ONLY_EPOCH = (1 << 63) - 1  # above every writer's: what is read only is changed by nobody
LINGER_S = 2.0  # that a volume stays open without connections: clients come back after a moment
FENCE_RETRY_S = 0.2
FENCE_S = 20.0
_STEP = 1 << 28  # bytes that are cut off at a time
CLOSE_S = 5.0  # for the requests under way when clients are sent away
_log = get_logger("blockgw")
ResultT = TypeVar("ResultT")


@dataclass(eq=False)
class _Open:
    """A volume that is open for writing here."""

    about: Volume
    volume: OpenVolume
    export: VolumeExport
    lease: Lease
    keeper: asyncio.Task[None]
    users: int = 0
    closing: asyncio.TimerHandle | None = None


class Gateway:
    """Opens volumes for NBD (`Exports`), and does what operators ask for."""

    def __init__(self, placement: Placement, background: BackgroundStore, holder: str) -> None:
        """`holder` names this process, and no other one ever."""
        self._placement = placement
        self._background = background
        self._holder = holder
        self._open: dict[str, _Open] = {}  # by name
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._names: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        # hangs up on all clients of an export; whoever serves them puts himself here
        self.send_away: Callable[[str, float], Awaitable[None]] = _nobody

    @property
    def open_count(self) -> int:
        """How many volumes are open for writing."""
        return len(self._open)

    # coordination, on its thread

    async def catalog(self, work: Callable[[Catalog], ResultT]) -> ResultT:
        """Return what `work` returns. Raise what it raises; VolumeError when coordination is away."""
        return await self._coordinate(lambda coordination: work(Catalog(coordination, os.urandom, wall_us)))

    async def _coordinate(self, work: Callable[[Coordination], ResultT]) -> ResultT:
        try:
            return await self._background.run(lambda rings: work(rings.coordination))
        except (LeaseHeld, LeaseLost):
            raise
        except CoordinationError as error:
            raise VolumeError(f"coordination is away: {error}") from error

    # Exports

    def list(self, client: Client) -> Iterable[str]:
        """Return the names of the volumes, as they were known last."""
        del client
        return self._names

    async def refresh(self) -> None:
        """Learn which volumes there are."""
        found = await self.catalog(lambda catalog: catalog.all())
        self._names = tuple(each.name for each in found if each.state is State.AVAILABLE)

    async def open(self, name: str, client: Client) -> Export:
        """Open a volume for writing, or NAME@SNAPSHOT for reading. Raise UnknownExport, VolumeError."""
        del client
        try:
            if "@" in name:
                return await self._open_snapshot(*name.split("@", 1))
            async with self._lock(name):
                opened = self._open.get(name) or await self._open_volume(name)
                opened.users += 1
                if opened.closing is not None:
                    opened.closing.cancel()
                    opened.closing = None
                return opened.export
        except CatalogError as error:
            raise UnknownExport(str(error)) from error

    def release(self, export: Export) -> None:
        """Note that a connection has ended."""
        opened = self._open.get(export.name)
        if opened is None or opened.export is not export:
            return
        opened.users -= 1
        if not opened.users:
            self._close_later(opened)

    def _close_later(self, opened: _Open) -> None:
        """Close a volume if nobody uses it after a moment."""
        name, loop = opened.about.name, asyncio.get_running_loop()
        if opened.closing is not None:
            opened.closing.cancel()
        opened.closing = loop.call_later(LINGER_S, self._start, self._close_idle, name)

    def _start(self, work: Callable[[str], Awaitable[None]], name: str) -> None:
        async def run() -> None:
            await work(name)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _lock(self, name: str) -> asyncio.Lock:
        """Return the lock of a name: who opens or closes it does so alone. It is there as long as somebody has it."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def _open_snapshot(self, name: str, snapshot_name: str) -> Export:
        about = await self.catalog(lambda catalog: catalog.find(name))
        snapshot = about.snapshot(snapshot_name)
        placing = DevicePlacing(self._placement, bytes.fromhex(about.family), 0)
        volume = OpenVolume(snapshot.chain, Tenure(READ_ONLY_EPOCH, float("inf")), True, placing)
        return VolumeExport(f"{name}@{snapshot_name}", snapshot.size, volume, True, about.description)

    async def _open_volume(self, name: str, deleting: bool = False) -> _Open:
        about = await self.catalog(lambda catalog: catalog.find(name))
        if about.state is not State.AVAILABLE and not deleting:
            raise VolumeInUse(f"{name} is {about.state.value}")
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            lease = await self._coordinate(
                lambda coordination: coordination.acquire(_lease_of(about), self._holder, TTL_S)
            )
        except LeaseHeld as held:
            raise VolumeError(f"{name} is open at another gateway: {held}") from held
        try:
            placing = DevicePlacing(self._placement, bytes.fromhex(about.family), lease.epoch)
            await self._fence(placing, about.layer, lease.epoch)
            settled = about.settled
            about = await self.catalog(lambda catalog: catalog.change(name, _in_use))
        except BaseException:
            await self._coordinate(lambda coordination: coordination.release(lease))
            raise
        volume = OpenVolume(about.chain, begun(lease.epoch, asked_s), settled, placing)
        keeper = loop.create_task(self._keep(name, volume, lease))
        opened = _Open(about, volume, _export_of(about, volume), lease, keeper)
        volume.on_lost = lambda: self._start(self._lost, name)
        self._open[name] = opened
        _log.info("volume_opened", name=name, epoch=lease.epoch, settled=settled)
        return opened

    async def _fence(self, placing: DevicePlacing, layer: int, epoch: int) -> None:
        """Leave no quorum of any chunk to older epochs."""
        deadline = asyncio.get_running_loop().time() + FENCE_S
        fenced: set[int] = set()
        while True:
            left = {device: each for device, each in placing.devices().items() if device not in fenced}
            calls = {device: each.fence(layer, epoch) for device, each in left.items()}
            if calls:
                await asyncio.wait(calls.values())
            fenced |= {device for device, call in calls.items() if call.exception() is None}
            if self._is_enough(fenced):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise VolumeError("too few devices can be reached to open a volume")
            await asyncio.sleep(FENCE_RETRY_S)

    def _is_enough(self, fenced: set[int]) -> bool:
        for ring in self._placement.rings.write_rings(OBJECT):
            sets = {frozenset(device.id for device in ring.primaries(p)) for p in range(ring.partition_count)}
            if not all(Majority.of(members).reached(fenced) for members in sets):
                return False
        return True

    async def _keep(self, name: str, volume: OpenVolume, lease: Lease) -> None:
        """Renew the lease as long as the volume is open."""
        tenure = begun(lease.epoch, asyncio.get_running_loop().time())
        while True:
            await asyncio.sleep(RENEW_S)
            asked_s = asyncio.get_running_loop().time()
            try:
                await self._coordinate(lambda coordination: coordination.renew(lease, TTL_S))
            except LeaseLost as lost:
                volume.lose(Fenced(f"the lease of {name} is lost: {lost}"))
                return
            except VolumeError as error:
                _log.warning("lease_not_renewed", name=name, error=str(error))
            else:
                volume.renewed(tenure.renewed(asked_s))

    async def _lost(self, name: str) -> None:
        """Clean up after a volume that somebody else may have."""
        async with self._lock(name):
            opened = self._open.pop(name, None)
        if opened is not None:
            _log.warning("volume_lost", name=name)
            opened.keeper.cancel()
            await self.send_away(name, 0.0)

    async def _close_idle(self, name: str) -> None:
        async with self._lock(name):
            opened = self._open.get(name)
            if opened is not None and not opened.users:
                await self._close_volume(opened)

    def _serve(self, opened: _Open) -> None:
        """Show clients that come from now on how a volume is now; those that are there are not counted any more."""
        opened.export, opened.users = _export_of(opened.about, opened.volume), 0
        self._close_later(opened)

    async def _close_volume(self, opened: _Open) -> None:
        name = opened.about.name
        opened.volume.on_lost = _nothing
        try:
            settled = await opened.volume.close()
            if settled:
                await self.catalog(lambda catalog: catalog.change(name, _at_rest))
        except (VolumeError, CatalogError) as error:
            _log.warning("volume_not_closed_well", name=name, error=str(error))
        await self._let_go(opened)
        _log.info("volume_closed", name=name)

    async def _let_go(self, opened: _Open) -> None:
        """Have nothing to do with a volume any more, and let others have it."""
        del self._open[opened.about.name]
        opened.volume.on_lost = _nothing
        opened.volume.lose(ShuttingDown("the volume is closed"))
        opened.keeper.cancel()
        if opened.closing is not None:
            opened.closing.cancel()
        with suppress(VolumeError, LeaseLost):
            await self._coordinate(lambda coordination: coordination.release(opened.lease))

    async def close(self) -> None:
        """Close all volumes."""
        for name, opened in list(self._open.items()):
            async with self._lock(name):
                if self._open.get(name) is opened:
                    await self._close_volume(opened)
        for task in self._tasks:
            task.cancel()

    # what operators ask for

    async def create(self, name: str, size: int, description: str = "") -> Volume:
        """Make an empty volume."""
        if self._placement.rings.stage is not Stage.STABLE:
            raise VolumeError("the rings are being changed: wait until that is done")
        made = await self.catalog(lambda catalog: catalog.create(name, size, description))
        await self.refresh()
        return made

    async def clone(self, parent: str, snapshot: str, name: str) -> Volume:
        """Make a volume that begins as a snapshot."""
        made = await self.catalog(lambda catalog: catalog.clone(parent, snapshot, name))
        await self.refresh()
        return made

    async def snapshot(self, name: str, snapshot_name: str) -> Volume:
        """Keep a volume as it is now."""
        volumes.check_name(snapshot_name)

        def change(catalog: Catalog) -> Volume:
            layer, snapshot_id, now_us = catalog.new_layer(), os.urandom(16).hex(), wall_us()
            return catalog.change(
                name, lambda each: volumes.with_snapshot(each, snapshot_id, snapshot_name, layer, now_us)
            )

        async with self._lock(name):
            return await self._switch(await self._hold(name), change)

    async def rollback(self, name: str, snapshot_name: str) -> Volume:
        """Make a volume as it was. Nobody may use it."""

        def change(catalog: Catalog) -> Volume:
            layer = catalog.new_layer()
            return catalog.change(name, lambda each: volumes.rolled_back(each, snapshot_name, layer))

        async with self._lock(name):
            opened = await self._hold(name, unused=True)
            about = await self._switch(opened, change)
            self._serve(opened)
            return about

    async def _switch(self, opened: _Open, change: Callable[[Catalog], Volume]) -> Volume:
        """Give a volume another chain. It is open here, so nobody else writes to the layers that are frozen by that."""

        async def commit() -> Sequence[int]:
            try:
                opened.about = await self.catalog(change)
            except CatalogError:
                raise  # nothing was changed
            except BaseException as error:  # it may have been: whoever opens it next will know
                opened.volume.lose(VolumeError(f"it is not known which layers {opened.about.name} has: {error}"))
                raise
            return opened.about.chain

        await opened.volume.switch(commit)
        return opened.about

    async def resize(self, name: str, size: int, may_shrink: bool) -> Volume:
        """Give a volume another size; its clients are hung up on, and see it when they come back."""
        async with self._lock(name):
            before = await self.catalog(lambda catalog: catalog.find(name))
            volumes.resized(before, size, may_shrink)
            if size < before.size:
                await self._cut_off(await self._hold(name, unused=True), size)
            about = await self.catalog(
                lambda catalog: catalog.change(name, lambda each: volumes.resized(each, size, may_shrink))
            )
            opened = self._open.get(name)
            if opened is not None:
                opened.about = about
                self._serve(opened)
        await self.send_away(name, CLOSE_S)
        return about

    async def _cut_off(self, opened: _Open, start: int) -> None:
        """Give back what is beyond a new end, so that it is zeros when the volume grows again."""
        for offset in range(start, opened.about.size, _STEP):
            await opened.volume.zero(offset, min(_STEP, opened.about.size - offset), trim=True)
        await opened.volume.flush()

    async def trash(self, name: str) -> Volume:
        """Have nobody open a volume any more; it may be had back."""
        async with self._lock(name):
            await self._close_volume(await self._hold(name, unused=True))
            changed = await self.catalog(lambda catalog: catalog.change(name, volumes.trashed))
        await self.refresh()
        return changed

    async def restore(self, name: str) -> Volume:
        """Take a volume out of the trash."""
        changed = await self.catalog(lambda catalog: catalog.change(name, volumes.restored))
        await self.refresh()
        return changed

    async def delete_snapshot(self, name: str, snapshot_name: str) -> Volume:
        """Give up a snapshot that nobody reads through."""
        return await self.catalog(lambda catalog: catalog.delete_snapshot(name, snapshot_name))

    async def delete(self, name: str) -> Volume:
        """Delete a volume with its data. Nobody may use it, and it must have no snapshots.

        What is interrupted after the first step is no volume any more that could be opened: delete it again.
        """
        async with self._lock(name):
            opened = await self._hold(name, unused=True, deleting=True)
            doomed = await self.catalog(lambda catalog: catalog.change(name, _doomed))
            others = await self.catalog(lambda catalog: catalog.all())
            await self._drop(doomed, _only_of(doomed, others))
            await self.catalog(lambda catalog: catalog.remove(doomed))
            await self._let_go(opened)
        await self.refresh()
        return doomed

    async def _drop(self, doomed: Volume, layers: Iterable[int]) -> None:
        """Have all devices give up layers."""
        placing = DevicePlacing(self._placement, bytes.fromhex(doomed.family), 0)
        calls = [device.drop(layer) for layer in layers for device in placing.devices().values()]
        for found in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(found, BaseException):
                _log.warning("layer_not_dropped", name=doomed.name, error=str(found))

    async def _hold(self, name: str, unused: bool = False, deleting: bool = False) -> _Open:
        """Have a volume open here, for a while at least. With `unused`: VolumeInUse when it has clients."""
        opened = self._open.get(name)
        if opened is None:
            opened = await self._open_volume(name, deleting)
            self._close_later(opened)
        if unused and opened.users:
            raise VolumeInUse(f"{name} has {opened.users} connections")
        return opened


def _lease_of(about: Volume) -> str:
    return f"volume/{about.id}"


def _in_use(about: Volume) -> Volume:
    return replace(about, settled=False)


def _at_rest(about: Volume) -> Volume:
    return replace(about, settled=True)


def _doomed(about: Volume) -> Volume:
    if about.snapshots:
        raise SnapshotInUse(f"{about.name} has {len(about.snapshots)} snapshots: delete them first")
    return replace(about, state=State.DELETING)


def _only_of(doomed: Volume, others: Iterable[Volume]) -> list[int]:
    """Return the layers that go with a volume: those that nobody else reads through."""
    kept = {
        layer
        for other in others
        if other.id != doomed.id
        for chain in (other.chain, *(snapshot.chain for snapshot in other.snapshots))
        for layer in chain
    }
    return [layer for layer in doomed.chain if layer not in kept]


def _export_of(about: Volume, volume: OpenVolume) -> VolumeExport:
    return VolumeExport(about.name, about.size, volume, False, about.description)


def _nothing() -> None:
    return


async def _nobody(_name: str, _deadline_s: float) -> None:
    return None
