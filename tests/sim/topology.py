"""Changes of the rings while everything else goes on: a device comes, or one is drained, as an operator does it."""

import asyncio
import random

from cluster.coordination.errors import CoordinationError
from ring.builder import RingBuilder
from storage.rings.document import ACCOUNT, CONTAINER, OBJECT
from storage.rings.errors import RingsError
from tests.sim.world import REPLICAS, World, ring_device

_TRIES = 20


class Operator:
    """Changes the rings, and sees to it that devices run which they need."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self.changes: list[str] = []

    async def change(self) -> None:
        """Begin a change; coordination may be away for a while."""
        world = self._world
        builder, note = self._next()
        if builder is None:
            return
        for number in sorted(world.in_ring):
            world.devices[number].start()
        ring = builder.to_ring()
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
                self.changes.append(note)
                return

    def _next(self) -> tuple[RingBuilder | None, str]:
        world = self._world
        spare = [device.id for device in world.devices if device.id not in world.in_ring]
        weighty = [device.id for device in world.builder.devices if device is not None and device.weight > 0]
        drain = len(weighty) > REPLICAS and (not spare or self._chance.random() < 0.5)
        if drain:
            number = self._chance.choice(weighty)
            builder, note = world.builder.set_weight(number, 0.0), f"drain d{number}"
        elif spare:
            number = self._chance.choice(spare)
            builder, note = world.builder.add(ring_device(number)), f"add d{number}"
            world.in_ring.add(number)
        else:
            return None, ""
        return builder.rebalance(seed=world.chance.seed, now_s=0)[0], note
