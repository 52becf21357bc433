"""`interfaces.Images` by the image service of the cluster."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import urllib3

from compute.asking import TIMEOUT_S, Asked, ServiceLogin, document_of, safe
from compute.instances.interfaces import Golden, Image
from compute.stored import NotYet, Refused, Unreachable
from compute.volumes.backend import NewImage
from compute.volumes.moving.parent import Mover

_MANY = 1000  # backups of a kind; each new one is followed by the deletion of those that are too many
ATTRIBUTES = frozenset(  # of an image, which are no properties
    (
        "checksum",
        "container_format",
        "created_at",
        "direct_url",
        "disk_format",
        "file",
        "id",
        "locations",
        "min_disk",
        "min_ram",
        "name",
        "os_hash_algo",
        "os_hash_value",
        "os_hidden",
        "owner",
        "protected",
        "schema",
        "self",
        "size",
        "status",
        "stores",
        "tags",
        "updated_at",
        "virtual_size",
        "visibility",
    )
)


class ImageService:
    """See `interfaces.Images`."""

    def __init__(self, url: str, login: ServiceLogin, mover: Mover) -> None:
        """`url`: of the image service, without the version."""
        self._url, self._login, self._mover = f"{url.rstrip('/')}/v2/images", login, mover
        self._service = Asked("the image service", self._url, login)
        self._http = urllib3.PoolManager(maxsize=2, timeout=TIMEOUT_S)

    def __repr__(self) -> str:
        return f"ImageService({self._url})"

    def show(self, image_id: str, token: str = "") -> Image | None:
        """See Images."""
        answer = self._service.ask("GET", f"/{safe(image_id)}", expected=(200, 400, 401, 403, 404), token=token)
        return _image(document_of(answer)) if answer.status == 200 else None

    def golden(self, image_id: str) -> Golden:
        """See Images."""
        answer = self._service.ask("POST", f"/{safe(image_id)}/actions/golden", expected=(200, 202))
        if answer.status == 202:
            raise NotYet(f"image {image_id} is being converted")
        told = document_of(answer)
        return Golden(str(told["volume"]), str(told["snapshot"]), int(told["size"]))

    def create(self, document: Mapping[str, Any], token: str = "") -> str:
        """See Images."""
        self._service.ask("POST", "", dict(document), expected=(201, 409), token=token)  # 409: it is there already
        return str(document["id"])

    def upload_volume(self, image_id: str, export: str) -> None:
        """See Images."""
        found = self._service.ask("GET", f"/{safe(image_id)}", expected=(200, 404))
        if found.status == 404:
            raise Refused(f"image {image_id} was deleted")
        told = document_of(found)
        if told.get("status") == "active":
            return
        wanted = NewImage(
            image_id, str(told.get("name")), str(told.get("owner")), str(told["disk_format"]), "bare", "private", False
        )
        self._mover.send(export, wanted, f"{self._url}/{image_id}/file", self._login.token())

    def finish_empty(self, image_id: str) -> None:
        """Make an image whole that has no data of its own: what it is made of are snapshots of volumes."""
        found = self._service.ask("GET", f"/{safe(image_id)}", expected=(200,))
        if document_of(found).get("status") == "active":
            return
        headers = {"X-Auth-Token": self._login.token(), "Content-Type": "application/octet-stream"}
        try:
            answer = self._http.request("PUT", f"{self._url}/{image_id}/file", body=b"", headers=headers, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"the image service does not answer: {error}") from error
        if answer.status not in (204, 409):
            raise Unreachable(f"the image service answers {answer.status}")

    def backups(self, server_id: str, kind: str) -> Sequence[str]:
        """See Images."""
        query = {"instance_uuid": server_id, "image_type": "backup", "backup_type": kind, "sort": "created_at:desc"}
        answer = self._service.ask("GET", f"?{urlencode({**query, 'limit': _MANY})}", expected=(200,))
        return [str(each["id"]) for each in document_of(answer)["images"]]

    def discard(self, image_id: str) -> None:
        """See Images."""
        self._service.ask("DELETE", f"/{safe(image_id)}", expected=(204, 404, 403))


def _image(told: Mapping[str, Any]) -> Image:
    return Image(
        id=str(told["id"]),
        name=told.get("name"),
        status=str(told.get("status")),
        min_disk=int(told.get("min_disk") or 0),
        min_ram=int(told.get("min_ram") or 0),
        size=int(told.get("size") or 0),
        virtual_size=int(told.get("virtual_size") or 0),
        properties={name: value for name, value in told.items() if name not in ATTRIBUTES and isinstance(value, str)},
    )
