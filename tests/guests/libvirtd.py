"""libvirt's daemon, as hosts have it, for tests that kill it: all of its own, beside whatever the machine has.

As root it knows no other places than the system's. So it is given a view of the file system in which these are
directories of the test's (a mount namespace); guests' paths, and networks, are as everywhere.
"""

import contextlib
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import libvirt

from tests.guests.agents import until

_PLACES = {"etc": "/etc/libvirt", "lib": "/var/lib/libvirt", "cache": "/var/cache/libvirt", "run": "/run/libvirt"}
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = [ ]
namespaces = [ ]
"""
_DAEMON = """\
unix_sock_dir = "{directory}/run"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:{directory}/log"
"""
_BEGIN = 'for each in "$@"; do mkdir -p "${each#*:}"; mount --bind "${each%%:*}" "${each#*:}"; done'


class Libvirtd:
    """One daemon."""

    def __init__(self, directory: Path) -> None:
        """`directory`: short enough for names of sockets below it."""
        self.directory = directory
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would write them to stderr
        for name in _PLACES:
            (directory / name).mkdir(parents=True)
        (directory / "etc" / "qemu.conf").write_text(_QEMU)
        (directory / "etc" / "libvirtd.conf").write_text(_DAEMON.format(directory=directory))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """How it is reached."""
        return f"qemu:///system?socket={self.directory}/run/libvirt-sock"

    def start(self) -> None:
        """Start it, unless it runs; it serves somewhat later."""
        if self._process is not None:
            return
        places = [f"{self.directory / name}:{place}" for name, place in _PLACES.items()]
        daemon = f"exec libvirtd -f {self.directory}/etc/libvirtd.conf -p {self.directory}/pid"
        command = ["unshare", "--mount", "sh", "-ec", f"{_BEGIN}; {daemon}", "libvirtd", *places]
        (self.directory / "pid").unlink(missing_ok=True)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def await_served(self) -> None:
        """Return when it answers."""
        until("libvirtd answers", self._answers)

    def _answers(self) -> bool:
        try:
            connection = libvirt.open(self.uri)
            connection.getDomainCapabilities()  # it looks at qemu for this, which takes a new one seconds of a core
            connection.close()
        except libvirt.libvirtError:
            return False
        return True

    def kill(self) -> None:
        """End it as a crash would; its guests run on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(60)
        self._process = None

    def domains(self) -> list[str]:
        """Return the names of all that it knows, running or not."""
        connection = libvirt.open(self.uri)
        try:
            return [domain.name() for domain in connection.listAllDomains()]
        finally:
            connection.close()

    def _destroy_all(self) -> None:
        with contextlib.suppress(libvirt.libvirtError):
            for domain in libvirt.open(self.uri).listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                domain.destroy()

    def close(self) -> None:
        """End it, and leave nothing."""
        if self._process is not None:
            self._destroy_all()
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def several(count: int) -> tuple[Path, list[Libvirtd]]:
    """Return where `count` daemons are, and the daemons, which serve."""
    place = Path(tempfile.mkdtemp(prefix="hf"))
    made = [Libvirtd(place / str(number)) for number in range(count)]
    made[0].start()
    made[0].await_served()
    for each in made[1:]:
        shutil.copytree(made[0].directory / "cache", each.directory / "cache", dirs_exist_ok=True)
        each.start()
        each.await_served()
    return place, made
