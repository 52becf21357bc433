"""What a new user does first, from an account to a restored backup, with the clients that users have.

A cluster of its own, with everything that `holdfast up` starts. By the `openstack` command what is typed once, by
openstacksdk, boto3 and qemu-img the rest.
"""

import hashlib
import io
import json
import random
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack.config
import pytest
from openstack.connection import Connection
from openstack.exceptions import NotFoundException

from blockgw.client import Volumes
from cluster.layout import Layout
from tests.cluster import Cluster

MiB = 1 << 20
DISK_SIZE = 24 * MiB
PASSWORD = "open sesame"
WAIT_S = 120.0
TRIES = 5
CLONED_S = 1.0  # the best of some; usually about a fifth of that


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("new_user") / "data", with_identity=True)
    made.up()
    try:
        yield made
    finally:
        made.holdfast("down", check=False)


class User:
    """Somebody new, in a project of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        clouds = Layout(cluster.directory).clouds
        self._environment = {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": "holdfast"}
        config = openstack.config.OpenStackConfig(config_files=[str(clouds)], load_envvars=False)
        admin = Connection(config=config.get_one("holdfast"))
        name = f"ann-{uuid.uuid4().hex[:8]}"
        project = admin.identity.create_project(name=name, domain_id="default")
        made = self.openstack("user", "create", "--project", name, "--password", PASSWORD, name)
        admin.identity.assign_project_role_to_user(project, made["id"], admin.identity.find_role("member"))
        auth = {**admin.config.config["auth"], "username": name, "password": PASSWORD, "project_name": name}
        self.cloud = Connection(auth=auth, region_name="RegionOne", identity_api_version="3")
        self.storage = self.cloud.block_storage
        self._options = ("--os-username", name, "--os-password", PASSWORD, "--os-project-name", name)

    def openstack(self, *words: str) -> Any:
        """Return what the `openstack` command prints."""
        done = self._cluster.run("openstack", *words, "-f", "json", environment=self._environment)
        return json.loads(done.stdout)

    def s3(self) -> Any:
        """Return a client with a key that is made now."""
        made = self.openstack(*self._options, "ec2", "credentials", "create")
        return self._cluster.s3({"access_key": made["access"], "secret_key": made["secret"]})

    def made(self, kind: str, **attributes: Any) -> Any:
        """Return a volume, snapshot or backup that is made now, once it is there."""
        thing = getattr(self.storage, f"create_{kind}")(**attributes)
        return self.storage.wait_for_status(thing, "available", ["error"], interval=0.02, wait=WAIT_S)

    def remove(self, kind: str, thing: Any) -> None:
        """Delete a volume, snapshot or backup; return when it is gone."""
        getattr(self.storage, f"delete_{kind}")(thing)
        until(lambda: _is_gone(lambda: getattr(self.storage, f"get_{kind}")(thing)), f"{kind} is not gone")


def _is_gone(find: Callable[[], Any]) -> bool:
    try:
        find()
    except NotFoundException:
        return True
    return False


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns, once that is something."""
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def disk_image(directory: Path) -> tuple[Path, bytes]:
    """Return a qcow2, and the disk that is in it."""
    chance = random.Random(1)
    disk = b"".join(chance.randbytes(MiB) if number % 3 else bytes(MiB) for number in range(DISK_SIZE // MiB))
    raw, image = directory / "disk.raw", directory / "disk.qcow2"
    raw.write_bytes(disk)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True, timeout=60)
    return image, disk


class Disks:
    """What is on volumes, by NBD."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._volumes = Volumes(cluster.directory)

    def checksum(self, volume: Any) -> str:
        """Return that of the first bytes, as many as the image has."""
        with io.BufferedReader(self._volumes.open(f"volume-{volume.id}")) as disk:
            return checksum(disk.read(DISK_SIZE))

    def write(self, volume: Any, data: bytes, offset: int) -> None:
        with self._volumes.open(f"volume-{volume.id}") as disk:
            disk.seek(offset)
            disk.write(data)

    def parent(self, volume: Any) -> str | None:
        """Return the name of the volume of which one is a clone."""
        told = self._cluster.ask_gateway("list", first="")["volumes"]
        names = {each["id"]: each["name"] for each in told}
        (found,) = (each["parent"] for each in told if each["name"] == f"volume-{volume.id}")
        return None if found is None else names[found["volume"]]


def changed(disk: bytes, data: bytes, offset: int) -> bytes:
    return disk[:offset] + data + disk[offset + len(data) :]


def objects_by_s3_are_read_by_swift(user: User) -> None:
    s3, contents = user.s3(), {f"holiday/{number}.jpg": random.Random(number).randbytes(70_000) for number in range(3)}
    s3.create_bucket(Bucket="photos")
    for name, data in contents.items():
        s3.put_object(Bucket="photos", Key=name, Body=data)
    store = user.cloud.object_store  # with a token
    assert sorted(each.name for each in store.objects("photos")) == sorted(contents)
    for name, data in contents.items():
        assert checksum(store.download_object(name, container="photos")) == checksum(data)


def volumes_of_the_image(user: User, disks: Disks, image: Any, disk: bytes) -> tuple[Any, list[float]]:
    """Return the last of some volumes, and how long each but the first one took."""
    seconds = []
    for _try in range(TRIES + 1):
        began_s = time.monotonic()
        volume = user.made("volume", name="root", image_id=image.id, size=1)
        seconds.append(time.monotonic() - began_s)
        assert volume.is_bootable
        assert disks.parent(volume) == f"image-{image.id}"
    assert disks.checksum(volume) == checksum(disk)
    return volume, seconds[1:]


@pytest.mark.alone
def test_from_an_account_to_a_restored_backup(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user, disks = User(cluster), Disks(cluster)
    objects_by_s3_are_read_by_swift(user)
    path, disk = disk_image(tmp_path)
    with path.open("rb") as file:
        image = user.cloud.image.create_image(
            "debian", data=io.BytesIO(file.read()), disk_format="qcow2", container_format="bare", wait=True
        )
    volume, seconds = volumes_of_the_image(user, disks, image, disk)
    with capsys.disabled():
        print(f"a volume of an image takes {min(seconds):.2f} s ", end="")
    assert min(seconds) < CLONED_S, seconds
    snapshot = user.made("snapshot", volume_id=volume.id, name="monday")
    full = user.made("backup", volume_id=volume.id, name="full", container="mine")
    disk_later = changed(disk, b"written on tuesday", 5 * MiB)
    disks.write(volume, b"written on tuesday", 5 * MiB)
    clone = user.made("volume", snapshot_id=snapshot.id, size=1)
    assert disks.parent(clone) == f"volume-{volume.id}"
    assert (disks.checksum(clone), disks.checksum(volume)) == (checksum(disk), checksum(disk_later))
    user.storage.extend_volume(clone, 3)
    until(lambda: user.storage.get_volume(clone).size == 3, "the volume does not grow")
    assert disks.checksum(clone) == checksum(disk)
    more = user.made("backup", volume_id=volume.id, name="more", container="mine", is_incremental=True)
    assert (full.is_incremental, more.is_incremental, more.container) == (False, True, "mine")
    user.remove("volume", clone)
    user.remove("snapshot", snapshot)
    user.remove("volume", volume)
    assert restored(user, disks, full) == checksum(disk)
    assert restored(user, disks, more) == checksum(disk_later)


def restored(user: User, disks: Disks, backup: Any) -> str:
    """Return the checksum of a volume that a backup becomes."""
    volume = user.storage.get_volume(user.storage.restore_backup(backup, name="restored").volume_id)
    user.storage.wait_for_status(volume, "available", ["error"], interval=0.1, wait=WAIT_S)
    return disks.checksum(volume)
