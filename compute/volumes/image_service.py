"""`backend.Images` by the image service of the cluster, over HTTP.

What a user may see is asked with the user's token, in the user's request. What is done later, and again after a crash,
is done as the volume service's own user.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from compute.stored import Refused, Unreachable
from compute.volumes.backend import Golden, Image, NewImage, NotYet
from compute.volumes.moving.parent import Mover
from compute.volumes.volumes import GIB

TIMEOUT_S = 30.0
TOKEN_S = 600.0  # for which a token is used again
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


class ServiceLogin:
    """Tokens of the service's own user."""

    def __init__(self, identity_url: str, name: str, password: str, monotonic_s: Callable[[], float] = time.monotonic):
        """`identity_url`: of the API, with its version."""
        self._url, self._name, self._password = identity_url, name, password
        self._monotonic_s = monotonic_s
        self._http = urllib3.PoolManager(maxsize=8)
        self._token, self._until_s = "", 0.0

    def token(self) -> str:
        """Return a token. Raise Unreachable."""
        if self._token and self._monotonic_s() < self._until_s:
            return self._token
        domain = {"id": "default"}
        user = {"name": self._name, "domain": domain, "password": self._password}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "service", "domain": domain}},
        }
        answer = _asked(self._http, "POST", f"{self._url}/auth/tokens", {}, {"auth": auth})
        if answer.status != 201:
            raise Unreachable(f"the identity service answers {answer.status}")
        self._token, self._until_s = str(answer.headers["X-Subject-Token"]), self._monotonic_s() + TOKEN_S
        return self._token

    def forget(self) -> None:
        """Log in anew the next time."""
        self._token = ""


class ImageService:
    """See `backend.Images`."""

    def __init__(self, url: str, login: ServiceLogin, mover: Mover) -> None:
        """`url`: of the image service, without the version."""
        self._url, self._login, self._mover = f"{url.rstrip('/')}/v2/images", login, mover
        self._http = urllib3.PoolManager(maxsize=8)

    def show(self, image_id: str, token: str) -> Image | None:
        """See Images."""
        answer = _asked(self._http, "GET", f"{self._url}/{_safe(image_id)}", {"X-Auth-Token": token}, None)
        if answer.status in (400, 401, 403, 404):
            return None
        if answer.status != 200:
            raise Unreachable(f"the image service answers {answer.status}")
        return _image(_document(answer))

    def golden(self, image_id: str) -> Golden:
        """See Images."""
        answer = self._ask("POST", f"/{_safe(image_id)}/actions/golden", None)
        if answer.status == 202:
            raise NotYet(f"image {image_id} is being converted")
        self._require(answer, (200,))
        told = _document(answer)
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
        self._require(self._ask("POST", "", document), (201, 409))  # 409: it is there already

    def upload(self, wanted: NewImage, source: str) -> None:
        """See Images."""
        self.announce(wanted)
        found = self._ask("GET", f"/{wanted.id}", None)
        self._require(found, (200,))
        if _document(found).get("status") != "active":
            self._mover.send(source, wanted, f"{self._url}/{wanted.id}/file", self._login.token())

    def discard(self, image_id: str) -> None:
        """See Images."""
        self._require(self._ask("DELETE", f"/{_safe(image_id)}", None), (204, 404, 403))

    def _ask(self, method: str, path: str, document: Any) -> "urllib3.BaseHTTPResponse":
        headers = {"X-Auth-Token": self._login.token()}
        answer = _asked(self._http, method, self._url + path, headers, document)
        if answer.status == 401:  # what was a good token is no more
            self._login.forget()
            headers = {"X-Auth-Token": self._login.token()}
            answer = _asked(self._http, method, self._url + path, headers, document)
        return answer

    @staticmethod
    def _require(answer: "urllib3.BaseHTTPResponse", expected: tuple[int, ...]) -> None:
        if answer.status in expected:
            return
        said = f"the image service answers {answer.status}: {answer.data[:300].decode(errors='replace')}"
        raise (Unreachable if answer.status in (401, 408, 429) or answer.status >= 500 else Refused)(said)


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


def _asked(
    http: urllib3.PoolManager, method: str, url: str, headers: Mapping[str, str], document: Any
) -> "urllib3.BaseHTTPResponse":
    body = None if document is None else json.dumps(document).encode()
    sent = {**headers, "Content-Type": "application/json"} if body is not None else dict(headers)
    try:
        return http.request(method, url, body=body, headers=sent, retries=False, timeout=urllib3.Timeout(TIMEOUT_S))
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"{url} does not answer: {error}") from error


def _document(answer: "urllib3.BaseHTTPResponse") -> dict[str, Any]:
    try:
        found = json.loads(answer.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreachable("what the image service answers is no document")
    return found


def _safe(identifier: str) -> str:
    """Return an id as a part of a path; what could be no id is none."""
    return identifier if all(letter.isalnum() or letter == "-" for letter in identifier) and identifier else "-"
