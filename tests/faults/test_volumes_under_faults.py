"""Processes die under a writer of a volume, again and again; a gateway is stopped, and goes on too late."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from blockgw.gateway import Gateway
from blockgw.interfaces import Client
from blockgw.lease import TTL_S
from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from storage.client import connected_placement
from storage.rings.background import BackgroundStore
from storage.rings.follower import RingFollower
from tests.cluster import Cluster, running
from tests.faults.volume_load import BLOCK, VolumeLoad, content
from tests.nbd_disk import DiskError, NbdDisk

ROUNDS = int(os.environ.get("HOLDFAST_TEST_ROUNDS", "3"))  # 50 of one kind take three to six minutes
LOAD_S = 1.0  # before and after each death
PATIENCE_S = 30.0
BLOCKS = 300  # that are written, over 11 chunks


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("volumes") / "data")


def address(cluster: Cluster) -> tuple[str, int]:
    return "127.0.0.1", 10809 + cluster.offset


def kill(cluster: Cluster, victim: str) -> None:
    if victim == "everything":
        cluster.kill_everything()
        cluster.up()
    else:
        os.kill(cluster.processes()[victim], signal.SIGKILL)


@pytest.mark.parametrize("victim", ["gateway", "storage", "everything"])
def test_nothing_that_was_answered_is_undone_by_a_death(cluster: Cluster, victim: str) -> None:
    cluster.holdfast("volume", "create", f"dies-{victim}", "64M")
    load = VolumeLoad(address(cluster), f"dies-{victim}", BLOCKS, seed=1)
    for round_number in range(ROUNDS):
        names = {"gateway": "gateway-0", "storage": f"storage-{round_number % cluster.nodes}"}
        before = load.acknowledged
        with load.running():
            time.sleep(LOAD_S)
            kill(cluster, names.get(victim, victim))
            deadline = time.monotonic() + PATIENCE_S
            written = load.acknowledged
            while load.acknowledged < written + BLOCKS:  # it goes on, and is not killed before it has
                assert time.monotonic() < deadline, f"round {round_number}: nothing is written any more"
                time.sleep(0.1)
        load.check(PATIENCE_S)
        assert not load.violations, f"round {round_number}: {load.violations[:5]}"
        assert load.acknowledged > before + BLOCKS
    print(f"{load.acknowledged} writes, {load.flushed} flushes, {load.connections} connections")
    if victim != "storage":
        assert load.connections > ROUNDS


def test_a_gateway_that_goes_on_after_its_lease_cannot_write(cluster: Cluster) -> None:
    """It is stopped, somebody else opens the volume and writes, and it goes on with a write that it has read."""
    cluster.holdfast("volume", "create", "taken", "16M")
    gateway = cluster.processes()["gateway-0"]
    with NbdDisk(*address(cluster), "taken") as disk:
        disk.write({0: content(0, 1)}, fua=True)
        os.kill(gateway, signal.SIGSTOP)
        try:
            disk.write_later({0: content(0, 2)})
            time.sleep(TTL_S + 1)
            uvloop.run(_write_as_another(cluster.directory, "taken", content(0, 3)))
        finally:
            os.kill(gateway, signal.SIGCONT)
        with pytest.raises((DiskError, OSError, EOFError)):
            disk.answers(1)
    deadline = time.monotonic() + PATIENCE_S
    found = b""
    while not found:
        try:
            with NbdDisk(*address(cluster), "taken") as disk:
                found = disk.read([0], BLOCK)[0]
        except (OSError, EOFError):
            assert time.monotonic() < deadline, "the volume cannot be opened any more"
            time.sleep(0.2)
    assert found == content(0, 3)


async def _write_as_another(directory: Path, name: str, data: bytes) -> None:
    """Open a volume as a second gateway would, write to it, and leave."""
    layout = Layout(directory)
    coordination = EmbeddedCoordination(layout.coordination)
    background = BackgroundStore(lambda: EmbeddedCoordination(layout.coordination))
    follower = RingFollower(coordination, "another-gateway", background)
    placement = connected_placement(load(layout.config), layout, follower.load(), follower.refresh)
    placement.start()
    await asyncio.gather(*(peer.ready(PATIENCE_S) for peer in placement.peers.values()))
    gateway = Gateway(placement, background, "another-gateway")
    export = await gateway.open(name, Client(""))
    await export.write(0, memoryview(data), True)
    gateway.release(export)
    await gateway.close()
    await follower.close()
    await background.close()
    await placement.close()
    coordination.close()
