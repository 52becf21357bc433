"""The volumes that one gateway has open, and what is asked of volumes besides reading and writing.

A volume is opened for writing in three steps: the lease, with a new epoch; then devices are told to take nothing of an
older epoch, enough of them that no quorum of any chunk is left to an older gateway; then it is noted in the catalog
that replicas may differ from now on. A crash between any two leaves a lease that ends by itself. It is closed in the
opposite order. While it is open the lease is renewed; who finds it lost stops at once.

A snapshot of a volume that is open here is taken between two writes, with all before it durable: the catalog's change
is what counts, and until it is known to have been made nothing is written.
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
from blockgw.errors import UnknownExport, VolumeError
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
            loop = asyncio.get_running_loop()
            opened.closing = loop.call_later(LINGER_S, self._start, self._close_idle, export.name)

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

    async def _open_volume(self, name: str) -> _Open:
        about = await self.catalog(lambda catalog: catalog.find(name))
        if about.state is not State.AVAILABLE:
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
        export = VolumeExport(name, about.size, volume, False, about.description)
        opened = _Open(about, volume, export, lease, loop.create_task(self._keep(name, volume, lease)))
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
                await self._close_volume(name, opened)

    async def _close_volume(self, name: str, opened: _Open) -> None:
        del self._open[name]
        opened.volume.on_lost = lambda: None
        try:
            settled = await opened.volume.close()
            if settled:
                await self.catalog(lambda catalog: catalog.change(name, _at_rest))
        except (VolumeError, CatalogError) as error:
            _log.warning("volume_not_closed_well", name=name, error=str(error))
        opened.keeper.cancel()
        with suppress(VolumeError, LeaseLost):
            await self._coordinate(lambda coordination: coordination.release(opened.lease))
        _log.info("volume_closed", name=name)

    async def close(self) -> None:
        """Close all volumes."""
        for name, opened in list(self._open.items()):
            async with self._lock(name):
                await self._close_volume(name, opened)
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

        return await self._switched(name, change)

    async def _switched(self, name: str, change: Callable[[Catalog], Volume]) -> Volume:
        """Make a change that gives a volume another chain, here too if it is open here."""
        async with self._lock(name):
            opened = self._open.get(name)
            if opened is None:
                return await self.catalog(change)

            async def commit() -> Sequence[int]:
                opened.about = await self.catalog(change)
                return opened.about.chain

            await opened.volume.switch(commit)
            return opened.about

    async def rollback(self, name: str, snapshot_name: str) -> Volume:
        """Make a volume as it was. It must not be open."""
        async with self._closed(name):
            return await self.catalog(
                lambda catalog: catalog.change(
                    name, lambda each: volumes.rolled_back(each, snapshot_name, catalog.new_layer())
                )
            )

    async def resize(self, name: str, size: int, may_shrink: bool) -> Volume:
        """Give a volume another size; its clients are hung up on, and see it when they come back."""
        about = await self.catalog(lambda catalog: catalog.find(name))
        volumes.resized(about, size, may_shrink)
        if size < about.size:
            await self._cut_off(name, size, about.size)
        async with self._lock(name):
            about = await self.catalog(
                lambda catalog: catalog.change(name, lambda each: volumes.resized(each, size, may_shrink))
            )
            opened = self._open.get(name)
            if opened is not None:
                opened.about, opened.export.size = about, min(opened.export.size, size)
                opened.export = VolumeExport(name, size, opened.volume, False, about.description)
                opened.users = 0
                opened.closing = asyncio.get_running_loop().call_later(LINGER_S, self._start, self._close_idle, name)
        await self.send_away(name, CLOSE_S)
        return about

    async def _cut_off(self, name: str, start: int, end: int) -> None:
        """Give back what is beyond a new end, so that it is zeros when the volume grows again."""
        export = await self.open(name, Client(""))
        try:
            for offset in range(start, end, _STEP):
                await export.trim(offset, min(_STEP, end - offset), False)
            await export.flush()
        finally:
            self.release(export)

    async def trash(self, name: str) -> Volume:
        """Have nobody open a volume any more; it may be had back."""
        async with self._closed(name):
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
        """Delete a volume with its data. It must not be open, and have no snapshots."""
        async with self._closed(name):
            doomed = await self.catalog(lambda catalog: catalog.change(name, _doomed))
            others = await self.catalog(lambda catalog: catalog.all())
            await self._drop(doomed, _only_of(doomed, others))
            await self.catalog(lambda catalog: catalog.remove(doomed))
        await self.refresh()
        return doomed

    async def _drop(self, doomed: Volume, layers: Iterable[int]) -> None:
        """Have all devices give up layers."""
        placing = DevicePlacing(self._placement, bytes.fromhex(doomed.family), 0)
        calls = [device.drop(layer) for layer in layers for device in placing.devices().values()]
        for found in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(found, BaseException):
                _log.warning("layer_not_dropped", name=doomed.name, error=str(found))

    def _closed(self, name: str) -> "_Closed":
        return _Closed(self, name)

    async def close_if_idle(self, name: str) -> None:
        """Close a volume that nobody uses now. Raise VolumeInUse when somebody does."""
        opened = self._open.get(name)
        if opened is not None and opened.users:
            raise VolumeInUse(f"{name} has {opened.users} connections")
        if opened is not None:
            await self._close_volume(name, opened)


class _Closed:
    """Keeps a name closed within the block."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._gateway, self._name = gateway, name
        self._lock = gateway._lock(name)

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            await self._gateway.close_if_idle(self._name)
        except BaseException:
            self._lock.release()
            raise

    async def __aexit__(self, *_exception: object) -> None:
        self._lock.release()


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


async def _nobody(_name: str, _deadline_s: float) -> None:
    return None
