"""Begins what is due: dropping, purging, merging, flattening. Each gateway looks; the lease says who does it."""

import asyncio

from blockgw.catalog.errors import CatalogError
from blockgw.catalog.family import Family
from blockgw.catalog.volume import State, Volume
from blockgw.errors import VolumeError
from blockgw.holding import Holder
from blockgw.lifecycle import purge
from blockgw.maintenance import garbage
from blockgw.maintenance.flatten import flatten
from blockgw.maintenance.jobs import Job, Jobs
from blockgw.maintenance.merge import merge
from cluster.clock import wall_us
from cluster.telemetry.log import get_logger

PERIOD_S = 30.0
_log = get_logger("blockgw")


class Upkeep:
    """Of one gateway."""

    def __init__(self, gateway: Holder, jobs: Jobs) -> None:
        self._gateway = gateway
        self._jobs = jobs
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    def start(self) -> None:
        """Look now, and from time to time."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Look soon: something may have become due."""
        self._wanted.set()

    async def close(self) -> None:
        """Look no more, and break off what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._jobs.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
            except (VolumeError, CatalogError) as error:
                _log.info("upkeep_put_off", error=str(error))
            except Exception as error:
                _log.error("upkeep_failed", error=error)
            try:
                async with asyncio.timeout(PERIOD_S):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            self._wanted.clear()

    async def step(self) -> None:
        """Look once; return what is begun in the background without waiting for it."""
        everybody = await self._gateway.catalog(lambda catalog: catalog.all())
        families: dict[str, list[Volume]] = {}
        for each in everybody:
            families.setdefault(each.family, []).append(each)
        for members in families.values():
            family = Family(members)
            for each in members:
                if _is_due(each):
                    await self._purge(each.name)
                elif each.state is State.AVAILABLE:
                    self._begin(each, family)
        await garbage.sweep(self._gateway)
        await self._gateway.refresh()

    def _begin(self, about: Volume, family: Family) -> None:
        if about.flattening:
            self.flatten(about.name)
        elif family.mergeable(about):
            self._jobs.start("merge", about.name, lambda job: self._merged(about.name, job))

    def flatten(self, name: str) -> Job:
        """Have a clone made independent, in the background."""
        return self._jobs.start("flatten", name, lambda job: flatten(self._gateway, name, job))

    async def _merged(self, name: str, job: Job) -> None:
        if await merge(self._gateway, name, job):
            self.wake()  # there is something to be dropped

    async def _purge(self, name: str) -> None:
        try:
            await purge(self._gateway, name)
        except (VolumeError, CatalogError) as error:
            _log.warning("not_purged", volume=name, error=str(error))
        else:
            _log.info("purged", volume=name)


def _is_due(about: Volume) -> bool:
    """Tell whether a volume's time in the trash is over, or its deletion was broken off."""
    if about.state is State.DELETING:
        return True
    return about.state is State.TRASHED and 0 < about.purge_us <= wall_us()
