"""Where things are under a data directory. Paths only: nothing here touches the disk."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cluster.config import Config, DeviceConfig

# of a directory; sun_path is 108 bytes with its NUL on Linux, and "/storage-65534.sock" must fit
_SOCKETS_PATH_LIMIT = 80


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one data directory, which should be absolute."""

    directory: Path

    @staticmethod
    def of_config(path: str | os.PathLike[str]) -> "Layout":
        """Return the layout of the data directory in which the configuration file `path` is."""
        return Layout(Path(os.path.abspath(path)).parent)

    @property
    def config(self) -> Path:
        """The configuration (`cluster.config`); holds secrets."""
        return self.directory / "cluster.toml"

    @property
    def environment(self) -> Path:
        """What a shell sources to use the cluster; holds secrets."""
        return self.directory / "cluster.env"

    @property
    def clouds(self) -> Path:
        """What OpenStack's clients find the identity service by; holds secrets."""
        return self.directory / "clouds.yaml"

    @property
    def openrc(self) -> Path:
        """The same for a shell to source."""
        return self.directory / "openrc"

    @property
    def admin_password(self) -> Path:
        """The password that the administrator of the identity service was made with."""
        return self.directory / "admin.password"

    @property
    def identity_database(self) -> Path:
        """The database of the identity service, unless the configuration names another."""
        return self.directory / "identity.db"

    @property
    def images_database(self) -> Path:
        """The database of the image service, unless the configuration names another."""
        return self.directory / "images.db"

    @property
    def images_scratch(self) -> Path:
        """Where the image service keeps images while they become volumes; worthless when it does not run."""
        return self.directory / "images-scratch"

    @property
    def volumes_database(self) -> Path:
        """The database of the volume service, unless the configuration names another."""
        return self.directory / "volumes.db"

    @property
    def compute_database(self) -> Path:
        """The database of the compute service, unless the configuration names another."""
        return self.directory / "compute.db"

    @property
    def network_database(self) -> Path:
        """The database of the network service, unless the configuration names another."""
        return self.directory / "network.db"

    def agent(self, number: int) -> Path:
        """Return what an agent of this host keeps: its guests, their consoles, its libvirt; holds secrets."""
        return self.directory / f"agent-{number}"

    @property
    def version(self) -> Path:
        """Holds the number of the data layout."""
        return self.directory / "VERSION"

    @property
    def coordination(self) -> Path:
        """The database of the embedded coordination."""
        return self.directory / "coordination.db"

    @property
    def run(self) -> Path:
        """Sockets, pid files and the like: worthless when nothing runs."""
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.directory / "log"

    def log(self, name: str) -> Path:
        """Return the log file of the process `name`."""
        return self.logs / f"{name}.log"

    def ready(self, name: str) -> Path:
        """Return the file that the process `name` makes once it serves."""
        return self.run / f"{name}.ready"

    def pid(self, name: str) -> Path:
        """Return the file with the process id of the process `name`."""
        return self.run / f"{name}.pid"

    def lock(self, name: str) -> Path:
        """Return the file whose lock the process `name` holds, where there must be one alone."""
        return self.run / f"{name}.lock"

    def device(self, device: DeviceConfig) -> Path:
        """Return where `device` stores."""
        return self.directory / device.directory

    @property
    def sockets(self) -> Path:
        """The directory of unix sockets: `run`, or a short one when the path of `run` is too long for them.

        Whoever makes it gives it mode 0700, and refuses one that is not its owner's alone: /tmp is shared.
        """
        return self.run if len(os.fsencode(self.run)) <= _SOCKETS_PATH_LIMIT else self.short

    @property
    def short(self) -> Path:
        """A directory with a short path, for sockets whose names are long; see `sockets` for who makes it."""
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(f"/tmp/holdfast-{os.getuid()}-{digest}")  # noqa: S108

    def device_socket(self, device_id: int) -> Path:
        """Return the unix socket of a device."""
        return self.sockets / f"storage-{device_id}.sock"

    def nbd_socket(self, gateway: int) -> Path:
        """Return the unix socket on which a block gateway serves volumes."""
        return self.sockets / f"nbd-{gateway}.sock"

    def gateway_socket(self, gateway: int) -> Path:
        """Return the unix socket on which a block gateway is told what to do."""
        return self.sockets / f"gateway-{gateway}.sock"

    @property
    def control_socket(self) -> Path:
        """The unix socket of the supervisor."""
        return self.sockets / "supervisor.sock"

    def device_address(self, config: Config, device_id: int) -> str:
        """Return the address of a device as `cluster.wire` takes it. Raise ConfigError when there is none."""
        device = config.device(device_id)
        if config.cluster.transport == "unix":
            return f"unix:{self.device_socket(device_id)}"
        return f"tcp:{device.host}:{config.wire_port(device)}"
