"""Containers that are split and merged while clients write and list, and whoever splits them dies at any step.

Every name has one writer at a time, so a listing can be judged: a name whose last change was acknowledged before the
listing began, and that nobody has touched until it ended, is there or not as that change said.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from proxy.objects.errors import Unavailable
from proxy.objects.model import CommonPrefix, ListingQuery, ObjectName
from proxy.objects.service import ObjectService
from storage.client import Placement
from storage.housekeeping.split import SplitContainers
from storage.messages import Operation
from storage.ranges import decision
from tests.loopback import LoopbackCluster, LoopbackPeer, Loss, in_cluster, put
from tests.splitting import Splitting

ACCOUNT = "AUTH_a"
ROWS = 16
SEEDS = range(3)
ALPHABET = "abc"
STEPS_LIMIT = 3 * 150  # of a client


@dataclass
class Record:
    """What is known of one name."""

    present: bool | None = False  # None: in doubt
    changing: int = 0
    changes: int = 0  # begun, ever


@dataclass
class Model:
    """What a container must list."""

    chance: random.Random
    records: dict[str, Record] = field(default_factory=dict)
    listings: int = 0
    unavailable: int = 0

    def snapshot(self) -> dict[str, tuple[bool | None, int]]:
        """Return of each name what it must be, unless it is changed from now on."""
        return {
            name: (None if record.changing else record.present, record.changes)
            for name, record in self.records.items()
        }

    def check(self, listed: list[str], before: dict[str, tuple[bool | None, int]], query: ListingQuery) -> None:
        """Judge a whole listing."""
        self.listings += 1
        steady = {
            name: present
            for name, (present, changes) in before.items()
            if present is not None and self.records[name].changes == changes
        }
        order = sorted(listed, reverse=query.reverse)
        assert listed == order, f"{query}: {listed}"
        assert len(set(listed)) == len(listed), f"{query}: something twice in {listed}"
        sure = {rolled(name, query) for name, present in steady.items() if present and shown(name, query)} - {""}
        missing = sure - set(listed) - {query.marker}
        assert not missing, f"{query}: {missing} are missing in {listed}"
        may = {
            rolled(name, query)
            for name in self.records
            if shown(name, query) and steady.get(name) is not False
        }
        assert set(listed) <= may, f"{query}: {set(listed) - may} should not be listed"


def shown(name: str, query: ListingQuery) -> bool:
    """Tell whether a name is within the bounds of a query."""
    if not name.startswith(query.prefix):
        return False
    if query.reverse:
        return not query.marker or name < query.marker
    return not query.marker or name > query.marker


def rolled(name: str, query: ListingQuery) -> str:
    """Return what stands for a name in a listing."""
    cut = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
    return name if cut < 0 else name[: cut + 1]


async def list_all(service: ObjectService, query: ListingQuery) -> list[str]:
    """Return a whole listing, read in pages."""
    found: list[str] = []
    marker, truncated = query.marker, True
    while truncated:
        page = await service.list_container(
            ACCOUNT,
            "c",
            ListingQuery(query.limit, query.prefix, marker, "", query.delimiter, query.reverse),
        )
        assert len(page.items) <= query.limit
        found += [str(item) if isinstance(item, CommonPrefix) else item.name for item in page.items]
        truncated = page.truncated
        if truncated:
            marker = found[-1]
    return found


class Client:
    """Writes names of its own, and lists all."""

    def __init__(self, number: int, model: Model, service: ObjectService) -> None:
        self._model = model
        self._service = service
        chance = model.chance
        self._names = [
            "/".join(chance.choice(ALPHABET) * chance.randint(1, 2) for _ in range(chance.randint(1, 3))) + f"-{number}"
            for _ in range(12)
        ]

    async def run(self, splitters: "Splitters") -> None:
        """Do something, until enough has been split and merged meanwhile."""
        for _ in range(STEPS_LIMIT):
            if splitters.have_done_enough():
                return
            weights = (6, 1, 2) if splitters.done % 2 == 0 else (1, 8, 2)  # it grows, and shrinks
            act = self._model.chance.choices((self._put, self._delete, self._list), weights)[0]
            try:
                await act()
            except Unavailable:
                self._model.unavailable += 1

    async def empty(self) -> None:
        """Delete all."""
        for name in self._names:
            await self._change(name, False)

    async def _put(self) -> None:
        await self._change(self._model.chance.choice(self._names), True)

    async def _delete(self) -> None:
        await self._change(self._model.chance.choice(self._names), False)

    async def _change(self, text: str, present: bool) -> None:
        record = self._model.records.setdefault(text, Record())
        record.changing += 1
        record.changes += 1
        record.present = None
        name = ObjectName(ACCOUNT, "c", text)
        try:
            await (put(self._service, name, b"data") if present else self._service.delete_object(name))
            record.present = present
        finally:
            record.changing -= 1

    async def _list(self) -> None:
        chance = self._model.chance
        query = ListingQuery(
            chance.choice((1, 3, 100)),
            chance.choice(("", "", chance.choice(ALPHABET), chance.choice(ALPHABET) + "/")),
            chance.choice(("", chance.choice(ALPHABET) + "/", chance.choice(self._names))),
            "",
            chance.choice(("", "/")),
            chance.random() < 0.3,
        )
        before = self._model.snapshot()
        self._model.check(await list_all(self._service, query), before, query)


class Splitters:
    """Devices that split and merge, one after the other, and are killed at any moment."""

    def __init__(self, cluster: LoopbackCluster, chance: random.Random, deadly: bool) -> None:
        self._splits = Splitting(cluster)
        self._cluster = cluster
        self._chance = chance
        self._deadly = deadly
        self.done = self.kills = self.died = 0
        self.over = False

    def have_done_enough(self) -> bool:
        """Tell whether there were enough splits and merges, and deaths."""
        return self.done > (1 if self._deadly else 2) and (not self._deadly or self.kills + self.died > 2)

    async def run(self) -> None:
        """Go on until it is over."""
        while not self.over:
            await self._splits.report()
            task, placement = self._task()
            running = asyncio.create_task(task.step())
            cut = self._deadly and (self.kills < 2 or self._chance.random() < 0.5)
            if cut:
                await self._kill(placement)
            try:
                await asyncio.wait_for(running, self._chance.uniform(0, 2) if self._deadly and not cut else None)
            except TimeoutError:
                self.died += 1
            self.done += task.split_count + task.merge_count + task.settled_count
            for peer in _loopback(placement):
                peer.disconnect()
            self._splits.leases.now_s += 100
            await asyncio.sleep(0.01)

    def _task(self) -> tuple[SplitContainers, Placement]:
        """Return a splitter with connections of its own, which can be cut."""
        device = self._chance.choice([device for device in self._cluster.devices if device.running])
        placement = self._cluster.placement(f"splitter on {device.id}")
        task = self._splits.task(device)
        task._placement = placement
        task._mover._placement = placement
        return task, placement

    async def _kill(self, placement: Placement) -> None:
        """Let it die in the middle of a message to several."""
        operations = (Operation.INDEX_FREEZE, Operation.INDEX_MOVE, Operation.INDEX_MOVE, Operation.INDEX_CREATE)
        deadly = self._chance.choice(operations)
        left = self._chance.randint(0, 5)

        def loss(operation: int) -> Loss | None:
            nonlocal left
            if operation == deadly:
                left -= 1
                if left < 0:
                    self.kills += left == -1
                    asyncio.get_running_loop().call_soon(cut)
                    return Loss.REQUEST
            return None

        def cut() -> None:
            for peer in _loopback(placement):
                peer.disconnect()

        for peer in _loopback(placement):
            peer.faults.loss = loss


def _loopback(placement: Placement) -> list[LoopbackPeer]:
    return cast(list[LoopbackPeer], list(placement.peers.values()))


async def play(cluster: LoopbackCluster, seed: int, deadly: bool) -> tuple[Model, Splitters]:
    """Have clients at two proxies write and list while splitters are at work."""
    model = Model(random.Random(seed))
    services = [cluster.proxy().service for _ in range(2)]
    await services[0].create_container(ACCOUNT, "c", {})
    splitters = Splitters(cluster, random.Random(seed + 1000), deadly)
    running = asyncio.create_task(splitters.run())
    clients = [Client(number, model, services[number % 2]) for number in range(5)]
    await asyncio.gather(*(client.run(splitters) for client in clients))
    splitters.over = True
    await running
    for service in (*services, cluster.proxy().service):
        for query in (ListingQuery(3), ListingQuery(100, reverse=True), ListingQuery(2, delimiter="/")):
            model.check(await list_all(service, query), model.snapshot(), query)
    await Splitting(cluster).settle()
    for service in (*services, cluster.proxy().service):
        for query in (ListingQuery(3), ListingQuery(100, reverse=True), ListingQuery(2, delimiter="/")):
            model.check(await list_all(service, query), model.snapshot(), query)
    assert model.listings > 20
    return model, splitters


@pytest.fixture(autouse=True)
def short_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a dead splitter has frozen thaw soon."""
    monkeypatch.setattr(decision, "FREEZE_S", 0.5)


def run(scenario: Callable[[LoopbackCluster], object]) -> None:
    in_cluster(scenario, split_rows=ROWS)()  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_client_sees_that_a_container_is_split_and_merged(seed: int) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        model, splitters = await play(cluster, seed, deadly=False)
        assert model.unavailable == 0
        assert splitters.done > 1

    run(scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_when_splitters_die_at_any_step(seed: int) -> None:
    async def scenario(cluster: LoopbackCluster) -> None:
        _model, splitters = await play(cluster, seed, deadly=True)
        assert splitters.kills + splitters.died > 0

    run(scenario)
