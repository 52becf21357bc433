"""The volumes that one gateway has open: gaining, keeping, handing over and losing the right to write them.

A volume is opened for writing in three steps: the lease, with a new epoch; then that is noted in the catalog, and that
replicas may differ from now on, so no older gateway changes its layers any more; then devices are told to take nothing
of an older epoch, enough of them that no quorum of any chunk is left to an older gateway. A crash between any two
leaves a lease that ends by itself. It is closed in the opposite order. While it is open the lease is renewed; who finds
it lost stops at once.

A volume's layers are changed by who has it open (`switch`), between two writes, with all before it durable: the
catalog's change is what counts. When it is not known whether that was made the volume is lost to us, as if its lease
was, and whoever opens it next looks it up.
"""

import asyncio
import os
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from blockgw import holders
from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import CatalogError, NoSuchVolume, Overtaken, VolumeInUse
from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import State, Volume
from blockgw.dirty import DirtySince
from blockgw.encryption import SectorCipher, sector_cipher
from blockgw.errors import HeldElsewhere, NotAllowed, ShuttingDown, UnknownExport, VolumeError
from blockgw.export import VolumeExport, description_of
from blockgw.holding import Opened
from blockgw.interfaces import Client, Description, Export
from blockgw.lease import READ_ONLY_EPOCH, RENEW_S, TTL_S, Tenure, begun
from blockgw.tenancy import fence
from blockgw.throttle import throttle_of
from blockgw.volumes.cache import ReadCache
from blockgw.volumes.devices import DevicePlacing
from blockgw.volumes.room import Room
from blockgw.volumes.volume import Fenced, OpenVolume
from blockgw.wide import WideZero
from cluster.clock import wall_us
from cluster.coordination.errors import CoordinationError, LeaseHeld, LeaseLost
from cluster.coordination.interface import Coordination
from cluster.coordination.lease import Lease
from cluster.telemetry.log import get_logger
from storage.chunks.near import NearFiles
from storage.client import Placement
from storage.rings.background import BackgroundStore

READ_CACHE_BYTES = 64 << 20  # of what was read from other hosts, for all volumes; more: fewer reads go there
LINGER_S = 2.0  # that a volume stays open without connections: clients come back after a moment
HANDOVER_S = LINGER_S + 2.0  # for another gateway to close a volume that nobody uses there
HANDOVER_RETRY_S = 0.2
TAKEN_S = 30.0  # that a volume stays where it was taken to, for its clients to come
GIVEN_S = 2.0  # that a volume that was given away is left to who takes it, when clients come back at once
CLOSE_S = 5.0  # for the requests under way when clients are sent away
_log = get_logger("blockgw")
ResultT = TypeVar("ResultT")


