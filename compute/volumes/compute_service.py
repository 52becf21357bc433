"""The compute service, told that volumes of its servers have grown, asked which they have: `backend.Servers` over HTTP.

It is told once, and not again after a crash: a guest that is not told sees the new size when it starts.
"""

from collections.abc import Sequence

from cluster.telemetry.log import get_logger
from compute.asking import Asked, ServiceLogin, document_of, safe
from compute.stored import BackendError

VERSION = "compute 2.89"  # which knows of volumes that have grown, and tells by which attachments servers have theirs
_TIMEOUT_S = 20.0
_log = get_logger("volumes")


class ComputeService:
    """See `backend.Servers`."""

    def __init__(self, url: str, login: ServiceLogin) -> None:
        """`url`: of the API, with its version."""
        self._service = Asked("the compute service", url, login, {"OpenStack-API-Version": VERSION})

    def __repr__(self) -> str:
        return f"ComputeService({self._service})"

    def extended(self, volume_id: str, server_ids: Sequence[str]) -> None:
        """See Servers."""
        events = [{"name": "volume-extended", "server_uuid": each, "tag": volume_id} for each in server_ids]
        try:
            self._service.ask("POST", "/os-server-external-events", {"events": events}, timeout_s=_TIMEOUT_S)
        except BackendError as error:
            _log.warning("servers_not_told", volume=volume_id, error=error)

    def attachment_of(self, server_id: str, volume_id: str) -> str | None:
        """See Servers."""
        path = f"/servers/{safe(server_id)}/os-volume_attachments/{safe(volume_id)}"
        answer = self._service.ask("GET", path, expected=(200, 404), timeout_s=_TIMEOUT_S)
        if answer.status == 404:
            return None
        return str(document_of(answer)["volumeAttachment"]["attachment_id"])


class NoServers:
    """`backend.Servers` of a cluster without a compute service."""

    def extended(self, _volume_id: str, _server_ids: Sequence[str]) -> None:
        """See Servers."""

    def attachment_of(self, _server_id: str, _volume_id: str) -> str | None:
        """See Servers."""
        return None
