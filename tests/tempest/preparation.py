"""What tempest's tests expect to be there: a role, images that everybody sees, and one on the web.

With a compute service also flavors, small enough for many guests at a time; servers that ask for no network get a port
in the one that is there from the beginning. Without one, the address of a network service, since tempest leaves out
tests of volumes where there is none: whoever answers there knows of nothing (404), which is what tempest asks before it
deletes a project.
"""

import contextlib
import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import openstack.config
from openstack.connection import Connection

from compute.network.beginnings import EXTERNAL
from tests.tempest.configuration import MULTIATTACH, RESELLER, Prepared

_SIZE = 1 << 20
_ON_THE_WEB = "tiny.qcow2"
_RAM_MIB = 64  # of a guest that has nothing to boot
# such a guest does not hear that it is to end; and disks that are not of PCI need no guest to let go of them
_HARDWARE = {"os_shutdown_timeout": "1", "hw_disk_bus": "scsi"}


@contextlib.contextmanager
def prepared(clouds: Path, directory: Path, with_servers: bool) -> Iterator[Prepared]:
    """Make it all, and yield it. The image on the web is a file in `directory`, served meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", directory / _ON_THE_WEB, str(_SIZE)]
    subprocess.run(command, check=True)
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield _make(clouds, f"http://127.0.0.1:{server.server_port}", with_servers)
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and does not tell of each."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _make(clouds: Path, url: str, with_servers: bool) -> Prepared:
    config = openstack.config.OpenStackConfig(config_files=[str(clouds)], load_envvars=False)
    with Connection(config=config.get_one("holdfast")) as cloud:
        cloud.identity.create_role(name=RESELLER)  # which operators make who want it
        images = (_image(cloud, "tiny"), _image(cloud, "tiny too"))
        image_url = f"{url}/{_ON_THE_WEB}"
        if not with_servers:
            network = cloud.identity.create_service(type="network", name="none")
            cloud.identity.create_endpoint(
                service_id=network.id, interface="public", url=url, region_id=cloud.config.region_name
            )
            return Prepared(images, image_url)
        cloud.block_storage.create_type(name=MULTIATTACH, extra_specs={"multiattach": "<is> True"})
        flavors = (_flavor(cloud, "tempest-small", _RAM_MIB), _flavor(cloud, "tempest-large", 2 * _RAM_MIB))
        extensions = tuple(each.alias for each in cloud.network.extensions())
        return Prepared(
            images, image_url, flavors, extensions, str(cloud.network.find_network(EXTERNAL, ignore_missing=False).id)
        )


def _image(cloud: Connection, name: str) -> str:
    image = cloud.image.create_image(
        name,
        data=bytes(_SIZE),
        disk_format="raw",
        container_format="bare",
        visibility="public",
        wait=True,
        **_HARDWARE,
    )
    return str(image.id)


def _flavor(cloud: Connection, name: str, ram_mib: int) -> str:
    return str(cloud.compute.create_flavor(name=name, ram=ram_mib, vcpus=1, disk=1).id)
