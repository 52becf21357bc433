"""A qemu of the agent's own: libvirt without a daemon, with all its state in one directory (`qemu:///embed`).

Source: libvirt.org, "QEMU/KVM/HVF hypervisor driver", "Embedded driver". Nothing is shared with the host's own libvirt.
Guests outlive the agent; the next one finds them. It runs as whoever the agent is.
"""

import os
from pathlib import Path

from cluster.layout import Layout
from compute.agent.libvirt import interrupted

# "lib/qemu/domain-4294967295-XXXXXXXXXXXXXXXXXXXX/monitor.sock" below it, and a unix socket's path has 107 bytes
_PATH_LIMIT = 107 - 63
_CONFIGURATION = """\
# written by the agent at each start
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
# a guest's way to its metadata is a command that qemu starts (user mode)
seccomp_sandbox = 0
vnc_listen = "127.0.0.1"
"""
_AS_ROOT = 'user = "root"\ngroup = "root"\n'


def prepare(layout: Layout, number: int) -> str:
    """Make the directory of agent `number`, and return the URI of its hypervisor. Raise OSError."""
    directory = layout.agent(number) / "libvirt"
    (directory / "etc").mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = directory / "etc" / "qemu.conf"
    interrupted.clear(directory)
    configuration.write_text(_CONFIGURATION + (_AS_ROOT if os.geteuid() == 0 else ""))
    return f"qemu:///embed?root={_short(directory, layout, number)}"


def _short(directory: Path, layout: Layout, number: int) -> Path:
    """Return a path of the directory that leaves room for the names of sockets: another name of it, if need be."""
    if len(os.fsencode(directory)) <= _PATH_LIMIT:
        return directory
    layout.short.mkdir(mode=0o700, exist_ok=True)
    found = layout.short.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{layout.short} is not this user's alone")
    link = layout.short / f"v{number}"
    assert len(os.fsencode(link)) <= _PATH_LIMIT
    if not link.is_symlink() or os.readlink(link) != os.fspath(directory):
        link.unlink(missing_ok=True)
        link.symlink_to(directory)
    return link
