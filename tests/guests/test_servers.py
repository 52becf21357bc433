"""Servers as their users have them: by openstacksdk, through all services, to guests that really run."""

import base64
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guests import tiny
from tests.guests.agents import WAIT_S, GiB, MiB, until
from tests.guests.clouds import Cloud

MANY = 10
STARTED_S = 3.0  # from the request until the guest's machine runs, whatever the image's size; the best of some
LEAST_STORED = 16 * MiB  # of what ten guests may add, that write next to nothing
USER_DATA = b"#!/bin/sh\necho GUEST told $(fetch /latest/meta-data/hostname)\n"


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
@pytest.mark.skipif(os.getuid() != 0, reason="networks are for root")
def test_guests_of_a_network_reach_each_other_on_whichever_hosts_they_are(cloud: Cloud, image: Any) -> None:
    group = next(each for each in cloud.sdk.network.security_groups() if each.name == "default")  # its members are in
    places = {f"on {host}": f"nova:{host}" for host in cloud.hosts}
    servers = [
        cloud.server(name, image_id=image.id, availability_zone=zone, security_groups=[{"name": group.name}])
        for name, zone in places.items()
    ]
    assert {cloud.compute.get_server(each).compute_host for each in servers} == set(cloud.hosts)
    consoles = [cloud.console(each) for each in servers]
    addresses = [each["addr"] for server in servers for each in server.addresses["default"]]
    for console in consoles:
        console.wait_for("GUEST ready")
    for console, address in zip(consoles, reversed(addresses), strict=True):
        console.do(f"ping -c 2 -W 10 -s {1450 - 28} {address}")  # 28: headers of IP and ICMP
    for server in servers:
        cloud.remove(server)


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
