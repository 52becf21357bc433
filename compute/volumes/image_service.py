"""`backend.Images` by the image service of the cluster, over HTTP.

What a user may see is asked with the user's token, in the user's request. What is done later, and again after a crash,
is done as the volume service's own user.
"""

from collections.abc import Mapping
from typing import Any

from compute.asking import Asked, ServiceLogin, document_of, safe
from compute.stored import NotYet, Refused, Unreachable
from compute.volumes.backend import Golden, Image, NewImage
from compute.volumes.moving.parent import Mover
from compute.volumes.volumes import GIB

_ABOUT = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size")
_OURS = frozenset(  # of an image's attributes: those that are no properties of what is in it
    (
        "created_at",
        "direct_url",
        "file",
        "id",
        "locations",
        "name",
        "os_hash_algo",
        "os_hash_value",
        "os_hidden",
        "owner",
        "protected",
        "schema",
        "self",
        "status",
        "stores",
        "tags",
        "updated_at",
        "virtual_size",
        "visibility",
    )
)


class ImageService:
    """See `backend.Images`."""

    def __init__(self, url: str, login: ServiceLogin, mover: Mover) -> None:
        """`url`: of the image service, without the version."""
        self._url, self._login, self._mover = f"{url.rstrip('/')}/v2/images", login, mover
        self._service = Asked("the image service", self._url, login)

    def show(self, image_id: str, token: str) -> Image | None:
        """See Images."""
        answer = self._service.ask("GET", f"/{safe(image_id)}", token=token)
        if answer.status in (400, 401, 403, 404):
            return None
        if answer.status != 200:
            raise Unreachable(f"the image service answers {answer.status}")
        return _image(document_of(answer))

    def golden(self, image_id: str) -> Golden:
        """See Images."""
        answer = self._service.ask("POST", f"/{safe(image_id)}/actions/golden", expected=(200, 202))
        if answer.status == 202:
            raise NotYet(f"image {image_id} is being converted")
        told = document_of(answer)
        return Golden(told["volume"], told["snapshot"], int(told["size"]))

    def announce(self, wanted: NewImage) -> None:
        """See Images."""
        document = {
            **wanted.properties,
            "id": wanted.id,
            "name": wanted.name,
            "owner": wanted.owner,
            "disk_format": wanted.disk_format,
            "container_format": wanted.container_format,
            "visibility": wanted.visibility,
            "protected": wanted.protected,
        }
        self._service.ask("POST", "", document, expected=(201, 409))  # 409: it is there already

    def upload(self, wanted: NewImage, source: str) -> None:
        """See Images."""
        self.announce(wanted)
        found = self._service.ask("GET", f"/{wanted.id}", expected=(200,))
        if document_of(found).get("status") != "active":
            self._mover.send(source, wanted, f"{self._url}/{wanted.id}/file", self._login.token())

    def discard(self, image_id: str) -> None:
        """See Images."""
        self._service.ask("DELETE", f"/{safe(image_id)}", expected=(204, 404, 403))


class NoImages:
    """`backend.Images` of a cluster without an image service."""

    def show(self, _image_id: str, _token: str) -> Image | None:
        """See Images."""
        return None

    def golden(self, _image_id: str) -> Golden:
        """See Images."""
        raise Refused("this cluster has no image service")

    def announce(self, _wanted: NewImage) -> None:
        """See Images."""
        raise Refused("this cluster has no image service")

    def upload(self, _wanted: NewImage, _source: str) -> None:
        """See Images."""
        raise Refused("this cluster has no image service")

    def discard(self, _image_id: str) -> None:
        """See Images."""


def _image(told: Mapping[str, Any]) -> Image:
    about = {name: str(told[name]) for name in _ABOUT if told.get(name) is not None}
    about |= {"image_id": str(told["id"]), "image_name": str(told.get("name") or "")}
    about |= {
        name: value
        for name, value in told.items()
        if name not in _OURS and name not in _ABOUT and isinstance(value, str)
    }
    return Image(
        id=str(told["id"]),
        name=told.get("name"),
        status=str(told.get("status")),
        min_disk=int(told.get("min_disk") or 0),
        size=int(told.get("size") or 0),
        virtual_size=int(told.get("virtual_size") or 0),
        about=about,
    )


def gib_for(size: int) -> int:
    """Return how many GiB a volume needs for so many bytes."""
    return -(-size // GIB)
