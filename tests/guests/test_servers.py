"""Servers as their users have them: by openstacksdk, through all services, to guests that really run."""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openstack.config
import pytest
from openstack.connection import Connection

from cluster.config import load
from cluster.config.services import IDENTITY
from cluster.controlplane.service_user import service_user
from cluster.layout import Layout
from compute.agent.client import HostClient
from compute.agent.hosts import agent_urls, host_name
from compute.asking import ServiceLogin
from tests.cluster import Cluster
from tests.guests import tiny
from tests.guests.agents import WAIT_S, Console, GiB, MiB, Site, until

AGENTS = 2
MANY = 10
STARTED_S = 3.0  # from the request until the guest's machine runs, whatever the image's size; the best of some
LEAST_STORED = 16 * MiB  # of what ten guests may add, that write next to nothing
USER_DATA = b"#!/bin/sh\necho GUEST told $(fetch /latest/meta-data/hostname)\n"


class Cloud:
    """A cluster with all that servers need, its administrator, and consoles of guests."""

    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster(directory / "data", with_identity=True)
        networking = "bridge" if os.getuid() == 0 else "user"
        self.cluster.compute_settings = {
            "start": "yes", "virtualization": "qemu", "agents": AGENTS, "networking": networking
        }  # fmt: skip
        self.cluster.up()
        self.layout = Layout(self.cluster.directory)
        self.config = load(self.layout.config)
        clouds = openstack.config.OpenStackConfig(config_files=[str(self.layout.clouds)], load_envvars=False)
        self.sdk = Connection(config=clouds.get_one("holdfast"))
        self.compute, self.storage, self.images = self.sdk.compute, self.sdk.block_storage, self.sdk.image
        own = service_user(self.config.cluster.key_bytes, "compute")
        login = ServiceLogin(IDENTITY.api_url(self.config), own.name, own.password)
        urls = agent_urls(self.config)
        self.hosts = {name: HostClient(name, urls[name], login) for name in map(host_name, range(AGENTS))}
        until("agents are known", lambda: sum(each.state == "up" for each in self.agents()) == AGENTS)

    def agents(self) -> list[Any]:
        """Return what the compute service knows of its agents."""
        return [each for each in self.compute.services() if each.binary == "nova-compute"]

    def agent_of(self, host: str) -> Any:
        """Return what it knows of one."""
        return next(each for each in self.agents() if each.host == host)

    def image(self, path: Path, name: str, disk_format: str = "raw") -> Any:
        """Return an image that is ready to be cloned."""
        made = self.images.create_image(
            name=name, filename=str(path), disk_format=disk_format, container_format="bare", wait=True, timeout=WAIT_S
        )
        self.remove(self.server(f"first of {name}", image_id=made.id))  # by then it was converted
        return made

    def server(self, name: str, **attributes: Any) -> Any:
        """Return a server that runs, as far as the service says."""
        made = self.begin(name, **attributes)
        return self.compute.wait_for_server(made, wait=WAIT_S, interval=0.05)

    def begin(self, name: str, **attributes: Any) -> Any:
        """Return a server that was asked for."""
        flavor = self.compute.find_flavor("m1.nano", ignore_missing=False)
        attributes.setdefault("networks", "auto")
        return self.compute.create_server(name=name, flavor_id=flavor.id, **attributes)

    def console(self, server: Any) -> Console:
        """Return the console of a guest, on whatever host it is now."""
        host = self.hosts[self.compute.get_server(server).compute_host]
        return Console(cast(Site, SimpleNamespace(host=host)), server.id)

    def remove(self, server: Any) -> None:
        """Delete a server; return when it is gone."""
        self.compute.delete_server(server)
        self.compute.wait_for_delete(server, interval=0.1, wait=WAIT_S)

    def volume(self, **attributes: Any) -> Any:
        """Return a volume, once it is there."""
        made = self.storage.create_volume(**attributes)
        return self.storage.wait_for_status(made, "available", ["error"], interval=0.05, wait=WAIT_S)

    def await_volume(self, volume: Any, status: str) -> None:
        """Return once a volume is in that state."""
        self.storage.wait_for_status(volume, status, ["error"], interval=0.05, wait=WAIT_S)

    def detach(self, server: Any, volume: Any) -> None:
        """Take a volume from a server; return when it is free."""
        self.compute.delete_volume_attachment(server, volume.id)
        self.await_volume(volume, "available")

    def stored(self) -> int:
        """Return how many bytes the devices have on their disks of chunks of volumes, once that does not change."""

        def now() -> int:
            return sum(int(line.split()[0]) for line in self._sizes()) * 1024

        found = now()
        while (later := self._after_a_while(now)) != found:
            found = later
        return found

    def _sizes(self) -> list[str]:
        places = map(str, (self.cluster.directory / "nodes").glob("*/*/chunks"))
        done = subprocess.run(["du", "-sk", *places], capture_output=True, text=True, check=False)  # files come and go
        return done.stdout.splitlines()

    def _after_a_while(self, now: Callable[[], int]) -> int:
        time.sleep(3)  # what was written is in the chunks by then, and what was deleted is gone
        return now()

    def close(self) -> None:
        """Leave nothing running."""
        with contextlib.suppress(Exception):
            for server in self.compute.servers():
                self.remove(server)
        for host in self.hosts.values():
            with contextlib.suppress(Exception):
                for state in host.seen().guests:
                    host.remove(state.id)
        self.cluster.holdfast("down", check=False)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("servers"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.disk(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def image(cloud: Cloud, disk: Path) -> Any:
    return cloud.image(disk, "tiny")


def test_a_server_of_an_image_starts_and_learns_who_it_is(cloud: Cloud, image: Any) -> None:
    key = cloud.compute.create_keypair(name="mine")
    server = cloud.server("web", image_id=image.id, key_name=key.name, user_data=base64.b64encode(USER_DATA).decode())
    console = cloud.console(server)
    assert "web" in console.wait_for("GUEST told")
    console.wait_for("GUEST ready")
    assert console.do("fetch /latest/meta-data/public-keys/0/openssh-key").endswith(key.public_key.strip())
    (address,) = [each["addr"] for each in server.addresses["default"]]
    if os.getuid() == 0:
        assert console.do("ip -4 -o addr show eth0 | awk '{print $4}'").startswith(f"{address}/")
    text = cloud.compute.get_server_console_output(server)["output"]
    assert "GUEST ready" in text
    cloud.remove(server)
    assert not list(cloud.sdk.network.ports(device_id=server.id))


def test_a_volume_goes_from_guest_to_guest_and_grows_while_it_is_used(cloud: Cloud, image: Any) -> None:
    one, two = (cloud.begin(name, image_id=image.id) for name in ("one", "two"))
    for each in (one, two):
        cloud.compute.wait_for_server(each, wait=WAIT_S, interval=0.1)
    volume = cloud.volume(size=1, name="data")
    cloud.compute.create_volume_attachment(one, volume_id=volume.id)
    cloud.await_volume(volume, "in-use")
    console = cloud.console(one)
    console.wait_for("GUEST ready")
    until("the guest sees the disk", lambda: console.do(f"disk {volume.id}", check=False).startswith("/dev/"))
    console.do(f"mke2fs -q $(disk {volume.id}) && mount -t ext4 $(disk {volume.id}) /mnt")
    console.do("echo carried >/mnt/file && sync")
    cloud.storage.extend_volume(volume, 2)
    sectors = 2 * GiB // 512
    until(
        "the guest sees the size",
        lambda: console.do(f"cat /sys/block/$(basename $(disk {volume.id}))/size", check=False) == str(sectors),
    )
    console.do("umount /mnt")
    cloud.detach(one, volume)
    cloud.compute.create_volume_attachment(two, volume_id=volume.id)
    cloud.await_volume(volume, "in-use")
    console = cloud.console(two)
    console.wait_for("GUEST ready")
    until("the guest sees the disk", lambda: console.do(f"disk {volume.id}", check=False).startswith("/dev/"))
    assert console.do(f"mount -t ext4 $(disk {volume.id}) /mnt && cat /mnt/file") == "carried"
    for each in (one, two):
        cloud.remove(each)
    cloud.await_volume(volume, "available")


@pytest.mark.long
def test_a_server_on_a_volume_is_snapshot_while_it_runs_and_another_begins_with_that(cloud: Cloud, image: Any) -> None:
    root = {"boot_index": 0, "uuid": image.id, "source_type": "image", "destination_type": "volume", "volume_size": 1}
    server = cloud.server("rooted", block_device_mapping=[{**root, "delete_on_termination": True}])
    console = cloud.console(server)
    console.wait_for("GUEST ready")
    (attached,) = cloud.compute.volume_attachments(server)
    # behind the file system: the disk has room there that nothing uses
    write = f"dd of=$(disk {attached.volume_id})1 bs=1 seek=100 count=4 conv=notrunc,fsync"
    console.do(f"echo kept | {write}")
    taken = cloud.compute.create_server_image(server, "taken", wait=True, timeout=WAIT_S)
    console.do(f"echo lost | {write}")
    other = cloud.server("other", image_id=taken.id)
    console = cloud.console(other)
    console.wait_for("GUEST ready")
    (copy,) = cloud.compute.volume_attachments(other)
    assert console.do(f"dd if=$(disk {copy.volume_id})1 bs=1 skip=100 count=4 2>/dev/null").endswith("kept")
    for each in (server, other):
        cloud.remove(each)
    cloud.images.delete_image(taken)


@pytest.mark.long
def test_how_soon_a_server_starts_does_not_depend_on_its_image(
    cloud: Cloud, image: Any, disk: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.raw"
    shutil.copy(disk, large)
    with large.open("ab") as file:
        for _ in range(1024):
            file.write(os.urandom(MiB))
    bigger = cloud.image(large, "large")
    for each in (image, bigger):
        took = []
        for number in range(3):
            begun_s = time.monotonic()
            made = cloud.begin(f"quick {number}", image_id=each.id)
            until("it runs", lambda made=made: cloud.compute.get_server(made).status == "ACTIVE")
            took.append(time.monotonic() - begun_s)
            cloud.remove(made)
        print(f"{each.name}: {min(took):.2f} s until the guest's machine runs")
        assert min(took) < STARTED_S, took
    cloud.images.delete_image(bigger)


@pytest.mark.long
def test_ten_servers_of_an_image_store_next_to_nothing(cloud: Cloud, image: Any) -> None:
    before = cloud.stored()
    servers = [cloud.begin(f"one of many {number}", image_id=image.id) for number in range(MANY)]
    for each in servers:
        cloud.compute.wait_for_server(each, wait=10 * WAIT_S, interval=0.5)
    for each in servers:
        cloud.console(each).wait_for("GUEST ready", 10 * WAIT_S)
    added = cloud.stored() - before
    print(f"{MANY} guests of an image of {tiny.SIZE} bytes store {added} bytes more, all replicas together")
    assert added < LEAST_STORED
    for each in servers:
        cloud.remove(each)


@pytest.mark.long
def test_a_server_of_a_host_that_is_lost_goes_on_elsewhere_and_the_old_guest_writes_no_more(
    cloud: Cloud, image: Any
) -> None:
    volume = cloud.volume(size=1, name="of a lost host")
    server = cloud.server("evacuated", image_id=image.id)
    cloud.compute.create_volume_attachment(server, volume_id=volume.id)
    cloud.await_volume(volume, "in-use")
    console = cloud.console(server)
    console.wait_for("GUEST ready")
    host = cloud.compute.get_server(server).compute_host
    number = list(cloud.hosts).index(host)
    old = console
    until("the guest sees the disk", lambda: old.do(f"disk {volume.id}", check=False).startswith("/dev/"))
    agent = cloud.cluster.processes()[f"agent-{number}"]
    os.kill(agent, signal.SIGSTOP)  # nobody can ask it; its guest runs on
    try:
        cloud.compute.update_service_forced_down(cloud.agent_of(host), host, "nova-compute", True)
        until("it is known", lambda: cloud.agent_of(host).state == "down")
        cloud.compute.evacuate_server(server)
        until(
            "it runs elsewhere",
            lambda: (found := cloud.compute.get_server(server)).compute_host != host and found.status == "ACTIVE",
        )
        console = cloud.console(server)
        console.wait_for("GUEST ready")
        until("the guest sees the disk", lambda: console.do(f"disk {volume.id}", check=False).startswith("/dev/"))
        console.do(f"echo mine >/run/mine; dd if=/run/mine of=$(disk {volume.id}) conv=notrunc,fsync")
    finally:
        os.kill(agent, signal.SIGCONT)
    # the lost host is back: its guest cannot have written, and is removed
    until("the old guest is gone", lambda: cloud.hosts[host].find(server.id) is None)
    assert console.do(f"dd if=$(disk {volume.id}) bs=512 count=1 iflag=direct 2>/dev/null | head -c 4") == "mine"
    cloud.compute.update_service_forced_down(cloud.agent_of(host), host, "nova-compute", False)
    cloud.remove(server)
    cloud.await_volume(volume, "available")


def test_at_the_end_nothing_is_left(cloud: Cloud, image: Any) -> None:
    left = [each["name"] for each in cloud.cluster.ask_gateway("list", first="")["volumes"]]
    assert not [name for name in left if name.startswith("server-")]
    assert all(not host.seen().guests for host in cloud.hosts.values())
    assert "Nothing is wrong" in cloud.cluster.holdfast("doctor")
