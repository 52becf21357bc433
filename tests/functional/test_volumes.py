"""Volumes of a running cluster, by the clients that people use: qemu's tools and fio."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, running
from tests.functional.volumes import qemu_io, refused, run, volume

RECONNECT_S = 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("volumes") / "data")


def test_a_volume_holds_what_is_written_to_it(cluster: Cluster) -> None:
    made = volume(cluster, "create", "disk", "64M")["volume"]
    assert (made["name"], made["size"], made["state"]) == ("disk", 64 << 20, "available")
    qemu_io(
        cluster,
        "disk",
        "write -P 0x5a 1M 9M",
        "write -P 0x11 4090k 20k",
        "write -z 2M 64k",
        "discard 3M 512k",
        "flush",
    )
    qemu_io(
        cluster,
        "disk",
        "read -P 0 0 1M",
        "read -P 0x5a 1M 1M",
        "read -P 0 2M 64k",
        "read -P 0 3M 512k",
        "read -P 0x11 4090k 20k",
        "read -P 0x5a 5M 5M",
        "read -P 0 10M 54M",
    )
    info = json.loads(run("qemu-img", "info", "--output=json", cluster.nbd("disk")))
    assert info["virtual-size"] == 64 << 20
    extents = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", cluster.nbd("disk")))
    assert extents[-1]["zero"]
    assert sum(extent["length"] for extent in extents if extent["data"]) < 12 << 20


def test_the_status_tells_how_the_gateway_is(cluster: Cluster) -> None:
    report = json.loads(cluster.holdfast("status", "--json"))
    (gateway,) = report["gateways"]
    assert (gateway["name"], gateway["state"]) == ("gateway-0", "up")
    assert gateway["health"]["partitions_without_quorum"] == 0
    assert report["endpoints"]["nbd"] == cluster.nbd("")
    assert "1 block gateway serve" in cluster.holdfast("status")


def test_an_image_goes_in_and_comes_out_the_same(cluster: Cluster, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    with image.open("wb") as file:
        file.truncate(32 << 20)
        for offset in (0, 5 << 20, (31 << 20) + 4096):
            file.seek(offset)
            file.write(os.urandom(300_000))
    volume(cluster, "create", "imported", "32M")
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), cluster.nbd("imported"))
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), cluster.nbd("imported"))
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", cluster.nbd("imported"), str(tmp_path / "out.qcow2"))
    assert "identical" in run("qemu-img", "compare", str(image), str(tmp_path / "out.qcow2"))


def test_snapshots_and_clones_are_the_volume_as_it_was(cluster: Cluster) -> None:
    volume(cluster, "create", "golden", "32M")
    qemu_io(cluster, "golden", "write -P 1 0 8M", "flush")
    began = time.monotonic()
    volume(cluster, "snapshot", "golden", "v1")
    volume(cluster, "clone", "golden", "v1", "guest")
    assert time.monotonic() - began < 5
    qemu_io(cluster, "golden", "write -P 2 0 4M")
    qemu_io(cluster, "guest", "read -P 1 0 8M", "write -P 3 1M 1M", "read -P 1 0 1M", "read -P 3 1M 1M")
    qemu_io(cluster, "golden", "read -P 2 0 4M", "read -P 1 4M 4M")
    said = run("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 8M", cluster.nbd("golden@v1"))
    assert "failed" not in said
    assert "clones" in refused(cluster, "delete-snapshot", "golden", "v1")
    assert "snapshots" in refused(cluster, "delete", "golden")
    cluster.holdfast("volume", "delete", "guest")
    cluster.holdfast("volume", "delete-snapshot", "golden", "v1")
    cluster.holdfast("volume", "rollback", "golden", "v1", check=False)
    cluster.holdfast("volume", "delete", "golden")
    assert "golden" not in {each["name"] for each in volume(cluster, "list")["volumes"]}


def test_a_rollback_brings_back_what_was(cluster: Cluster) -> None:
    volume(cluster, "create", "back", "16M")
    qemu_io(cluster, "back", "write -P 1 0 8M")
    volume(cluster, "snapshot", "back", "s")
    qemu_io(cluster, "back", "write -P 2 2M 8M")
    volume(cluster, "rollback", "back", "s")
    said = qemu_io(cluster, "back", "read -P 1 0 8M", "read -P 0 8M 8M")
    assert said.count("read 8388608/8388608 bytes") == 2


def test_a_volume_grows_and_what_is_cut_off_is_gone(cluster: Cluster) -> None:
    volume(cluster, "create", "grows", "8M")
    qemu_io(cluster, "grows", "write -P 7 0 8M")
    assert volume(cluster, "resize", "grows", "16M")["volume"]["size"] == 16 << 20
    assert json.loads(run("qemu-img", "info", "--output=json", cluster.nbd("grows")))["virtual-size"] == 16 << 20
    qemu_io(cluster, "grows", "read -P 7 0 8M", "read -P 0 8M 8M")
    assert "--shrink" in refused(cluster, "resize", "grows", "6M")
    volume(cluster, "resize", "grows", "6M", "--shrink")
    volume(cluster, "resize", "grows", "16M")
    qemu_io(cluster, "grows", "read -P 7 0 6M", "read -P 0 6M 10M")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("show", "nobody"), "no volume"),
        (("create", "bad/name", "1G"), "no name"),
        (("create", "odd", "1000"), "multiple"),
        (("create", "huge", "2P"), "multiple"),
        (("create", "strange", "much"), "no size"),
        (("snapshot", "nobody", "s"), "no volume"),
        (("delete", "nobody"), "no volume"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(cluster: Cluster, arguments: tuple[str, ...], reason: str) -> None:
    assert reason in refused(cluster, *arguments)


@pytest.mark.parametrize("victim", ["storage-1", "gateway-0", "everything"])
def test_what_was_flushed_survives_a_kill(cluster: Cluster, victim: str) -> None:
    """Blocks are written one by one, each flushed; in the midst something is killed. All that was flushed is there."""
    name = f"killed-{victim}"
    volume(cluster, "create", name, "16M")
    flushed = []
    for number in range(16):
        if number == 8:
            kill(cluster, victim)
        said = run("qemu-io", "-f", "raw", "-c", f"write -P {number + 1} {number * 300}k 16k", "-c", "flush",
                   cluster.nbd(name), check=False)
        if "wrote" in said and "fail" not in said.lower():
            flushed.append(number)
    assert len(flushed) >= (16 if victim == "storage-1" else 8)
    if victim == "everything":
        cluster.up()
    deadline = time.monotonic() + RECONNECT_S
    while "virtual size" not in run("qemu-img", "info", cluster.nbd(name), check=False):
        assert time.monotonic() < deadline, "the volume cannot be opened"
        time.sleep(0.5)
    qemu_io(cluster, name, *(f"read -P {number + 1} {number * 300}k 16k" for number in flushed))


def kill(cluster: Cluster, victim: str) -> None:
    if victim == "everything":
        cluster.kill_everything()
    else:
        os.kill(cluster.processes()[victim], signal.SIGKILL)
