"""`golden.Volumes` by the block gateway of this host."""

from pathlib import Path

from blockgw.client import VolumeFile, VolumesError, uri_of
from blockgw.client import Volumes as Client
from cluster.layout import Layout
from compute.gateway import Gateway
from compute.images.golden import Disk, VolumeFailed
from compute.stored import BackendError, Removal, Stored


class GatewayVolumes:
    """See `golden.Volumes`."""

    def __init__(self, layout: Layout, gateways: int) -> None:
        self._gateway = Gateway(layout, gateways)
        self._client = Client(layout.directory)
        self._socket: Path = layout.nbd_socket(0)

    def __repr__(self) -> str:
        return f"GatewayVolumes({self._gateway})"

    def has(self, name: str) -> bool:
        """See `golden.Volumes`."""
        return self._find(name) is not None

    def has_snapshot(self, name: str, snapshot: str) -> bool:
        """See `golden.Volumes`."""
        found = self._find(name)
        return found is not None and found.snapshot(snapshot) is not None

    def create(self, name: str, size: int) -> None:
        """See `golden.Volumes`."""
        try:
            self._gateway.create(name, size, encrypted=False)
        except BackendError as error:
            raise VolumeFailed(str(error)) from error

    def open(self, name: str) -> Disk:
        """See `golden.Volumes`."""
        try:
            return _OpenDisk(self._client.open(name))
        except (VolumesError, OSError) as error:
            raise VolumeFailed(str(error)) from error

    def uri(self, name: str) -> str:
        """See `golden.Volumes`."""
        return uri_of(self._socket, name)

    def snapshot(self, name: str, snapshot: str) -> None:
        """See `golden.Volumes`."""
        try:
            self._gateway.snapshot(name, snapshot)
        except BackendError as error:
            raise VolumeFailed(str(error)) from error

    def remove(self, name: str) -> bool:
        """See `golden.Volumes`."""
        try:
            return self._gateway.remove(name) is Removal.GONE
        except BackendError as error:
            raise VolumeFailed(str(error)) from error

    def _find(self, name: str) -> Stored | None:
        try:
            return self._gateway.find(name)
        except BackendError as error:
            raise VolumeFailed(str(error)) from error


class _OpenDisk:
    """`golden.Disk`."""

    def __init__(self, file: VolumeFile) -> None:
        self._file = file

    def write_at(self, offset: int, data: memoryview) -> None:
        self._file.seek(offset)
        while data:
            data = data[self._file.write(data) :]

    def close(self) -> None:
        self._file.close()
