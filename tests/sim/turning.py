"""What goes wrong as the rings change: who is new, or has not heard of it, is cut off, slow, full or late."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from storage.rings.document import Stage
from tests.sim.disk import ENDLESS
from tests.sim.topology import Stages
from tests.sim.world import World

Links = set[tuple[str, str]]
_LEFT_BEHIND_S = 9.0  # at most: a change that waits for somebody else takes longer


class Turning:
    """Troubles a change of the rings, each method at one of its stages."""

    def __init__(
        self,
        world: World,
        chance: random.Random,
        note: Callable[[str], None],
        begin: Callable[[Coroutine[Any, Any, None]], None],
        hold_cut: Callable[[Links], None],
    ) -> None:
        """`begin` runs something beside; `hold_cut` keeps just these links cut, whatever else is healed."""
        self._world = world
        self._chance = chance
        self._note = note
        self._begin = begin
        self._hold_cut = hold_cut
        self.stages = Stages(world)

    async def keep_apart(self) -> None:
        """Cut off two devices or more that a change of the rings brings, as soon as they have copied what there is.

        What is written then must be on a quorum of the new places nevertheless. From the next step on, clients reach
        those devices again but for one proxy, which has not heard of that step, and other devices do not reach them:
        what they have missed nobody brings them.
        """
        await self.stages.until_copied(4.0)
        new, late = [f"d{number}" for number in self._newcomers(2)], self._any_proxy()
        self._note(f"new devices {new} are kept apart, longest from {late}")
        self._begin(self._hear_late(late))
        links = {*itertools.product(new, self._others(new)), *itertools.product(self._others(new), new)}
        self._hold_cut(links)
        await self.stages.until_next(3.0)
        proxies = {proxy.name for proxy in self._world.proxies} - {late}
        self._hold_cut({link for link in links if not proxies.intersection(link)})
        await asyncio.sleep(self._chance.uniform(0.5, 2.0))
        self._hold_cut(set())

    async def leave_alone(self) -> None:
        """Cut off the devices that a change brings from all others, from its beginning on: they copy nothing."""
        new = [f"d{number}" for number in self._newcomers(1)]
        proxies = {proxy.name for proxy in self._world.proxies}
        devices = [name for name in self._others(new) if name not in proxies]
        self._note(f"new devices {new} are left alone")
        self._hold_cut({*itertools.product(new, devices), *itertools.product(devices, new)})
        await asyncio.sleep(self._chance.uniform(2.0, 7.0))
        self._hold_cut(set())

    async def burden(self) -> None:
        """Let devices that a change brings be slow to write, or have no room: they answer, and miss what is written.

        From when they have copied what there is until a while after the next step.
        """
        await self.stages.until_copied(4.0)
        new = [self._world.devices[number] for number in self._newcomers(self._chance.choice([1, 2, 2]))]
        full = self._chance.random() < 0.5
        self._note(f"new devices {[device.name for device in new]} {'are full' if full else 'write slowly'}")
        self._world.had_full_disks |= full
        self._begin(self._hear_late(self._any_proxy()))
        for device in new:
            if full:
                device.storage.capacity = device.storage.used()
            else:
                device.storage.faults.slow_s = 1.5
        await self.stages.until_next(3.0)
        await asyncio.sleep(self._chance.uniform(0.5, 3.0))
        for device in new:
            device.storage.capacity, device.storage.faults.slow_s = ENDLESS, 0.0

    def _any_proxy(self) -> str:
        return self._chance.choice(self._world.proxies).name

    async def _hear_late(self, proxy: str) -> None:
        """Let a proxy go on by the version of the rings that is in force while others go by the next one already."""
        self._world.registry.blind.add(proxy)
        await self.stages.until_next(3.0)
        await asyncio.sleep(self._chance.uniform(0.5, 2.0))
        self._world.registry.blind.discard(proxy)

    async def leave_behind(self) -> None:
        """Let a proxy not hear of a change from its beginning until after its end."""
        proxy = self._any_proxy()
        self._note(f"{proxy} is left behind")
        self._world.registry.blind.add(proxy)
        until = self._world.loop.time() + _LEFT_BEHIND_S
        while self.stages.document().stage is not Stage.STABLE and self._world.loop.time() < until:
            await self.stages.until_next(3.0)
        await asyncio.sleep(self._chance.uniform(0.5, 3.0))
        self._world.registry.blind.discard(proxy)

    def _newcomers(self, count: int) -> list[int]:
        """Return the devices that a change brings; others, too, when those are fewer than `count`."""
        new = self.stages.newcomers()
        others = [device.id for device in self._world.devices if device.up and device.id not in new]
        return new + self._chance.sample(others, max(0, count - len(new)))

    def _others(self, names: Sequence[str]) -> list[str]:
        return [host.name for host in self._world.hosts if host.name not in names]
