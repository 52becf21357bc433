"""Changes of the rings while everything else goes on: devices come, or are drained, as an operator does it."""

import asyncio
import random
from collections.abc import Callable, Mapping

from cluster.coordination.errors import CoordinationError
from ring.builder import RingBuilder
from ring.lookup import Ring
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT, RingDocument
from storage.rings.errors import RingsError
from storage.rings.moves import moves_of
from storage.rings.store import RingStore
from tests.sim.shape import REPLICAS
from tests.sim.world import World, ring_device

_TRIES = 20
_WEIGHT = 100.0


class Operator:
    """Changes the rings, and sees to it that devices run which they need."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance

    async def change(self) -> bool:
        """Begin a change; coordination may be away for a while. Tell whether there is one."""
        world = self._world
        builder, steps = world.builder, list[str]()
        exchanged = self._chance.random() < 0.6
        small = self._chance.choice([(True,), (False,), (False, True)])
        for drains in (False, False, True, True) if exchanged else small:
            builder, step = self._drained(builder) if drains else self._filled(builder)
            steps.append(step)
        for _ in range(REPLICAS):  # each moves one replica of a partition: together they may leave no quorum in place
            builder = builder.rebalance(seed=world.chance.seed, now_s=0)[0]
        for number in sorted(world.in_ring):
            world.devices[number].start()
        return await self._begin(builder, ", ".join(steps))

    async def _begin(self, builder: RingBuilder, note: str) -> bool:
        world, ring = self._world, builder.to_ring()
        for _ in range(_TRIES):
            try:
                now_us = world.proxies[0].wall_us()
                world.rings().begin(dict.fromkeys((ACCOUNT, CONTAINER, OBJECT), ring), note, now_us)
            except (CoordinationError, RingsError) as error:
                world.trace.note(f"OPERATOR waits: {error!r}")
                await asyncio.sleep(0.5)
            else:
                world.trace.note(f"OPERATOR {note}")
                world.builder = builder
                return True
        return False

    def _drained(self, builder: RingBuilder) -> tuple[RingBuilder, str]:
        """Take everything off a device that the last change did not bring."""
        weighty = _weighty(builder)
        number = self._chance.choice(sorted(weighty & _weighty(self._world.builder)))
        if len(weighty) <= REPLICAS:
            return builder, "nothing"
        return builder.set_weight(number, 0.0), f"drain d{number}"

    def _filled(self, builder: RingBuilder) -> tuple[RingBuilder, str]:
        """Let a device come that is new or was drained before."""
        idle = [device.id for device in self._world.devices if device.id not in _weighty(builder)]
        if not idle:
            return builder, "nothing"
        number = self._chance.choice(idle)
        self._world.in_ring.add(number)
        if any(device is not None and device.id == number for device in builder.devices):
            return builder.set_weight(number, _WEIGHT), f"refill d{number}"
        return builder.add(ring_device(number)), f"add d{number}"


def _weighty(builder: RingBuilder) -> set[int]:
    return {device.id for device in builder.devices if device is not None and device.weight > 0}


class Stages:
    """Tells when a change of the rings gets to its next version: then is when trouble tells most."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rings = RingStore(world.registry.observe())

    def document(self) -> RingDocument:
        """Return the version that is published."""
        return self._rings.document()

    def newcomers(self) -> list[int]:
        """Return the devices that the change under way brings; when it only drains some, those that stay."""
        old, new = (self._holding(rings.get(OBJECT)) for rings in self._both(self.document()))
        return sorted(new - old or new)

    def _holding(self, ring: Ring | None) -> set[int]:
        """Return the devices that have a partition."""
        if ring is None:
            return set()
        return {device.id for partition in range(ring.partition_count) for device in ring.primaries(partition)}

    async def until_copied(self, limit_s: float) -> None:
        """Wait until all devices have copied what moves to them under the version that is published."""
        document, until = self.document(), self._world.loop.time() + limit_s
        joiners = moves_of(*self._both(document)).joiners

        def copied() -> bool:
            found = self._rings.progress()
            reports = [found.get(number) for number in joiners]
            return all(report is not None and report.version == document.version and report.done for report in reports)

        while not copied() and self._world.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _both(self, document: RingDocument) -> tuple[Mapping[str, Ring], Mapping[str, Ring]]:
        rings = self._rings.rings_of(document)
        return rings.current, rings.target

    async def until_next(self, limit_s: float) -> None:
        """Wait until another version is published."""
        seen, until = self.document().version, self._world.loop.time() + limit_s
        while self.document().version == seen and self._world.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def follow(self, over: Callable[[], bool], react: Callable[[RingDocument], None]) -> None:
        """Call `react` with each new version, until it is over."""
        seen = 0
        while not over():
            await asyncio.sleep(0.05)
            document = self.document()
            if document.version > seen:
                seen = document.version
                react(document)

