"""Volumes of a running cluster, by the programs that people use NBD with. What needs root and loop devices says so."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, running
from tests.nbd_disk import NbdDisk

TIMEOUT_S = 180
SNAPSHOT_S = 0.1  # at most, for a volume of whatever size
MiB = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("clients") / "data")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Some data, some holes."""
    path = tmp_path / "image"
    chance = random.Random(1)
    with path.open("wb") as file:
        file.truncate(64 * MiB)
        for start in range(0, 64 * MiB, 5 * MiB + 4096):
            file.seek(start)
            file.write(chance.randbytes(2 * MiB + 512 * 3))
        file.truncate(64 * MiB)
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def volume(cluster: Cluster, name: str, size: str) -> str:
    """Create a volume and return its URI."""
    cluster.holdfast("volume", "create", name, size)
    return cluster.nbd(name)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_qemu_img_compares_converts_and_maps(cluster: Cluster, image: Path, tmp_path: Path) -> None:
    uri = volume(cluster, "qemu", "64M")
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), uri)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), uri)
    out = tmp_path / "out.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, str(out))
    assert "identical" in run("qemu-img", "compare", str(image), str(out))
    mapped = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", uri))
    assert any(part["zero"] for part in mapped)
    assert sum(part["length"] for part in mapped) == 64 * MiB


def test_qemu_img_bench_runs(cluster: Cluster) -> None:
    uri = volume(cluster, "qemu-bench", "64M")
    for options in (("-w", "--flush-interval=16"), ()):
        assert "seconds" in run("qemu-img", "bench", "-f", "raw", "-c", "256", "-d", "8", *options, uri)


def test_nbdcopy_there_and_back(cluster: Cluster, image: Path, tmp_path: Path) -> None:
    uri = volume(cluster, "nbdcopy", "64M")
    run("nbdcopy", "--flush", str(image), uri)
    back = tmp_path / "back"
    run("nbdcopy", uri, str(back))
    assert digest(back) == digest(image)


def test_fio_verifies_what_it_has_written(cluster: Cluster) -> None:
    uri = volume(cluster, "fio", "128M")
    run(
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bsrange=512-128k", "--size=64M",
        "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--fsync=64", "--randseed=7",
        "--verify_state_save=0",
    )  # fmt: skip


def test_qemu_nbd_passes_a_volume_on(cluster: Cluster, image: Path, tmp_path: Path) -> None:
    uri = volume(cluster, "passed-on", "64M")
    socket = tmp_path / "socket"
    peer = subprocess.Popen(["qemu-nbd", "-f", "raw", "-t", "-k", str(socket), uri])
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            assert time.monotonic() < deadline, "qemu-nbd does not serve"
            time.sleep(0.05)
        through = f"nbd+unix:///?socket={socket}"
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), through)
        assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), through)
    finally:
        peer.terminate()
        peer.wait(30)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(image), uri)


@contextlib.contextmanager
def block_device(uri: str, directory: Path) -> Iterator[str]:
    """Have a volume as a block device of this machine, by nbdfuse and a loop device."""
    mount = directory / "fuse"
    mount.mkdir()
    fuse = subprocess.Popen(["nbdfuse", str(mount), uri])
    try:
        deadline = time.monotonic() + 30
        while not (mount / "nbd").exists():
            assert time.monotonic() < deadline, "nbdfuse does not serve"
            time.sleep(0.05)
        loop = run("losetup", "-f", "--show", "--direct-io=on", str(mount / "nbd")).strip()
        try:
            yield loop
        finally:
            run("losetup", "-d", loop)
    finally:
        subprocess.run(["fusermount3", "-u", str(mount)], check=False)
        fuse.wait(30)


def _no_block_devices() -> str:
    """Return why this machine cannot have a volume as a block device; empty: it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        return "needs /dev/fuse and loop devices"
    return "" if shutil.which("fusermount3") else "needs fuse3"


@pytest.mark.skipif(bool(_no_block_devices()), reason=_no_block_devices())
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_file_system_is_whole_after_use(cluster: Cluster, kind: str, tmp_path: Path) -> None:
    uri = volume(cluster, kind, "512M")
    content = {f"{number:03}": random.Random(number).randbytes(number * 3011) for number in range(60)}
    here = tmp_path / "mounted"
    here.mkdir()
    with block_device(uri, tmp_path) as device:
        run(f"mkfs.{kind}", "-q", device)
        run("mount", device, str(here))
        try:
            for name, data in content.items():
                (here / name).write_bytes(data)
            for name in list(content)[::3]:
                (here / name).unlink()
                del content[name]
            run("fstrim", str(here))
        finally:
            run("umount", str(here))
    again = tmp_path / "again"
    again.mkdir()
    with block_device(uri, again) as device:
        run(*{"ext4": ("e2fsck", "-fn"), "xfs": ("xfs_repair", "-n")}[kind], device)
        run("mount", "-o", "ro", device, str(here))
        try:
            found = {path.name: path.read_bytes() for path in here.iterdir() if path.is_file()}
        finally:
            run("umount", str(here))
    assert found == content


@pytest.mark.alone
def test_a_snapshot_or_clone_of_a_tebibyte_takes_no_time(cluster: Cluster) -> None:
    """Asked for as `holdfast` asks, without the start of a Python process."""
    uri = volume(cluster, "large", "1T")
    host, port = "127.0.0.1", 10809 + cluster.offset
    assert uri.endswith("/large")
    with NbdDisk(host, port, "large") as disk:
        for number in range(20):
            disk.write({number * (50 << 30): bytes([number + 1]) * 4096})
        times = []
        for number in range(5):
            began = time.monotonic()
            cluster.ask_gateway("snapshot", name="large", snapshot=f"s{number}")
            times.append(time.monotonic() - began)
            began = time.monotonic()
            cluster.ask_gateway("clone", parent="large", snapshot=f"s{number}", name=f"large-{number}")
            times.append(time.monotonic() - began)
    assert sorted(times)[len(times) // 2] < SNAPSHOT_S
    with NbdDisk(host, port, "large-0") as disk:
        assert disk.size == 1 << 40
        assert disk.read([19 * (50 << 30)], 4096)[19 * (50 << 30)] == bytes([20]) * 4096


def test_a_snapshot_is_exact_while_its_volume_is_written(cluster: Cluster) -> None:
    volume(cluster, "moving", "32M")
    host, port = "127.0.0.1", 10809 + cluster.offset
    blocks = range(0, 32 * MiB, 64 << 10)
    with NbdDisk(host, port, "moving") as disk:
        disk.write({start: start.to_bytes(8, "big") * 512 for start in blocks})
        cluster.ask_gateway("snapshot", name="moving", snapshot="still")
        stop = threading.Event()

        def overwrite() -> None:
            while not stop.is_set():
                disk.write(dict.fromkeys(random.sample(blocks, 16), b"\xff" * 4096))

        writer = threading.Thread(target=overwrite)
        writer.start()
        try:
            with NbdDisk(host, port, "moving@still") as still:
                for _ in range(5):
                    found = still.read(blocks, 4096)
                    assert all(data == start.to_bytes(8, "big") * 512 for start, data in found.items())
        finally:
            stop.set()
            writer.join()
