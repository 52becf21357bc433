"""Disks that fail in every way we know, under a load that knows what it may see.

Two layers: `sick_disk.c` between the daemons and libc for errors and hangs (a machine without device mapper has no
dm-flakey), and real file systems for what such a layer cannot show: a full one, one that the kernel remounts read-only,
one that is unmounted, one that is replaced (docs/sick-hardware.md, "How this is tested").
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.config import load
from cluster.layout import Layout
from storage.health.condition import WORDS, Condition
from storage.health.marker import MARKER_FILE, Marker, cluster_digest, encode
from tests.cluster import Cluster
from tests.faults.load import Load
from tests.faults.sick import (
    Company,
    SickHardware,
    await_condition,
    await_serving,
    await_true,
    condition,
    directory_of,
    explanation,
    running_on,
)

PAUSE_LIMIT_S = 5.0  # of any request: a disk that hangs is found out within two
FOUND_LIMIT_S = 8.0
SICK_S = 1.5  # a fault lasts so long after it was found

pytestmark = [
    pytest.mark.alone,  # it measures
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]


@pytest.fixture(scope="module")
def cluster(hardware: SickHardware, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running_on(hardware, tmp_path_factory.mktemp("cluster") / "data")


def _condition_named(label: str) -> Condition:
    return next(each for each in Condition if each.label == label)


def finished(load: Load) -> None:
    load.check_everything()
    print(load.report())
    assert not load.violations, load.report()
    assert not load.failures, load.report()
    assert load.slowest_s < PAUSE_LIMIT_S, load.report()


FAULTS = [  # (fault, device, what it is found to be)
    ("eio-write", 0, "failing"),
    ("eio-read", 1, "unreadable"),
    ("eio-sync", 2, "failing"),
    ("erofs", 3, "read-only"),
    ("hang", 1, "hanging"),
]


@pytest.mark.timeout(600)
def test_a_disk_fails_and_comes_back_and_nobody_notices(cluster: Cluster, hardware: SickHardware) -> None:
    """One fault after the other; recovery is the cluster's own work each time."""
    for bucket in ("sick", "sick-again", "sick-once-more"):
        cluster.s3().create_bucket(Bucket=bucket)
        load, company = Load(cluster, bucket), Company(cluster)
        with load.running(), company.watched():
            _go_through_faults(cluster, hardware)
        if not company.seen:
            finished(load)
            return
        load.check_everything()
        print(f"out of reach together: {company.seen}; {load.report()}")
        assert not load.violations, load.report()
    pytest.fail("three times there were two sick disks at once: those of this machine are too slow to show anything")


def _go_through_faults(cluster: Cluster, hardware: SickHardware) -> None:
    time.sleep(1)
    begin = time.monotonic()
    for fault, device_id, expected in FAULTS:
        began_s = time.monotonic() - begin
        with hardware.fault(fault, directory_of(cluster, device_id)):
            found_s = await_condition(cluster, device_id, expected, FOUND_LIMIT_S)
            told = explanation(cluster, device_id)
            assert f" is {expected} " in told
            assert WORDS[_condition_named(expected)].doing in told
            time.sleep(SICK_S)
            assert condition(cluster, device_id) == expected
        back_s = await_serving(cluster, device_id)
        print(f"{fault} at {began_s:.1f} s: found after {found_s:.1f} s, served again {back_s:.1f} s after its end")


@pytest.mark.long
def test_a_disk_that_hangs_at_the_start_does_not_keep_the_others_from_starting(
    cluster: Cluster, hardware: SickHardware
) -> None:
    for node in ("1", "2"):
        cluster.holdfast("node", "stop", node)
    with hardware.fault("hang", directory_of(cluster, 2)):
        for node in ("2", "1"):
            cluster.holdfast("node", "start", node)
        await_condition(cluster, 2, "hanging")
        await_condition(cluster, 1, "ok")
        assert condition(cluster, 2) == "hanging"
        cluster.s3().create_bucket(Bucket="meanwhile")
    for device_id in (1, 2):
        await_serving(cluster, device_id)