class Openings:
    """Of one gateway. `Exports`, and all of `Holder` that needs no more than that."""

    def __init__(
        self,
        placement: Placement,
        background: BackgroundStore,
        holder: str,
        near: NearFiles | None = None,
        cluster_key: bytes = b"",
    ) -> None:
        """`holder` names this gateway: one process at a time. `near` are the files of devices on this host.

        `cluster_key`: what the keys of encrypted volumes are wrapped under.
        """
        self.placement = placement
        self._background = background
        self._holder = holder
        self._near = near
        self._cluster_key = cluster_key
        self._cache = ReadCache(READ_CACHE_BYTES)
        self._room = Room()
        self._open: dict[str, Opened] = {}  # by name
        self._given: dict[str, float] = {}  # by name: until when a volume is left to the gateway that takes it
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._names: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        # hangs up on all clients of an export; whoever serves them puts himself here
        self.send_away: Callable[[str, float], Awaitable[None]] = _nobody
        # likewise on those who have it open for a holder
        self.cut_off: Callable[[str, str, float], Awaitable[None]] = _nobody_of

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

    async def describe(self, name: str, client: Client) -> Description:
        """Tell of a volume, or of NAME@SNAPSHOT, by the catalog, whoever has it.

        Raise UnknownExport, NotAllowed, VolumeError.
        """
        volume_name, at, snapshot = name.partition("@")
        try:
            about = await self.catalog(lambda catalog: catalog.find(volume_name))
            holders.check(about, client)
            if at:
                return description_of(about, about.snapshot(snapshot))
            _check_may_open(about)
            return description_of(about)
        except CatalogError as error:
            raise UnknownExport(str(error)) from error

    async def open(self, name: str, client: Client) -> Export:
        """Open a volume for writing, or NAME@SNAPSHOT for reading. Raise UnknownExport, NotAllowed, VolumeError."""
        try:
            volume_name, at, snapshot = name.partition("@")
            if at:
                return await self._open_snapshot(volume_name, snapshot, client)
            async with self.lock(name):
                opened = await self._usable(name) or await self._open_patiently(name)
                opened.users += 1
                if opened.closing is not None:
                    opened.closing.cancel()
                    opened.closing = None
                try:
                    holders.check(opened.about, client)
                except NotAllowed:
                    self.release(opened.export)
                    raise
                return opened.export
        except CatalogError as error:
            raise UnknownExport(str(error)) from error

    def release(self, export: Export) -> None:
        """Note that a connection has ended."""
        opened = self._open.get(export.name)
        if opened is None or opened.export is not export:
            if export.read_only and isinstance(export, VolumeExport):
                export.volume.lose(ShuttingDown("the snapshot is closed"))
            return
        opened.users -= 1
        if not opened.users and not opened.pins:
            self.close_later(opened)

    def close_later(self, opened: Opened) -> None:
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

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock of a name: who opens or closes it does so alone. It is there as long as somebody has it."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def _open_snapshot(self, name: str, snapshot_name: str, client: Client) -> Export:
        about = await self.catalog(lambda catalog: catalog.find(name))
        holders.check(about, client)
        snapshot = about.snapshot(snapshot_name)
        placing = DevicePlacing(self.placement, bytes.fromhex(about.family), 0, self._near)
        cipher = self._cipher_of(about)
        tenure = Tenure(READ_ONLY_EPOCH, float("inf"))
        volume = OpenVolume(snapshot.chain, tenure, True, placing, self._cache, self._room)
        export = VolumeExport(description_of(about, snapshot), volume, cipher)
        export.dirty = DirtySince(self.placement, lambda: about, lambda: snapshot.chain)
        return export

    async def _open_patiently(self, name: str) -> Opened:
        """Open a volume, also if another gateway has it that nobody uses it at any more."""
        await asyncio.sleep(self._given.pop(name, 0.0) - asyncio.get_running_loop().time())
        deadline = asyncio.get_running_loop().time() + HANDOVER_S
        while True:
            try:
                return await self._open_volume(name)
            except HeldElsewhere:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(HANDOVER_RETRY_S)

    async def _open_volume(self, name: str, deleting: bool = False) -> Opened:
        about = await self.catalog(lambda catalog: catalog.find(name))
        _check_may_open(about, deleting)
        self._cipher_of(about)
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        try:
            lease = await self._coordinate(
                lambda coordination: coordination.acquire(_lease_of(about), self._holder, TTL_S)
            )
        except LeaseHeld as held:
            raise HeldElsewhere(name, held.holder) from held
        try:
            found = about
            settled, about = await self.catalog(lambda catalog: _taken_over(catalog, found, lease.epoch, deleting))
            placing = DevicePlacing(self.placement, bytes.fromhex(about.family), lease.epoch, self._near)
            await fence(self.placement, placing, about.layer, lease.epoch)
        except BaseException:
            await self._give_back(lease)
            raise
        volume = OpenVolume(about.chain, begun(lease.epoch, asked_s), settled, placing, self._cache, self._room)
        keeper = loop.create_task(self._keep(name, volume, lease))
        opened = Opened(about, volume, self._export_of(about, volume), lease, keeper)
        self._dress(opened)
        volume.on_lost = lambda: self._start(self._lost, name)
        self._open[name] = opened
        _log.info("volume_opened", name=name, epoch=lease.epoch, settled=settled)
        return opened

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
            except Exception as error:  # whatever it is: who stops to renew it loses the volume
                _log.warning("lease_not_renewed", name=name, error=str(error))
            else:
                volume.renewed(tenure.renewed(asked_s))

    async def _lost(self, name: str) -> None:
        """Clean up after a volume that somebody else may have."""
        async with self.lock(name):
            await self._usable(name)

    async def _usable(self, name: str) -> Opened | None:
        """Return a volume that is open here; of one that is lost nothing is left then. Its lock is held."""
        opened = self._open.get(name)
        if opened is None or not opened.volume.is_lost:
            return opened
        del self._open[name]
        _log.warning("volume_lost", name=name)
        opened.keeper.cancel()
        await self.send_away(name, 0.0)
        return None

    async def _close_idle(self, name: str) -> None:
        async with self.lock(name):
            opened = self._open.get(name)
            if opened is not None and not opened.users and not opened.pins:
                await self.close_volume(opened)

    def serve(self, opened: Opened) -> None:
        """Show clients that come from now on how a volume is now; those that are there are not counted any more."""
        opened.export, opened.users = self._export_of(opened.about, opened.volume), 0
        self._dress(opened)
        self.close_later(opened)

    def _export_of(self, about: Volume, volume: OpenVolume) -> VolumeExport:
        return VolumeExport(description_of(about), volume, self._cipher_of(about))

    def _cipher_of(self, about: Volume) -> SectorCipher | None:
        """Return what a volume is encrypted with, if it is. Raise WrongKey."""
        return sector_cipher(about.key, self._cluster_key) if about.key else None

    def _dress(self, opened: Opened) -> None:
        """Give an export its limits, and what it can tell of changes."""
        opened.export.throttle = throttle_of(opened.about.limits)
        opened.export.wide = WideZero(self.placement, opened.about.family, opened.volume)
        opened.export.dirty = DirtySince(self.placement, lambda: opened.about, lambda: opened.volume.chain)

    async def close_volume(self, opened: Opened) -> None:
        name = opened.about.name
        opened.volume.on_lost = _nothing
        try:
            settled = await opened.volume.close()
            if settled:
                await self.catalog(lambda catalog: catalog.owned(opened.lease.epoch).change(name, _at_rest))
        except (VolumeError, CatalogError) as error:
            _log.warning("volume_not_closed_well", name=name, error=str(error))
        await self.let_go(opened)
        _log.info("volume_closed", name=name)

    async def let_go(self, opened: Opened) -> None:
        """Have nothing to do with a volume any more, and let others have it."""
        del self._open[opened.about.name]
        opened.volume.on_lost = _nothing
        opened.volume.lose(ShuttingDown("the volume is closed"))
        opened.keeper.cancel()
        if opened.closing is not None:
            opened.closing.cancel()
        await self._give_back(opened.lease)

    async def _give_back(self, lease: Lease) -> None:
        with suppress(VolumeError, LeaseLost):  # it ends by itself
            await self._coordinate(lambda coordination: coordination.release(lease))

    async def close(self) -> None:
        """Close all volumes."""
        for name, opened in list(self._open.items()):
            async with self.lock(name):
                if self._open.get(name) is opened:
                    await self.close_volume(opened)
        for task in self._tasks:
            task.cancel()

    # for operations: `Holder`

    async def hang_up(self, name: str) -> None:
        """Send the clients of a volume away, after their requests; they may come back at once."""
        await self.send_away(name, CLOSE_S)

    def held(self, name: str) -> Opened | None:
        """Return a volume if it is open here."""
        return self._open.get(name)

    async def switch(
        self,
        opened: Opened,
        change: Callable[[Catalog], Volume],
        ready: Callable[[], Awaitable[object]] | None = None,
    ) -> Volume:
        """Give a volume another chain. It is open here, so nobody else writes to the layers that are frozen by that.

        `ready` is awaited while the volume is quiet, before the change; what it raises leaves all as it was.
        """

        async def commit() -> Sequence[int]:
            if ready is not None:
                await ready()
            try:
                opened.about = await self.catalog(lambda catalog: change(catalog.owned(opened.lease.epoch)))
            except Overtaken as overtaken:
                opened.volume.lose(Fenced(str(overtaken)))
                raise
            except CatalogError:
                raise  # nothing was changed
            except BaseException as error:  # it may have been: whoever opens it next will know
                opened.volume.lose(ShuttingDown(f"it is not known which layers {opened.about.name} has: {error}"))
                raise
            return opened.about.chain

        await opened.volume.switch(commit)
        return opened.about

    async def hold(self, name: str, unused: bool = False, deleting: bool = False) -> Opened:
        """Have a volume open here, for a while at least. With `unused`: VolumeInUse when it has clients."""
        opened = await self._usable(name)
        if opened is None:
            opened = await self._open_volume(name, deleting)
            self.close_later(opened)
        if unused and opened.users:
            raise VolumeInUse(f"{name} has {opened.users} connections")
        return opened

    async def take(self, name: str) -> Volume:
        """Have a volume open here, and keep it for a while for clients to come. Raise HeldElsewhere."""
        async with self.lock(name):
            opened = await self.hold(name)
            opened.pins += 1
            asyncio.get_running_loop().call_later(TAKEN_S, self._unpin, opened)
        return opened.about

    def _unpin(self, opened: Opened) -> None:
        opened.pins -= 1
        if not opened.users and not opened.pins and self._open.get(opened.about.name) is opened:
            self.close_later(opened)

    async def dismiss(self, name: str, holder: str) -> Volume:
        """Have nobody use a volume for `holder` any more, neither here nor elsewhere. Raise HeldElsewhere."""
        async with self.lock(name):
            opened: Opened | None = None
            with suppress(VolumeInUse):  # it is in the trash: nobody has it, and it may be had back
                opened = await self.hold(name)
            about = await self.catalog(
                lambda catalog: catalog.change(name, lambda each: holders.without(each, holder))
            )
            if opened is not None:
                opened.about = about
                await self.cut_off(name, holder, CLOSE_S)  # who comes from now on is refused
            return about

    async def give_away(self, name: str) -> None:
        """Send a volume's clients away and close it, for another gateway to have it."""
        async with self.lock(name):  # who comes back at once waits, and finds that it is elsewhere
            opened = self._open.get(name)
            if opened is not None:
                await self.hang_up(name)
                await self.close_volume(opened)
                self._given[name] = asyncio.get_running_loop().time() + GIVEN_S


def _lease_of(about: Volume) -> str:
    return f"volume/{about.id}"


def _check_may_open(about: Volume, deleting: bool = False) -> None:
    if about.state is not State.AVAILABLE and not deleting:
        raise VolumeInUse(f"{about.name} is {about.state.value}")


def _taken_over(catalog: Catalog, found: Volume, epoch: int, deleting: bool) -> tuple[bool, Volume]:
    """Note that a volume is open under `epoch`; return whether it was settled, and the volume.

    The lease is that of the volume that was `found`: since then it may have gone to the trash, or another one may have
    got its name.
    """
    settled = False

    def taken_over(about: Volume) -> Volume:
        nonlocal settled
        if about.id != found.id:
            raise NoSuchVolume(f"{found.name} is another volume by now")
        _check_may_open(about, deleting)
        settled = about.settled
        return volumes.taken_over(about, epoch)

    about = catalog.change(found.name, taken_over)
    return settled, about


def _at_rest(about: Volume) -> Volume:
    return replace(about, settled=True)


def _nothing() -> None:
    return


async def _nobody(_name: str, _deadline_s: float) -> None:
    return None


async def _nobody_of(_name: str, _holder: str, _deadline_s: float) -> None:
    return None
