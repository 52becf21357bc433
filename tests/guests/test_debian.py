"""Debian's cloud image: cloud-init learns all that it should, from metadata and from a config drive, and is content.

It takes minutes, and is left out while there is no image: `make test-debian` builds it.
"""

import base64
import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.agent.wiring.names import Names
from tests.guests import debian
from tests.guests.agents import GiB, until
from tests.guests.clouds import Cloud

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="the image is made by root"),
    pytest.mark.skipif(not debian.place().exists(), reason="`make test-debian` builds the image"),
]
BOOT_S = 1500.0  # for what takes two minutes, each of two guests emulated beside the other
SIZE_GIB = 4  # of volumes that begin as an image of less
REPORT = """\
#!/bin/sh
cloud-init status --wait >/dev/null 2>&1
say() { echo "GUEST $*" >/dev/ttyS0; }
say host "$(hostname)"
say key "$(cat /home/debian/.ssh/authorized_keys)"
say address "$(ip -4 -o addr show eth0 | awk '{print $4}')"
say written "$(cat /etc/written)"
say root "$(df -B1 --output=size / | tail -n 1)"
say status "$(cloud-init status)"
say result "$(tr -d '\\n' </run/cloud-init/result.json)"
grep -E '[[](WARNING|ERROR|CRITICAL)|Traceback' /var/log/cloud-init.log | while read -r line; do
    say complaint "$line"
done
say failed "$(systemctl --failed --plain --no-legend | tr '\\n' ' ')"
say ready "$(cut -d' ' -f1 /proc/uptime)"
"""
USER_DATA = f"""\
#cloud-config
write_files:
  - path: /etc/written
    content: by user data
  - path: /usr/local/sbin/report
    permissions: '0755'
    encoding: b64
    content: {base64.b64encode(REPORT.encode()).decode()}
runcmd:
  - systemd-run --no-block /usr/local/sbin/report
"""
SOURCES = {False: "DataSourceOpenStackLocal", True: "DataSourceConfigDrive"}  # by: is there a config drive


class Guest:
    """A server that begins as the image, on a volume that is larger."""

    def __init__(self, cloud: Cloud, image: Any, key: Any, config_drive: bool) -> None:
        self.cloud = cloud
        self.name = "drive" if config_drive else "plain"
        self.begun_s = time.monotonic()
        root = {"boot_index": 0, "uuid": image.id, "source_type": "image", "destination_type": "volume"}
        self.server = cloud.compute.create_server(
            name=self.name,
            flavor_id=cloud.compute.find_flavor("m1.tiny", ignore_missing=False).id,
            networks="auto",
            key_name=key.name,
            config_drive=config_drive,
            user_data=base64.b64encode(USER_DATA.encode()).decode(),
            block_device_mapping=[{**root, "volume_size": SIZE_GIB, "delete_on_termination": True}],
        )

    def said(self) -> dict[str, list[str]]:
        """Return what it told of itself by the first word, once that is all."""
        server = self.cloud.compute.wait_for_server(self.server, wait=BOOT_S, interval=0.2)
        console = self.cloud.console(server)
        console.wait_for("GUEST ready", BOOT_S)
        print(f"{self.name}: cloud-init has finished {time.monotonic() - self.begun_s:.0f} s after the request")
        found: dict[str, list[str]] = {}
        for word, rest in re.findall(r"GUEST (\S+) ?([^\r\n]*)", console.text()):
            found.setdefault(word, []).append(rest.strip())
        return found

    def ssh(self, key: Path, command: str) -> str:
        """Run a command in it as its user, from within its network; return what that printed."""
        server = self.cloud.compute.get_server(self.server)
        (address,) = [each["addr"] for each in server.addresses["default"]]
        network = self.cloud.sdk.network.find_network("default", ignore_missing=False)
        number = list(self.cloud.hosts).index(server.compute_host)
        space = Names.of(str(self.cloud.cluster.directory), number).namespace(network.id)
        done = subprocess.run(
            ["ip", "netns", "exec", space, "ssh", "-i", str(key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=30",
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", f"debian@{address}", command],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("debian"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def key(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A key pair, and the file of its private half."""
    made = cloud.compute.create_keypair(name="mine")
    path = tmp_path_factory.mktemp("key") / "key"
    path.touch(mode=0o600)
    path.write_text(made.private_key)
    return made, path


@pytest.fixture(scope="module")
def guests(cloud: Cloud, key: tuple[Any, Path]) -> dict[bool, Guest]:
    """One guest without a config drive, and one with it, which begin at the same time."""
    image = cloud.images.create_image(
        name="debian", filename=str(debian.image()), disk_format="qcow2", container_format="bare", wait=True,
        timeout=BOOT_S,
    )  # fmt: skip
    group = cloud.sdk.network.find_security_group("default", ignore_missing=False)
    cloud.sdk.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", ethertype="IPv4", protocol="tcp", port_range_min=22,
        port_range_max=22,
    )  # fmt: skip
    return {config_drive: Guest(cloud, image, key[0], config_drive) for config_drive in (False, True)}


@pytest.mark.timeout(4 * BOOT_S)
@pytest.mark.parametrize("config_drive", [False, True])
def test_cloud_init_finishes_without_a_complaint(
    cloud: Cloud, guests: dict[bool, Guest], key: tuple[Any, Path], config_drive: bool
) -> None:
    guest = guests[config_drive]
    said = guest.said()
    print("\n".join(f"{guest.name}: {word} {line}" for word, lines in said.items() for line in lines))
    assert said["host"] == [guest.name]
    assert said["key"][0].split()[:2] == key[0].public_key.split()[:2]
    assert said["written"] == ["by user data"]
    assert int(said["root"][0]) > (SIZE_GIB - 0.5) * GiB  # less what the file system needs for itself
    assert said["status"] == ["status: done"]
    result = json.loads(said["result"][0])["v1"]
    assert result["errors"] == []
    assert SOURCES[config_drive] in result["datasource"]
    assert "complaint" not in said
    assert said["failed"] == [""]
    (address,) = [each["addr"] for each in cloud.compute.get_server(guest.server).addresses["default"]]
    assert said["address"][0].startswith(f"{address}/")
    assert until("its user is let in", lambda: _let_in(guest, key[1])) == f"debian {guest.name}"
    cloud.remove(guest.server)


def _let_in(guest: Guest, key: Path) -> str:
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
        return guest.ssh(key, "echo $(whoami) $(hostname)").strip()
    return ""