class FileSystem:
    """A file system in a file, mounted for a test."""

    def __init__(self, image: Path, mount_point: Path, size: int) -> None:
        self.image, self.mount_point = image, mount_point
        with open(image, "wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", str(image))

    def mount(self) -> None:
        _run("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.mount_point))

    def unmount(self) -> None:
        """Take it away, whoever uses it."""
        _run("umount", "-l", str(self.mount_point))

    def break_down(self) -> None:
        """Have the kernel find an error in it, upon which it makes it read-only."""
        source = _run("findmnt", "-no", "SOURCE", str(self.mount_point)).strip()
        Path(f"/sys/fs/ext4/{Path(source).name}/trigger_fs_error").write_text("1")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def _mountable() -> bool:
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


@pytest.mark.long
@pytest.mark.skipif(not _mountable(), reason="mounts file systems")
def test_a_file_system_goes_read_only_vanishes_and_is_replaced(cluster: Cluster, tmp_path: Path) -> None:
    """In the end by an empty one, as an operator replaces a disk: nothing else is to be done."""
    device_id = 2
    mount_point = directory_of(cluster, device_id)
    disk = FileSystem(tmp_path / "disk", mount_point, 192 << 20)
    cluster.holdfast("node", "stop", str(device_id))
    disk.mount()
    try:
        cluster.holdfast("node", "start", str(device_id))
        await_serving(cluster, device_id)
        cluster.s3().create_bucket(Bucket="mounts")
        load = Load(cluster, "mounts")
        with load.running():
            time.sleep(1)
            disk.break_down()
            await_condition(cluster, device_id, "read-only", FOUND_LIMIT_S)
            time.sleep(SICK_S)
            disk.unmount()
            await_condition(cluster, device_id, "vanished")
            hidden = list(mount_point.rglob("*"))  # what lies below the mount point: from before it was one
            time.sleep(SICK_S)
            assert list(mount_point.rglob("*")) == hidden
            await_true("the kernel let go of the disk", lambda: not _in_use(disk.image))
            subprocess.run(["e2fsck", "-fy", str(disk.image)], capture_output=True, timeout=60, check=False)
            disk.mount()
            await_serving(cluster, device_id)
            disk.unmount()
            await_condition(cluster, device_id, "vanished")
            FileSystem(tmp_path / "new disk", mount_point, 192 << 20).mount()
            took_s = await_serving(cluster, device_id)
            print(f"filled again after {took_s:.0f} s")
        finished(load)
    finally:
        _go_without_mount(cluster, device_id)


def _go_without_mount(cluster: Cluster, device_id: int) -> None:
    """Give a device a plain directory from now on: where one was mounted it is not used unless somebody says so."""
    directory = directory_of(cluster, device_id)
    cluster.holdfast("node", "stop", str(device_id), check=False)
    subprocess.run(["umount", "-l", str(directory)], capture_output=True, check=False)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    settings = load(Layout(cluster.directory).config).cluster
    marker = Marker(device_id, cluster_digest(settings.hash_prefix, settings.hash_suffix), plain=True)
    (directory / MARKER_FILE).write_bytes(encode(marker))
    cluster.holdfast("node", "start", str(device_id))
    await_serving(cluster, device_id)


def _in_use(image: Path) -> bool:
    return str(image) in _run("losetup", "-a")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")
def test_a_full_disk_takes_nothing_until_there_is_room_again(cluster: Cluster) -> None:
    device_id = 3
    mount_point = directory_of(cluster, device_id)
    cluster.holdfast("node", "stop", str(device_id))
    _run("mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(mount_point))
    try:
        cluster.holdfast("node", "start", str(device_id))
        await_serving(cluster, device_id)
        cluster.s3().create_bucket(Bucket="full")
        load = Load(cluster, "full")
        with load.running():
            time.sleep(1)
            ballast = mount_point / "lost+found"
            _fill(ballast)
            await_condition(cluster, device_id, "full", FOUND_LIMIT_S)
            pid = cluster.processes()[f"storage-{device_id}"]
            assert "make room" in explanation(cluster, device_id).lower()
            time.sleep(3)
            ballast.unlink()
            await_serving(cluster, device_id)
            assert cluster.processes()[f"storage-{device_id}"] == pid, "the daemon died of a full disk"
        finished(load)
    finally:
        _go_without_mount(cluster, device_id)


def _fill(path: Path) -> None:
    """Leave no byte free."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while file.write(bytes(size)):
                    continue
            except OSError:
                continue
