"""The image service of a cluster, by the clients that people use: openstacksdk, the `openstack` command, plain HTTP.

A cluster of its own, with identity, objects and volumes.
"""

import hashlib
import http.client
import http.server
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openstack
import pytest
from openstack.connection import Connection
from openstack.exceptions import BadRequestException, ForbiddenException, NotFoundException

from cluster.config import load
from cluster.layout import Layout
from compute.images.cluster_settings import s3_client
from tests.cluster import Cluster

MiB = 1 << 20
PASSWORD = "open sesame"
WAIT_S = 120.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("images") / "data", with_identity=True)
    made.images_settings = {"web_private_addresses": True, "web_ports": ()}
    made.up()
    try:
        yield made
    finally:
        made.holdfast("down", check=False)


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Connection:
    """Return the administrator, as clouds.yaml has it."""
    layout = Layout(cluster.directory)
    config = openstack.config.OpenStackConfig(config_files=[str(layout.clouds)], load_envvars=False)
    return Connection(config=config.get_one("holdfast"))


def member(admin: Connection, name: str) -> Connection:
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
def ann(admin: Connection) -> Connection:
    return member(admin, "ann")


@pytest.fixture(scope="module")
def bob(admin: Connection) -> Connection:
    return member(admin, "bob")


def disk(size: int, seed: int = 1) -> bytes:
    """Return the bytes of a disk that is half empty."""
    chance = random.Random(seed)
    pieces = [chance.randbytes(MiB) if number % 2 else bytes(MiB) for number in range(size // MiB)]
    return b"".join(pieces)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns, once that is something."""
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


def objects(cluster: Cluster) -> frozenset[str]:
    """Return what names the objects that the image service has, and parts of such."""
    client = s3_client(load(Layout(cluster.directory).config), "images")
    whole = client.list_objects_v2(Bucket="images").get("Contents", ())
    parts = client.list_multipart_uploads(Bucket="images").get("Uploads", ())
    return frozenset((*(item["Key"] for item in whole), *(item["UploadId"] for item in parts)))


def test_an_image_goes_up_is_changed_shared_and_goes_down(ann: Connection, bob: Connection) -> None:
    data = disk(20 * MiB)
    image = ann.image.create_image("disk", data=io.BytesIO(data), disk_format="raw", container_format="bare",
                                   wait=True, os_distro="debian", allow_duplicates=True)
    image = ann.image.get_image(image.id)
    assert (image.status, image.size, image.virtual_size) == ("active", len(data), len(data))
    assert image.checksum == hashlib.md5(data).hexdigest()
    assert image.hash_value == hashlib.sha512(data).hexdigest()
    assert ann.image.download_image(image).content == data
    assert [each.id for each in ann.image.images(os_distro="debian")] == [image.id]
    ann.image.update_image(image, name="renamed", is_protected=True)
    ann.image.add_tag(image, "good")
    found = ann.image.find_image("renamed")
    assert (found.is_protected, found.tags) == (True, ["good"])
    with pytest.raises(NotFoundException):
        bob.image.get_image(image.id)
    ann.image.add_member(image, member_id=bob.current_project_id)
    bob.image.update_member(bob.current_project_id, image, status="accepted")
    assert [each.id for each in bob.image.images()] == [image.id]
    part = bob.image.get(f"/images/{image.id}/file", headers={"Range": f"bytes={MiB}-{MiB + 9}"})
    assert (part.status_code, part.content) == (206, data[MiB : MiB + 10])
    with pytest.raises(ForbiddenException):
        bob.image.delete_image(image.id, ignore_missing=False)
    with pytest.raises(ForbiddenException):
        ann.image.delete_image(image.id, ignore_missing=False)
    ann.image.update_image(image.id, is_protected=False)
    ann.image.deactivate_image(image.id)
    assert bob.image.get(f"/images/{image.id}/file").status_code == 403
    ann.image.reactivate_image(image.id)
    ann.image.delete_image(image.id, ignore_missing=False)
    with pytest.raises(NotFoundException):
        ann.image.get_image(image.id)


def cli(cluster: Cluster, *arguments: str) -> Any:
    """Return what the `openstack` command prints, as JSON."""
    program = Path(sys.executable).with_name("openstack")
    env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(Layout(cluster.directory).clouds), "OS_CLOUD": "holdfast"}
    done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout


def test_the_openstack_command(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "cirros.qcow2"
    source = tmp_path / "source.raw"
    source.write_bytes(disk(4 * MiB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, path], check=True, timeout=60)
    options = ("--disk-format", "qcow2", "--container-format", "bare", "--public", "--property", "os_distro=cirros")
    made = cli(cluster, "image", "create", "cirros", "--file", str(path), *options, "-f", "json")
    assert made["name"] == "cirros"
    shown = cli(cluster, "image", "show", "cirros", "-f", "json")
    assert (shown["status"], shown["visibility"], shown["virtual_size"]) == ("active", "public", 4 * MiB)
    assert "cirros" in [each["Name"] for each in cli(cluster, "image", "list", "-f", "json")]
    cli(cluster, "image", "set", "cirros", "--property", "hw_disk_bus=scsi", "--min-disk", "1", "--tag", "small")
    shown = cli(cluster, "image", "show", "cirros", "-f", "json")
    assert (shown["min_disk"], shown["properties"]["hw_disk_bus"], shown["tags"]) == (1, "scsi", ["small"])
    copy = tmp_path / "copy.qcow2"
    cli(cluster, "image", "save", "cirros", "--file", str(copy))
    assert copy.read_bytes() == path.read_bytes()
    project = cli(cluster, "project", "create", f"p-{uuid.uuid4().hex}", "-f", "json")["id"]
    cli(cluster, "image", "set", "cirros", "--shared")
    cli(cluster, "image", "add", "project", "cirros", project, "-f", "json")
    assert [each["Member ID"] for each in cli(cluster, "image", "member", "list", "cirros", "-f", "json")] == [project]
    cli(cluster, "image", "remove", "project", "cirros", project)
    cli(cluster, "image", "unset", "cirros", "--property", "hw_disk_bus")
    cli(cluster, "image", "delete", "cirros")
    assert "cirros" not in [each["Name"] for each in cli(cluster, "image", "list", "-f", "json")]


def test_what_is_not_what_it_says_is_refused(ann: Connection, tmp_path: Path) -> None:
    base, evil = tmp_path / "base.qcow2", tmp_path / "evil.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "1M"], check=True, timeout=60)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", evil], check=True, timeout=60)
    for data, disk_format in ((evil.read_bytes(), "qcow2"), (base.read_bytes(), "raw"), (bytes(MiB), "qcow2")):
        image = ann.image.create_image("evil", disk_format=disk_format, container_format="bare", allow_duplicates=True)
        answer = ann.image.put(f"/images/{image.id}/file", data=data,
                               headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code == 400, answer.text
        assert ann.image.get_image(image.id).status == "queued"
        ann.image.delete_image(image.id)


def test_staged_data_is_imported(ann: Connection) -> None:
    data = disk(2 * MiB, seed=2)
    image = ann.image.create_image("staged", disk_format="raw", container_format="bare", allow_duplicates=True)
    image.data = data
    image.stage(ann.image)
    assert ann.image.get_image(image.id).status == "uploading"
    ann.image.import_image(image, method="glance-direct")
    ann.image.wait_for_status(image, "active", interval=0.2, wait=WAIT_S)
    assert ann.image.download_image(image).content == data
    (task,) = ann.image.image_tasks(image)
    assert task.status == "success"
    ann.image.delete_image(image)


def test_an_image_is_fetched_from_the_web(ann: Connection, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(disk(3 * MiB, seed=3))
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split("port ")[1].split(" ")[0])
        image = ann.image.create_image("web", disk_format="raw", container_format="bare", allow_duplicates=True)
        ann.image.import_image(image, method="web-download", uri=f"http://127.0.0.1:{port}/disk.raw")
        ann.image.wait_for_status(image, "active", interval=0.2, wait=WAIT_S)
        assert ann.image.get_image(image.id).checksum == hashlib.md5(path.read_bytes()).hexdigest()
        ann.image.delete_image(image)
        image = ann.image.create_image("web", disk_format="raw", container_format="bare", allow_duplicates=True)
        ann.image.import_image(image, method="web-download", uri=f"http://127.0.0.1:{port}/nothing")
        until(lambda: [task for task in ann.image.image_tasks(image) if task.status == "failure"], "it did not fail")
        assert ann.image.get_image(image.id).status == "queued"
        ann.image.delete_image(image)
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk", "vdi"])
def test_an_image_becomes_a_volume_that_is_cloned(
    cluster: Cluster, ann: Connection, tmp_path: Path, disk_format: str
) -> None:
    raw, path = tmp_path / "disk.raw", tmp_path / "disk.image"
    raw.write_bytes(disk(12 * MiB, seed=4) + b"end" + bytes(509))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", disk_format, raw, path], check=True, timeout=60)
    image = ann.image.create_image("boot", data=path.open("rb"), disk_format=disk_format, container_format="bare",
                                   wait=True, allow_duplicates=True)

    def made() -> Any:
        answer = ann.image.post(f"/images/{image.id}/actions/golden")
        assert answer.status_code in (200, 202), answer.text
        return answer.json() if answer.status_code == 200 else None

    golden = until(made, "no volume was made")
    virtual = ann.image.get_image(image.id).virtual_size
    assert golden["size"] == virtual
    name = f"clone-{disk_format}"
    cluster.ask_gateway("clone", parent=golden["volume"], snapshot=golden["snapshot"], name=name)
    copy = tmp_path / "copy.raw"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", cluster.nbd(name), copy], check=True, timeout=60)
    assert copy.read_bytes()[: raw.stat().st_size] == raw.read_bytes()
    ann.image.delete_image(image.id)
    time.sleep(1)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", cluster.nbd(name), copy], check=True, timeout=60)
    assert copy.read_bytes()[: raw.stat().st_size] == raw.read_bytes()
    cluster.ask_gateway("trash", name=name)
    cluster.ask_gateway("purge", name=name)


def test_objects_of_deleted_images_go(cluster: Cluster, admin: Connection) -> None:
    for image in admin.image.images():
        admin.image.delete_image(image.id)
    until(lambda: not objects(cluster), "objects are left")
    until(
        lambda: not [each for each in cluster.ask_gateway("list", first="")["volumes"]
                     if each["name"].startswith("image-") and each["state"] == "available"],
        "volumes are left",
    )


def test_a_kill_in_the_midst_of_an_upload_leaves_nothing(cluster: Cluster, ann: Connection) -> None:
    image = ann.image.create_image("torn", disk_format="raw", container_format="bare", allow_duplicates=True)
    place = urlsplit(ann.image.get_endpoint())
    assert place.hostname
    connection = http.client.HTTPConnection(place.hostname, place.port or 80, timeout=30)
    token = str(ann.session.get_token())
    connection.putrequest("PUT", f"/v2/images/{image.id}/file")
    for name, value in (("X-Auth-Token", token), ("Content-Type", "application/octet-stream"),
                        ("Content-Length", str(100 * MiB))):
        connection.putheader(name, value)
    connection.endheaders()
    for _ in range(20):
        connection.send(bytes(MiB))
    until(lambda: ann.image.get_image(image.id).status == "saving", "the upload does not begin")
    until(lambda: len(objects(cluster)) == 1, "no part is there")
    pid = cluster.processes()["images"]
    os.kill(pid, signal.SIGKILL)
    connection.close()

    def back() -> bool:
        try:
            return bool(ann.image.get_image(image.id).status == "queued")
        except Exception:
            return False

    until(back, "the service does not come back")
    until(lambda: not objects(cluster), "parts are left")
    data = disk(9 * MiB, seed=5)
    image.data = data
    assert image.upload(ann.image).status_code == 204
    assert ann.image.download_image(image).content == data
    assert image.upload(ann.image).status_code == 409
    ann.image.delete_image(image)


class Halting(http.server.BaseHTTPRequestHandler):
    """Sends half of a page to the first who asks, and no more until the test goes on."""

    data = disk(36 * MiB, seed=6)  # half of it is several parts
    go_on = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        with suppress(OSError):  # who asked is dead
            self.wfile.write(self.data[: len(self.data) // 2])
            assert self.go_on.wait(WAIT_S)
            self.wfile.write(self.data[len(self.data) // 2 :])

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


@pytest.mark.long  # what may take a minute to be cleared away is; test_crashes.py has each point at which it may die
def test_a_kill_in_the_midst_of_an_import_is_made_up_for(cluster: Cluster, ann: Connection) -> None:
    before = objects(cluster)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Halting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        image = ann.image.create_image("halted", disk_format="raw", container_format="bare", allow_duplicates=True)
        ann.image.import_image(image, method="web-download", uri=f"http://127.0.0.1:{server.server_port}/disk.raw")
        until(lambda: len(objects(cluster) - before) == 1, "no part is there")
        os.kill(cluster.processes()["images"], signal.SIGKILL)
        Halting.go_on.set()

        def done() -> bool:
            try:
                return str(ann.image.get_image(image.id).status) == "active"
            except Exception:
                return False  # it is not back

        until(done, "the import is not done by the next process")
        server.shutdown()
    assert ann.image.download_image(image).content == Halting.data
    assert [task.status for task in ann.image.image_tasks(image)] == ["success"]
    until(lambda: len(objects(cluster) - before) == 1, "what the first one had sent is left")
    ann.image.delete_image(image)
    until(lambda: not objects(cluster) - before, "the object is left")


def test_an_upload_takes_little_memory(cluster: Cluster, ann: Connection) -> None:
    def memory_mib() -> int:
        status = Path(f"/proc/{cluster.processes()['images']}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    before = memory_mib()
    image = ann.image.create_image("large", disk_format="raw", container_format="bare", allow_duplicates=True)
    piece = random.Random(6).randbytes(MiB)
    size = 300

    def pieces() -> Iterator[bytes]:
        for _ in range(size):
            yield piece

    answer = ann.image.put(f"/images/{image.id}/file", data=pieces(),
                           headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 204, answer.text
    assert ann.image.get_image(image.id).size == size * MiB
    assert memory_mib() - before < 80
    ann.image.delete_image(image)


def test_bad_requests_are_told_as_such(ann: Connection) -> None:
    with pytest.raises(BadRequestException, match="disk_format"):
        ann.image.create_image("x", disk_format="floppy", container_format="bare", allow_duplicates=True)
