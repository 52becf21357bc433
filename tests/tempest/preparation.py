"""What tempest's tests expect to be there: a role, an image that everybody sees, and one on the web.

And the address of a network service, since tempest leaves out tests of volumes without one. There is none: whoever
answers there knows of nothing (404), which is what tempest asks before it deletes a project.
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

from tests.tempest.configuration import RESELLER, PreparedImages

_SIZE = 1 << 20
_ON_THE_WEB = "tiny.qcow2"


@contextlib.contextmanager
def prepared(clouds: Path, directory: Path) -> Iterator[PreparedImages]:
    """Make it all, and yield the images. The one on the web is a file in `directory`, served meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", directory / _ON_THE_WEB, str(_SIZE)]
    subprocess.run(command, check=True)
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            yield PreparedImages(_make(clouds, url), f"{url}/{_ON_THE_WEB}")
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and does not tell of each."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def _make(clouds: Path, network_url: str) -> str:
    """Make the role, which operators make who want it, the network's address, and a public image; return its id."""
    config = openstack.config.OpenStackConfig(config_files=[str(clouds)], load_envvars=False)
    with Connection(config=config.get_one("holdfast")) as cloud:
        cloud.identity.create_role(name=RESELLER)
        network = cloud.identity.create_service(type="network", name="none")
        cloud.identity.create_endpoint(
            service_id=network.id, interface="public", url=network_url, region_id=cloud.config.region_name
        )
        image = cloud.image.create_image(
            "tiny", data=bytes(_SIZE), disk_format="raw", container_format="bare", visibility="public", wait=True
        )
    return str(image.id)
