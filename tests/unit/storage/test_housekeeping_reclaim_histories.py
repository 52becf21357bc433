"""storage.housekeeping.reclaim_databases: random histories of writes, faults and housekeeping, and late messages."""

import asyncio
import random
from typing import Any

import msgpack
import pytest

from cluster.clock import Timestamp
from cluster.wire import PeerUnavailable, RemoteError
from proxy.objects import errors
from storage.client import Placement
from storage.housekeeping import rows
from storage.indexes import admission, reclaims
from storage.messages import (
    DatabaseKind,
    Holding,
    Operation,
)
from tests.loopback import LoopbackCluster, LoopbackDevice, in_cluster, names_in, put
from tests.splitting import Splitting
from tests.unit.storage.reclaiming import (
    ACCOUNT,
    give_up,
    holders_of,
    key_of,
    named,
    pass_of,
    synchronize_all,
    tombstones,
)

pytestmark = pytest.mark.usefixtures("impatience")


class Late:
    """Remembers what was sent to databases, and sends it again much later: messages of proxies that slept."""

    WANTED = (Operation.INDEX_ROWS, Operation.INDEX_CREATE)

    def __init__(self, cluster: LoopbackCluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.random = chance
        self.kept: list[tuple[int, int, bytes]] = []

    def listen(self, placement: Placement) -> None:
        for device_id, peer in placement.peers.items():
            self._listen_to(device_id, peer)

    def _listen_to(self, device_id: int, peer: Any) -> None:
        call = peer.call

        def recorded(operation: int, metadata: Any, *arguments: Any, **named: Any) -> Any:
            if operation in self.WANTED:
                self.kept.append((device_id, int(operation), msgpack.packb(metadata)))
            return call(operation, metadata, *arguments, **named)

        peer.call = recorded

    async def send(self, count: int) -> None:
        """Send some again, to whom they were sent."""
        for _ in range(min(count, len(self.kept))):
            device_id, operation, packed = self.random.choice(self.kept)
            peer = self.cluster.devices[0].peers[device_id]
            try:
                await peer.call(operation, msgpack.unpackb(packed), tag=self.cluster.rings.version)
            except (RemoteError, PeerUnavailable):
                continue


class History:
    """Random writes, deletions, faults and housekeeping; what is acknowledged must be what is listed."""

    def __init__(self, cluster: LoopbackCluster, seed: int) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        proxy = cluster.proxy(cluster.time_us)
        self.service = proxy.service
        self.late = Late(cluster, self.random)
        self.late.listen(proxy.placement)
        for device in cluster.devices:
            self.late.listen(device.placement)
        # what may be listed of a name: True, False; None as container: it may be there or not
        texts = "abcdefgh" if cluster.split_rows else "abc"
        self.model: dict[str, set[bool]] = {text: {False} for text in texts}
        self.exists: set[bool] = {False}
        self.down: LoopbackDevice | None = None
        self.splits = Splitting(cluster) if cluster.split_rows else None

    async def run(self, steps: int) -> None:
        often = (self.put, self.delete, self.read, self.reclaim)
        rare = (self.fault, self.synchronize, self.race, self.container, self.add_rows, self.late_messages, self.split)
        actions = (*often, *often, *rare, self.absence, self.absence)
        for _ in range(steps):
            await self.random.choice(actions)()
        if self.down is not None:
            self.cluster.bring_back(self.down)
            self.down = None
        await self.read()

    def any(self) -> str:
        return self.random.choice(list(self.model))

    async def put(self) -> None:
        text = self.any()
        try:
            await put(self.service, named(text), b"data")
            self.model[text] = {True}
            self.exists = {True}
        except errors.NoSuchContainer:
            assert False in self.exists
        except (errors.Unavailable, errors.ContainerRemade):
            self.model[text] = {True, False}

    async def delete(self) -> None:
        text = self.any()
        try:
            await self.service.delete_object(named(text))
            self.model[text] = {False}
        except errors.NoSuchContainer:
            assert False in self.exists
        except (errors.Unavailable, errors.ContainerRemade):
            self.model[text] |= {False}

    async def container(self) -> None:
        """Create the container, or delete it if it is empty."""
        try:
            if self.random.random() < 0.5:
                await self.service.create_container(ACCOUNT, "c", {})
                if True not in self.exists:
                    self.model = {text: {False} for text in self.model}
                self.exists = {True}
            else:
                await self.service.delete_container(ACCOUNT, "c")
                self.exists = {False}
                self.model = {text: {False} for text in self.model}
        except errors.ContainerNotEmpty:
            pass
        except errors.NoSuchContainer:
            assert False in self.exists
        except errors.Unavailable:
            self.exists |= {True, False}

    async def read(self) -> None:
        try:
            found = await names_in(self.service, ACCOUNT, "c")
        except errors.NoSuchContainer:
            assert False in self.exists
            self.exists = {False}
            return
        except errors.Unavailable:
            return
        assert True in self.exists, found
        self.exists = {True}
        for text, possible in self.model.items():
            assert (text in found) in possible, (text, found, possible)
            # a row that is missing may come yet, when it was never confirmed
            if text in found:
                possible.discard(False)

    async def fault(self) -> None:
        if self.down is not None:
            self.cluster.bring_back(self.down)
            self.down = None
            await self.read()
            return
        device = self.random.choice(holders_of(self.cluster))
        if self.random.random() < 0.6:
            self.down = device
            self.cluster.take_down(device)
        else:
            await device.crash()
            device.start()

    async def absence(self) -> None:
        """Let a replica miss what happens, and be asked before it has heard of it."""
        if self.down is None:
            await self.put()
            await self.cluster.quiet()
            with self.cluster.without(self.random.choice(holders_of(self.cluster))):
                for _ in range(3):
                    await self.delete()
            await give_up(self.cluster, 0.0)
            await self.read()

    async def synchronize(self) -> None:
        device = self.random.choice(self.cluster.devices)
        for kind in DatabaseKind:
            await device.synchronize(kind).step()
        await device.replicate().step()

    async def add_rows(self) -> None:
        await self.random.choice(self.cluster.devices).add_rows().step()

    async def late_messages(self) -> None:
        await self.late.send(10)

    async def reclaim(self) -> None:
        await pass_of(self.random.choice(self.cluster.devices).reclaim_databases(0.0))

    async def split(self) -> None:
        if self.splits is not None:
            await self.splits.task(self.random.choice(self.cluster.devices)).step()

    async def race(self) -> None:
        """Write while tombstones go."""
        await asyncio.gather(self.put(), self.reclaim(), self.synchronize(), self.late_messages(), self.reclaim())


async def play(cluster: LoopbackCluster, seed: int, steps: int) -> None:
    """Play a history, and see that nothing is left in the end."""
    history = History(cluster, seed)
    await history.service.create_container(ACCOUNT, "c", {})
    history.exists = {True}
    await history.run(steps)
    if history.splits is not None:
        await history.splits.settle()
    for _ in range(4):
        await synchronize_all(cluster)
        for device in cluster.devices:
            await device.replicate().step()
            await device.add_rows().step()
        await give_up(cluster, 0.0)
        await history.late.send(40)
        await history.read()
    await synchronize_all(cluster)
    await give_up(cluster, 0.0)
    assert len(await tombstones(holders_of(cluster)[0], key_of(cluster))) == 0
    await history.read()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_nothing_deleted_comes_back_and_nothing_listed_goes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reclaim age is none here, so that the protocol alone must do it."""
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    in_cluster(lambda cluster: play(cluster, seed, 60))()


@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_while_containers_are_split_and_merged(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    in_cluster(lambda cluster: play(cluster, seed, 60), split_rows=4)()


def _all_tombstones(_header: Any, _known: Any, names: Any, _floor: Timestamp) -> bytes:
    return bytes([Holding.TOMBSTONE]) * len(names)


RULES: dict[str, tuple[Any, str, Any]] = {
    "below the floor no name begins": (admission, "is_old", lambda _row, _floor: False),
    "what changes nothing is not recorded": (admission, "without_repeated", lambda change, _known, _floor: change),
    "who has something else keeps it": (reclaims, "holdings_of_rows", _all_tombstones),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_matters(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history finds out when one is left out; the others' tests are above."""
    monkeypatch.setattr(rows, "PATIENCE_S", 0.0)
    monkeypatch.setattr(*RULES[rule])
    for seed in range(12):
        try:
            in_cluster(lambda cluster, seed=seed: play(cluster, seed, 60))()  # type: ignore[misc]
        except AssertionError:
            return
    pytest.fail("nobody noticed")
