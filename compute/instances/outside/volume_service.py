"""`interfaces.Volumes` by the volume service of the cluster.

What a user may do is asked with the user's token. What is done later, and again after a crash, is done as the compute
service's own user; what is made then bears the id of the disk it is for in its metadata, so that it is made once.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from cluster.telemetry.log import get_logger
from compute.agent.guest import Disk
from compute.asking import Asked, ServiceLogin, document_of, safe
from compute.instances.interfaces import Volume
from compute.instances.outside.image_service import ATTRIBUTES
from compute.stored import InUse, NoSuch, Refused, Unreachable

VERSION = "volume 3.70"
MARK = "holdfast_disk"  # in the metadata of a volume that was made for a server
_OF_IMAGE = ATTRIBUTES | {"image_id", "image_name"}  # in volume_image_metadata, where properties are beside them
_GONE = (400, 403, 404)
_AT_REST = frozenset(("available", "error"))

_log = get_logger("compute")


class VolumeService:
    """See `interfaces.Volumes`."""

    def __init__(self, url: str, login: ServiceLogin) -> None:
        """`url`: of the API, with its version."""
        self._service = Asked("the volume service", url, login, {"OpenStack-API-Version": VERSION})

    def __repr__(self) -> str:
        return f"VolumeService({self._service})"

    def show(self, volume_id: str, token: str = "") -> Volume | None:
        """See Volumes."""
        answer = self._service.ask("GET", f"/volumes/{safe(volume_id)}", expected=(200, *_GONE), token=token)
        return _volume(document_of(answer)["volume"]) if answer.status == 200 else None

    def show_snapshot(self, snapshot_id: str, token: str) -> Mapping[str, Any] | None:
        """See Volumes."""
        answer = self._service.ask("GET", f"/snapshots/{safe(snapshot_id)}", expected=(200, *_GONE), token=token)
        return document_of(answer)["snapshot"] if answer.status == 200 else None

    def create(self, document: Mapping[str, Any], token: str) -> Volume:
        """See Volumes."""
        mark = (document.get("metadata") or {}).get(MARK)
        if mark is not None:
            query = urlencode({"metadata": str({MARK: mark})})
            found = self._service.ask("GET", f"/volumes/detail?{query}", expected=(200,), token=token)
            for each in document_of(found)["volumes"]:
                return _volume(each)
        answer = self._service.ask("POST", "/volumes", {"volume": dict(document)}, token=token)
        if answer.status == 413 or answer.status in (400, 401, 403, 404):
            raise Refused(_said(answer.data) or f"the volume service answers {answer.status}")
        if answer.status != 202:
            raise Unreachable(f"the volume service answers {answer.status}")
        return _volume(document_of(answer)["volume"])

    def delete(self, volume_id: str) -> None:
        """See Volumes."""
        answer = self._service.ask("DELETE", f"/volumes/{safe(volume_id)}", expected=(202, 400, 404))
        if answer.status != 400:
            return
        found = self.show(volume_id)
        if found is not None and found.status not in _AT_REST:
            raise InUse(f"volume {volume_id} is {found.status}")
        _log.warning("volume_stays", volume=volume_id, why=_said(answer.data))  # as Nova does: it has snapshots

    def reserve(self, volume_id: str, server_id: str, token: str = "") -> str:
        """See Volumes."""
        for each in self._attachments(volume_id, server_id):
            if each["status"] == "reserved":  # an earlier attempt's
                return str(each["id"])
        document = {"attachment": {"volume_uuid": volume_id, "instance_uuid": server_id}}
        answer = self._service.ask("POST", "/attachments", document, expected=(200, 202), token=token)
        return str(document_of(answer)["attachment"]["id"])

    def connect(self, attachment_id: str, host: str, mountpoint: str) -> Disk:
        """See Volumes."""
        connector = {"host": host, "mountpoint": mountpoint, "os_type": "linux", "platform": "x86_64"}
        document = {"attachment": {"connector": connector}}
        path = f"/attachments/{safe(attachment_id)}"
        answer = self._service.ask("PUT", path, document, expected=(200, 404))
        if answer.status == 404:
            raise NoSuch(f"attachment {attachment_id} is not there any more")
        attachment = document_of(answer)["attachment"]
        return self._disk(str(attachment["volume_id"]), attachment["connection_info"])

    def complete(self, attachment_id: str) -> None:
        """See Volumes."""
        path = f"/attachments/{safe(attachment_id)}/action"
        self._service.ask("POST", path, {"os-complete": {}}, expected=(202, 204))

    def release(self, attachment_id: str) -> None:
        """See Volumes."""
        self._service.ask("DELETE", f"/attachments/{safe(attachment_id)}", expected=(200, 202, 204, 404))

    def reimage(self, volume_id: str, image_id: str) -> None:
        """See Volumes."""
        about = {"os-reimage": {"image_id": image_id, "reimage_reserved": True}}
        self._service.ask("POST", f"/volumes/{safe(volume_id)}/action", about, expected=(202,))

    def snapshot(self, volume_id: str, name: str, token: str = "") -> str:
        """See Volumes."""
        document = {"snapshot": {"volume_id": volume_id, "name": name, "description": ""}}
        answer = self._service.ask("POST", "/snapshots", document, expected=(202,), token=token)
        return str(document_of(answer)["snapshot"]["id"])

    def attached(self, server_id: str) -> list[tuple[str, str]]:
        """Return the attachments of a server: their ids, and those of the volumes."""
        return [(str(each["id"]), str(each["volume_id"])) for each in self._attachments(None, server_id)]

    def _attachments(self, volume_id: str | None, server_id: str) -> list[dict[str, Any]]:
        query = {"all_tenants": "1", "instance_id": server_id} | ({"volume_id": volume_id} if volume_id else {})
        answer = self._service.ask("GET", f"/attachments/detail?{urlencode(query)}", expected=(200,))
        return list(document_of(answer)["attachments"])

    def _disk(self, volume_id: str, info: Mapping[str, Any]) -> Disk:
        volume = self.show(volume_id)
        if volume is None:
            raise NoSuch(f"volume {volume_id} is not there any more")
        limits = {name: int(value) for name, value in (info.get("qos_specs") or {}).items() if str(value).isdigit()}
        return Disk(
            serial=volume_id,
            host=str(info["host"]),
            port=int(info["port"]),
            export=str(info["export"]),
            size=volume.size << 30,
            read_only=info.get("access_mode") == "ro",
            limits=limits,
        )


def _volume(told: Mapping[str, Any]) -> Volume:
    return Volume(
        id=str(told["id"]),
        name=str(told.get("name") or ""),
        status=str(told["status"]),
        size=int(told["size"]),
        bootable=str(told.get("bootable")).lower() == "true",
        multiattach=bool(told.get("multiattach")),
        availability_zone=str(told.get("availability_zone") or ""),
        image={name: text for name, text in (told.get("volume_image_metadata") or {}).items() if name not in _OF_IMAGE},
        attachments=tuple(told.get("attachments") or ()),
    )


def _said(data: bytes) -> str:
    try:
        found = json.loads(data)
        return str(next(iter(found.values()))["message"])
    except (ValueError, StopIteration, AttributeError, TypeError, KeyError):
        return ""
