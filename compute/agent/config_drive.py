"""A guest's config drive: what it is told, as a file system that it finds by the label config-2.

Source: docs.openstack.org/nova, "Config drives". Made by mkisofs, by whichever name it has on this host.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from compute.agent.guest import Guest
from compute.agent.metadata import ec2, openstack
from compute.stored import Unreachable

TOOLS = ("genisoimage", "mkisofs", "xorrisofs")
LABEL = "config-2"
_TIMEOUT_S = 30.0


def files(guest: Guest) -> Mapping[str, bytes]:
    """Return all files of a guest's drive, by path. Pure."""
    found = {
        f"openstack/{version}/{name}": data
        for version in openstack.VERSIONS
        for name, data in openstack.files(guest.told, version).items()
        if name != openstack.PASSWORD
    }
    found["ec2/latest/meta-data.json"] = _ec2(guest)
    data = openstack.user_data(guest.told)
    return {**found, "ec2/latest/user-data": data} if data else found


def write(guest: Guest, path: Path) -> None:
    """Make the drive of a guest, in place of the one before it. Raise Unreachable, OSError."""
    tool = next((found for found in map(shutil.which, TOOLS) if found), None)
    if tool is None:
        raise Unreachable("config drives need genisoimage or xorriso on the host")
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        tree, image = Path(directory) / "tree", Path(directory) / "image"
        for name, data in files(guest).items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
        command = [tool, "-quiet", "-J", "-r", "-V", LABEL, "-o", os.fspath(image), os.fspath(tree)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 no shell
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"the config drive was not made: {error}") from None
        if done.returncode:
            raise Unreachable(f"the config drive was not made: {done.stderr.decode(errors='replace')[-300:]}")
        os.replace(image, path)


def _ec2(guest: Guest) -> bytes:
    return openstack.json_of(ec2.tree(guest))
