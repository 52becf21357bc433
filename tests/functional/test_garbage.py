"""What is garbage goes from a running cluster: expired objects, parts that nothing names, old tombstones."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.clock import HybridClock
from cluster.config import load
from cluster.coordination.embedded import EmbeddedCoordination
from cluster.layout import Layout
from proxy.objects.model import NewObject, ObjectName
from proxy.objects.multipart import Multipart
from proxy.objects.service import ObjectService
from storage.client import connected_placement
from storage.rings.store import RingStore
from tests.cluster import Cluster
from tests.functional.swift import Account
from tests.loopback import body_of

AGE_S = 60.0  # the least that may be configured, for both
PATIENCE_S = 4 * AGE_S
LARGE = bytes(3 << 20)


pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the least reclaim age is a minute


@pytest.fixture(scope="module")
def clearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that gives things up early."""
    cluster = Cluster(tmp_path_factory.mktemp("clearing") / "data")
    cluster.storage_settings = {"reclaim_age_s": AGE_S, "orphan_grace_s": AGE_S}
    cluster.proxy_settings = {"multipart_grace_s": AGE_S}
    cluster.up()
    yield cluster
    cluster.holdfast("down", check=False)


def total(cluster: Cluster, name: str) -> float:
    """Return the sum of a metric over all devices."""
    return sum(cluster.metrics(device)[f"holdfast_device_{name}"] for device in range(cluster.nodes))


def files(cluster: Cluster) -> list[Path]:
    """Return the files of large objects."""
    return [path for path in cluster.directory.glob("nodes/*/*/blobs/files/*/*") if path.is_file()]


def until(condition: Callable[[], bool], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_an_expired_object_is_gone_with_its_bytes_and_its_row(clearing: Cluster, tmp_path: Path) -> None:
    """OpenStack Object Storage API, "Schedule objects for deletion"; python-swiftclient's `swift`."""
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(LARGE)
    for name in ("small", "large"):
        clearing.run(
            "swift", "upload", "-H", "X-Delete-After: 4", "--object-name", name, "expiring", str(tmp_path / name)
        )
    (tmp_path / "kept").write_bytes(b"kept")
    clearing.run("swift", "upload", "--object-name", "kept", "expiring", str(tmp_path / "kept"))
    assert len(files(clearing)) == 3
    assert total(clearing, "expiring") == 6
    until(lambda: not files(clearing) and not total(clearing, "expiring"), 40)
    account = Account(clearing)
    until(lambda: account("GET", "/expiring").text == "kept\n", 10)
    assert account("HEAD", "/expiring").headers["X-Container-Object-Count"] == "1"
    assert account("GET", "/expiring/large").status_code == 404
    account("DELETE", "/expiring/kept").raise_for_status()
    account("DELETE", "/expiring").raise_for_status()


async def leak(cluster: Cluster, name: ObjectName) -> None:
    """Do what a proxy does that dies right after it has ended an upload."""
    layout = Layout.of_config(str(cluster.directory / "cluster.toml"))
    coordination = EmbeddedCoordination(layout.coordination)
    config = load(cluster.directory / "cluster.toml")
    store = RingStore(coordination)
    found = store.read()
    assert found is not None
    placement = connected_placement(config, layout, store.rings_of(found[1]))
    placement.start()
    service = ObjectService(placement, HybridClock(int.from_bytes(os.urandom(4), "big")))
    try:
        await asyncio.gather(*(peer.ready(10) for peer in placement.peers.values()))
        upload_id = await service.create_upload(name, NewObject("text/plain"))
        for number in (1, 2):
            await service.put_part(name, upload_id, number, body_of(LARGE), NewObject("text/plain"))
        await service.abort_upload(name, upload_id)
    finally:
        await service.close()
        await placement.close()
        coordination.close()


def test_leaked_parts_and_old_tombstones_go(clearing: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    client = clearing.s3()
    client.create_bucket(Bucket="leaking")
    account = Account(clearing).url.rsplit("/", 1)[1]

    async def die(*_arguments: object) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(Multipart, "_delete_all", die)
        asyncio.run(leak(clearing, ObjectName(account, "leaking", "never")))
    assert len(files(clearing)) == 6
    client.put_object(Bucket="leaking", Key="kept", Body=b"kept")
    for number in range(20):
        client.put_object(Bucket="leaking", Key=f"{number}", Body=b"x")
        client.delete_object(Bucket="leaking", Key=f"{number}")
    assert total(clearing, "tombstones") >= 60
    until(lambda: not files(clearing), PATIENCE_S)
    assert total(clearing, "parts_deleted_total") == 2
    until(lambda: not total(clearing, "tombstones"), PATIENCE_S)
    assert [item["Key"] for item in client.list_objects_v2(Bucket="leaking")["Contents"]] == ["kept"]
    assert client.get_object(Bucket="leaking", Key="kept")["Body"].read() == b"kept"
    client.put_object(Bucket="leaking", Key="0", Body=b"again")
    assert client.get_object(Bucket="leaking", Key="0")["Body"].read() == b"again"
