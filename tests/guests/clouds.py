"""A cluster with all that servers need, as tests of servers want it: asked by openstacksdk, and through its agents."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openstack.config
from openstack.connection import Connection

from cluster.config import load
from cluster.config.services import IDENTITY
from cluster.controlplane.service_user import service_user
from cluster.layout import Layout
from compute.agent.client import HostClient
from compute.agent.hosts import agent_urls, host_name
from compute.asking import ServiceLogin
from tests.cluster import Cluster
from tests.guests.agents import WAIT_S, Console, Site, until

AGENTS = 2


class Cloud:
    """A cluster with all that servers need, its administrator, and consoles of guests."""

    def __init__(self, directory: Path, agents: int = AGENTS, has_console: bool = False, **settings: Any) -> None:
        """`settings`: of [compute], beside those that all tests have."""
        self.cluster = Cluster(directory / "data", with_identity=True)
        networking = "bridge" if os.getuid() == 0 else "user"
        self.cluster.compute_settings = {
            "start": "yes", "virtualization": "qemu", "agents": agents, "networking": networking, **settings
        }  # fmt: skip
        self.cluster.console_settings = {"enabled": has_console}
        self.cluster.up()
        self.layout = Layout(self.cluster.directory)
        self.config = load(self.layout.config)
        clouds = openstack.config.OpenStackConfig(config_files=[str(self.layout.clouds)], load_envvars=False)
        self.sdk = Connection(config=clouds.get_one("holdfast"))
        self.compute, self.storage, self.images = self.sdk.compute, self.sdk.block_storage, self.sdk.image
        own = service_user(self.config.cluster.key_bytes, "compute")
        login = ServiceLogin(IDENTITY.api_url(self.config), own.name, own.password)
        urls = agent_urls(self.config)
        self.hosts = {name: HostClient(name, urls[name], login) for name in map(host_name, range(agents))}
        until("agents are known", lambda: sum(each.state == "up" for each in self.agents()) == agents)

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
        now = self.storage.get_volume(volume.id)  # what is waited for may be so in the document that the caller has
        self.storage.wait_for_status(now, status, ["error"], interval=0.05, wait=WAIT_S)

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
