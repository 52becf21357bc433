"""Snapshots of volumes: taking, going back to, and giving them up.

A snapshot is taken of a volume that is open here, so nobody else writes to the layer that it freezes, and once its
replicas agree on that layer (`settling`). Several volumes are taken together by having all of them quiet, with
everything durable, before the catalog has any of the snapshots: no write is in one of them that was asked for after a
write that is missing in another.

What a chain no longer names nobody reads. Such layers are noted (`doomed`) before the chain is changed; `maintenance`
drops those that no other chain names either.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from blockgw.catalog import volume as volumes
from blockgw.catalog.errors import InvalidRequest
from blockgw.catalog.store import Catalog
from blockgw.catalog.volume import Volume
from blockgw.errors import VolumeError
from blockgw.holding import Holder, Opened
from blockgw.settling import settle
from cluster.clock import wall_us

GROUP_LIMIT = 256  # volumes of one consistent snapshot
_Change = Callable[[Catalog], Volume]


async def take(gateway: Holder, names: Sequence[str], snapshot: str) -> list[Volume]:
    """Keep volumes as they are now, all at the same moment. Raise CatalogError, VolumeError.

    Before any snapshot is taken it is looked up whether each can be. If the catalog fails in the midst of it, the
    volumes that were done keep theirs.
    """
    volumes.check_name(snapshot)
    names = tuple(dict.fromkeys(names))  # one that is given twice would wait for itself
    if not 0 < len(names) <= GROUP_LIMIT:
        raise InvalidRequest(f"{len(names)} volumes: from 1 to {GROUP_LIMIT} can be kept at the same moment")
    async with AsyncExitStack() as locks:
        for name in sorted(names):
            await locks.enter_async_context(gateway.lock(name))
        held = [await gateway.hold(name) for name in names]
        for opened in held:
            volumes.with_snapshot(opened.about, "", snapshot, 0, 0)
        for opened in held:
            await settle(gateway.placement, opened)
        if len(held) == 1:
            return [await gateway.switch(held[0], _taken(held[0].about.name, snapshot))]
        return await _together(gateway, held, snapshot)


async def _together(gateway: Holder, held: Sequence[Opened], snapshot: str) -> list[Volume]:
    """Take the snapshots once all volumes are quiet; none of them, if one does not come to rest."""
    quiet = asyncio.Barrier(len(held))
    now_us = wall_us()

    async def one(opened: Opened) -> Volume:
        try:
            return await gateway.switch(opened, _taken(opened.about.name, snapshot, now_us), quiet.wait)
        except BaseException:
            await quiet.abort()
            raise

    outcomes = await asyncio.gather(*(one(opened) for opened in held), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    causes = [failure for failure in failures if not isinstance(failure, asyncio.BrokenBarrierError)]
    if failures:
        raise causes[0] if causes else VolumeError("the volumes do not come to rest together")
    return [outcome for outcome in outcomes if isinstance(outcome, Volume)]


def _taken(name: str, snapshot: str, now_us: int | None = None) -> _Change:
    def change(catalog: Catalog) -> Volume:
        layer, snapshot_id, taken_us = catalog.new_layer(), os.urandom(16).hex(), now_us or wall_us()
        return catalog.change(name, lambda each: volumes.with_snapshot(each, snapshot_id, snapshot, layer, taken_us))

    return change


async def roll_back(gateway: Holder, name: str, snapshot: str) -> Volume:
    """Make a volume as it was. Nobody may use it."""

    def change(catalog: Catalog) -> Volume:
        layer = catalog.new_layer()
        before = catalog.find(name)
        catalog.doom(before.family, volumes.given_up(before, volumes.rolled_back(before, snapshot, layer)))
        return catalog.change(name, lambda each: volumes.rolled_back(each, snapshot, layer))

    async with gateway.lock(name):
        opened = await gateway.hold(name, unused=True)
        about = await gateway.switch(opened, change)
        gateway.serve(opened)
        return about


async def give_up(gateway: Holder, name: str, snapshot: str) -> Volume:
    """Delete a snapshot that nobody reads through. Its space is given back in the background."""
    async with gateway.lock(name):
        about = await gateway.catalog(lambda catalog: catalog.delete_snapshot(name, snapshot))
        opened = gateway.held(name)
        if opened is not None:
            opened.about = about
        return about
