"""The volume service of a cluster, by the clients that people use: openstacksdk, the `openstack` command, NBD.

A cluster of its own, with identity, images, objects and a block gateway.
"""

import json
import os
import signal
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from openstack.exceptions import BadRequestException, HttpException, NotFoundException

from blockgw.client import Volumes, VolumesError
from cluster.config import load
from cluster.layout import Layout
from compute.volumes import audit
from tests.cluster import Cluster

MiB = 1 << 20
GiB = 1 << 30
PASSWORD = "open sesame"
WAIT_S = 90.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cinder") / "data", with_identity=True)
    made.up()
    try:
        yield made
    finally:
        made.holdfast("down", check=False)


@pytest.fixture(scope="module")
def disks(cluster: Cluster) -> Volumes:
    """Return the gateway's volumes."""
    return Volumes(cluster.directory)


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Any:
    """Return the administrator, as clouds.yaml has it."""
    config = openstack.config.OpenStackConfig(config_files=[str(Layout(cluster.directory).clouds)], load_envvars=False)
    return Connection(config=config.get_one("holdfast"))


def somebody(admin: Any, name: str) -> Any:
    """Return somebody new in a project of its own."""
    name = f"{name}-{uuid.uuid4().hex[:8]}"
    project = admin.identity.create_project(name=name, domain_id="default")
    user = admin.identity.create_user(name=name, password=PASSWORD, domain_id="default")
    admin.identity.assign_project_role_to_user(project, user, admin.identity.find_role("member"))
    auth = {
        "auth_url": admin.config.config["auth"]["auth_url"],
        "username": name,
        "password": PASSWORD,
        "project_name": name,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    return Connection(auth=auth, region_name="RegionOne", identity_api_version="3")


@pytest.fixture(scope="module")
def ann(admin: Any) -> Any:
    ann = somebody(admin, "ann")
    admin.block_storage.update_quota_set(ann.current_project_id, volumes=100)
    return ann


def until(find: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Return what `find` finds once it is as wanted."""
    deadline = time.monotonic() + WAIT_S
    while not wanted(found := find()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def settled(connection: Any, volume: Any, status: str = "available") -> Any:
    """Return a volume once nothing is done to it any more."""
    passing = ("creating", "extending", "restoring-backup", "reverting", "uploading", "backing-up")
    find = lambda: connection.block_storage.get_volume(volume)  # noqa: E731
    found = until(find, lambda each: each.status not in passing)
    assert found.status == status, found
    return found


def make(connection: Any, **attributes: Any) -> Any:
    attributes.setdefault("size", 1)
    return settled(connection, connection.block_storage.create_volume(**attributes))


def gone(find: Callable[[], Any]) -> bool:
    try:
        find()
    except NotFoundException:
        return True
    return False


def write(disks: Volumes, volume: Any, data: bytes, offset: int = 0) -> None:
    with disks.open(f"volume-{volume.id}") as disk:
        disk.seek(offset)
        disk.write(data)


def read(disks: Volumes, volume: Any, length: int, offset: int = 0) -> bytes:
    with disks.open(f"volume-{volume.id}") as disk:
        disk.seek(offset)
        return bytes(disk.read(length) or b"")


def test_a_volume_is_a_disk_that_grows(ann: Any, disks: Volumes) -> None:
    volume = make(ann, name="disk", metadata={"a": "b"})
    write(disks, volume, b"data")
    ann.block_storage.extend_volume(volume, 2)
    volume = until(lambda: ann.block_storage.get_volume(volume), lambda each: each.size == 2)
    assert disks.show(f"volume-{volume.id}").size == 2 * GiB
    assert read(disks, volume, 4) == b"data"
    assert volume.metadata == {"a": "b"}
    ann.block_storage.delete_volume(volume)
    until(lambda: gone(lambda: ann.block_storage.get_volume(volume)), bool)
    assert f"volume-{volume.id}" not in [each.name for each in disks.list()]


def test_snapshots_and_clones_share_and_part(ann: Any, disks: Volumes) -> None:
    storage = ann.block_storage
    volume = make(ann, name="parent")
    write(disks, volume, b"monday")
    snapshot = storage.wait_for_status(storage.create_snapshot(volume_id=volume.id, name="monday"), "available")
    write(disks, volume, b"sunday")
    clone = make(ann, snapshot_id=snapshot.id, size=2)
    copy = make(ann, source_volume_id=volume.id)
    assert (read(disks, clone, 6), read(disks, copy, 6)) == (b"monday", b"sunday")
    storage.revert_volume_to_snapshot(volume, snapshot)
    settled(ann, volume)
    assert read(disks, volume, 6) == b"monday"
    storage.delete_snapshot(snapshot)  # a clone reads through it
    until(lambda: gone(lambda: storage.get_snapshot(snapshot)), bool)
    storage.delete_volume(volume)
    until(lambda: gone(lambda: storage.get_volume(volume)), bool)
    assert (read(disks, clone, 6), read(disks, copy, 6)) == (b"monday", b"sunday")
    names = lambda: [each.name for each in disks.list()]  # noqa: E731
    until(names, lambda found: f"volume-{volume.id}" not in found)  # its clones stand alone by then
    assert (read(disks, clone, 6), read(disks, copy, 6)) == (b"monday", b"sunday")


def test_backups_full_and_incremental_come_back(ann: Any, disks: Volumes) -> None:
    storage = ann.block_storage
    volume = make(ann, name="precious", metadata={"kept": "yes"})
    write(disks, volume, b"first")
    full = storage.wait_for_status(storage.create_backup(volume_id=volume.id, name="full"), "available", wait=WAIT_S)
    write(disks, volume, b"second", 64 * MiB)
    wanted = {"volume_id": volume.id, "name": "more", "is_incremental": True}
    more = storage.wait_for_status(storage.create_backup(**wanted), "available", wait=WAIT_S)
    assert (full.is_incremental, more.is_incremental) == (False, True)
    answer = storage.post(f"/backups/{more.id}/restore", json={"restore": {"name": "again"}}).json()["restore"]
    again = settled(ann, answer["volume_id"])
    assert (read(disks, again, 5), read(disks, again, 6, 64 * MiB)) == (b"first", b"second")
    assert again.metadata == {"kept": "yes"}
    storage.delete_backup(full)
    until(lambda: gone(lambda: storage.get_backup(full)), bool)
    write(disks, volume, b"damaged")
    storage.post(f"/backups/{more.id}/restore", json={"restore": {"volume_id": volume.id}})
    settled(ann, volume)
    assert (read(disks, volume, 7), read(disks, volume, 6, 64 * MiB)) == (b"first\0\0", b"second")


def test_encrypted_volumes_and_their_backups(ann: Any, admin: Any, disks: Volumes) -> None:
    kind = admin.block_storage.create_type(name="sealed")
    wanted = {"encryption": {"provider": "luks", "control_location": "back-end"}}
    admin.block_storage.post(f"/types/{kind.id}/encryption", json=wanted)
    plain = make(ann)
    write(disks, plain, b"open", 8 * MiB)
    volume = make(ann, source_volume_id=plain.id, volume_type="sealed")
    assert volume.is_encrypted
    assert read(disks, volume, 4, 8 * MiB) == b"open"
    storage = ann.block_storage
    backup = storage.wait_for_status(storage.create_backup(volume_id=volume.id), "available", wait=WAIT_S)
    answer = storage.post(f"/backups/{backup.id}/restore", json={"restore": {}}).json()["restore"]
    again = settled(ann, answer["volume_id"])
    assert (again.is_encrypted, read(disks, again, 4, 8 * MiB)) == (True, b"open")


def bytes_read(cluster: Cluster, exports: str) -> float:
    """Return what was read of exports whose names begin so."""
    config = load(cluster.directory / "cluster.toml")
    place = f"{config.gateway_admin_listen(0)}:{config.ports.gateway_admin_port(0)}"
    with urllib.request.urlopen(f"http://{place}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    beginning = f'holdfast_nbd_bytes_total{{export="{exports}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(beginning) and '"read"' in line)


def test_from_an_image_and_to_an_image(ann: Any, disks: Volumes, cluster: Cluster) -> None:
    image = ann.image.create_image(
        name="cirros", disk_format="raw", container_format="bare", data=b"boot" + bytes(MiB - 4), wait=True
    )
    began_s = time.monotonic()
    volume = make(ann, image_id=image.id)
    assert time.monotonic() - began_s < WAIT_S
    assert volume.is_bootable
    assert volume.volume_image_metadata["image_id"] == image.id
    assert read(disks, volume, 4) == b"boot"
    second = make(ann, image_id=image.id, size=2)
    assert read(disks, second, 4) == b"boot"
    write(disks, volume, b"mine")
    told = ann.block_storage.upload_volume_to_image(volume, "of-a-volume", disk_format="qcow2")
    uploaded = until(lambda: ann.image.get_image(told["image_id"]), lambda each: each.status == "active")
    assert 0 < bytes_read(cluster, f"volume-{volume.id}@upload-") <= 8 * MiB, "holes are read"
    settled(ann, volume)
    assert (uploaded.name, uploaded.owner_id) == ("of-a-volume", ann.current_project_id)
    third = make(ann, image_id=uploaded.id)
    assert read(disks, third, 4) == b"mine"


def test_a_volume_that_is_attached_grows_and_is_let_go(ann: Any, disks: Volumes, cluster: Cluster) -> None:
    storage = ann.block_storage
    volume = make(ann)
    server = str(uuid.uuid4())
    attachment = storage.create_attachment(volume, instance=server, connector={"host": "here"})
    info = attachment.connection_info
    config = load(cluster.directory / "cluster.toml")
    assert (info["driver_volume_type"], info["host"], info["port"]) == ("nbd", "127.0.0.1", config.ports.nbd_port)
    storage.complete_attachment(attachment)
    assert storage.get_volume(volume).status == "in-use"
    with pytest.raises(BadRequestException):
        storage.create_attachment(volume, instance=str(uuid.uuid4()))
    with disks.open(info["export"]) as disk:
        disk.write(b"used")
        storage.extend_volume(volume, 2)
        until(lambda: storage.get_volume(volume), lambda each: each.size == 2 and each.status == "in-use")
        disk.write(b"more")
        disk.flush()
    with pytest.raises(BadRequestException):
        storage.delete_volume(volume)
    storage.delete_attachment(attachment)
    assert storage.get_volume(volume).status == "available"
    assert read(disks, volume, 8) == b"usedmore"


def test_who_is_detached_by_force_writes_no_more(ann: Any, admin: Any, disks: Volumes) -> None:
    storage, volume = ann.block_storage, make(ann)

    def attach() -> Any:
        return storage.create_attachment(volume, instance=str(uuid.uuid4()), connector={"host": "here"})

    attachment = attach()
    storage.complete_attachment(attachment)
    with disks.open(attachment.connection_info["export"]) as old_host:
        old_host.write(b"first")
        old_host.flush()
        body = {"os-force_detach": {"attachment_id": attachment.id, "connector": None}}
        path = f"/volumes/{volume.id}/action"
        # its project is in the path: the administrator's own is another
        endpoint = admin.block_storage.get_endpoint().replace(admin.current_project_id, ann.current_project_id)
        assert admin.session.post(endpoint + path, json=body).status_code == 202
        assert storage.get_volume(volume).status == "available"
        with pytest.raises(OSError, match="not for"):  # its connection is cut, and it gets no other
            old_host.write(b"second")
        successor = attach()
        with disks.open(successor.connection_info["export"]) as new_host:
            assert new_host.read(5) == b"first"
            new_host.write(b"third")
        with pytest.raises(OSError, match="not for"):
            old_host.write(b"fourth")
        with suppress(OSError):
            old_host.close()
    assert read(disks, volume, 12) == b"firstthird\0\0"
    storage.delete_attachment(successor)
    with pytest.raises(VolumesError, match="not for"):
        disks.open(successor.connection_info["export"])


def test_the_openstack_command(cluster: Cluster, admin: Any) -> None:
    clouds = str(Layout(cluster.directory).clouds)
    environment = {**cluster.environment(), "OS_CLIENT_CONFIG_FILE": clouds, "OS_CLOUD": "holdfast"}

    def run(*words: str) -> Any:
        done = cluster.run("openstack", *words, "-f", "json", environment=environment)
        return json.loads(done.stdout) if done.stdout.strip() else None

    made = run("volume", "create", "--size", "1", "--property", "a=b", "by-command")
    settled(admin, made["id"])
    shown = run("volume", "show", "by-command")
    assert (shown["status"], shown["size"], shown["properties"]) == ("available", 1, {"a": "b"})
    assert [each["Name"] for each in run("volume", "list")] == ["by-command"]
    assert "__DEFAULT__" in [each["Name"] for each in run("volume", "type", "list")]
    snapshot = run("volume", "snapshot", "create", "--volume", "by-command", "s1")
    until(lambda: admin.block_storage.get_snapshot(snapshot["id"]).status, lambda each: each == "available")
    assert {each["Binary"] for each in run("volume", "service", "list")} == {
        "cinder-volume",
        "cinder-scheduler",
        "cinder-backup",
    }
    transfer = run("volume", "transfer", "request", "create", "--name", "t", "by-command")
    assert transfer["auth_key"]
    assert admin.block_storage.get_volume(made["id"]).status == "awaiting-transfer"
    admin.block_storage.delete_transfer(transfer["id"])
    cluster.run("openstack", "volume", "snapshot", "delete", "s1", environment=environment)
    until(lambda: gone(lambda: admin.block_storage.get_snapshot(snapshot["id"])), bool)
    cluster.run("openstack", "volume", "delete", "by-command", environment=environment)
    until(lambda: gone(lambda: admin.block_storage.get_volume(made["id"])), bool)


def test_quotas_hold(admin: Any) -> None:
    bob = somebody(admin, "bob")
    admin.block_storage.update_quota_set(bob.current_project_id, volumes=1)
    volume = make(bob)
    with pytest.raises(HttpException) as refused:
        bob.block_storage.create_volume(size=1)
    assert refused.value.status_code == 413
    bob.block_storage.delete_volume(volume)
    until(lambda: gone(lambda: bob.block_storage.get_volume(volume)), bool)
    make(bob)


def test_what_a_killed_service_had_begun_is_done(ann: Any, cluster: Cluster, disks: Volumes) -> None:
    storage = ann.block_storage
    volume = make(ann, name="survivor")
    write(disks, volume, b"kept")
    begun = [storage.create_volume(size=1, name=f"n{number}") for number in range(3)]
    begun.append(storage.create_volume(source_volume_id=volume.id, size=1))
    image = ann.image.create_image(
        name="survivor", disk_format="raw", container_format="bare", data=b"kept" + bytes(9 * MiB), wait=True
    )
    begun.append(storage.create_volume(image_id=image.id, size=1))  # which is being converted
    backup = storage.create_backup(volume_id=volume.id, name="interrupted")
    Layout(cluster.directory).ready("volumes").unlink()
    os.kill(cluster.processes()["volumes"], signal.SIGKILL)
    until(lambda: Layout(cluster.directory).ready("volumes").exists(), bool)
    for each in begun:
        settled(ann, each)
    for each in begun[-2:]:
        assert read(disks, each, 4) == b"kept"
    settled(ann, volume)
    until(lambda: storage.get_backup(backup), lambda each: each.status == "available")
    config = load(cluster.directory / "cluster.toml")
    assert audit.examine(config, Layout(cluster.directory), fix=False) == []


def test_the_doctor_finds_what_differs(ann: Any, cluster: Cluster, disks: Volumes) -> None:
    volume = make(ann)
    disks.delete(f"volume-{volume.id}")
    disks.create("volume-00000000-0000-0000-0000-000000000000", GiB)
    layout, config = Layout(cluster.directory), load(cluster.directory / "cluster.toml")
    assert len(audit.examine(config, layout, fix=False)) == 2
    assert audit.examine(config, layout, fix=True) == []
    assert audit.examine(config, layout, fix=False) == []
    assert ann.block_storage.get_volume(volume).status == "error"
    states = {each.name: each.state for each in disks.list()}
    assert states["volume-00000000-0000-0000-0000-000000000000"] == "trashed"
    ann.block_storage.delete_volume(volume)
    until(lambda: gone(lambda: ann.block_storage.get_volume(volume)), bool)
