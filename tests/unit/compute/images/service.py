"""An image service in a temporary directory, and clients of it: `Service(tmp_path).ann.post("/v2/images", …)`."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import falcon.testing

from cluster.controlplane.database import retried
from compute.images import workers
from compute.images.api.application import images_application
from compute.images.api.context import Parts
from compute.images.imports import Importer
from compute.images.policy import RULES, SHARED
from compute.images.reaping import Reaper
from compute.images.schema import metadata
from compute.images.settings import Settings
from compute.images.uploads import Dock
from compute.images.web.fetching import NotFetched
from compute.policy import Policy
from identity.keystone.tokens.token import Method, Person, Role, Scope, ScopeKind, Token
from tests.databases import fill, url_in
from tests.unit.compute.crashes import Tripwire, WiredDatabase
from tests.unit.compute.images.stores import MemoryStore
from tests.unit.compute.stand_ins import START_US, KnownTokens

SECOND_US = 1_000_000
POLICY = Policy(RULES, SHARED)  # reading the rules takes a while
OCTETS = "application/octet-stream"
PATCH = "application/openstack-images-v2.1-json-patch"
LADDER = ("admin", "manager", "member", "reader")
PLACE = "here"


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us

    def pass_s(self, seconds: float) -> None:
        self.now_us += int(seconds * SECOND_US)


class Web:
    """What `web.fetching.Fetcher` would fetch."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}

    def fetch(self, uri: str) -> Iterator[bytes]:
        if uri not in self.pages:
            raise NotFetched("There is nothing.")
        yield self.pages[uri]


class Client:
    """Somebody with a token, or without one."""

    def __init__(self, service: "Service", text: str | None, project_id: str | None = None) -> None:
        self._service = service
        self._headers = {"X-Auth-Token": text} if text else {}
        self.project_id = project_id

    def request(
        self, method: str, path: str, document: Any = None, status: int | None = None, **more: Any
    ) -> falcon.testing.Result:
        """Return the result; check its status if one is given."""
        headers = {**self._headers, **more.pop("headers", {})}
        path, _, query = path.partition("?")
        client = falcon.testing.TestClient(self._service.application)  # of the process that there is now
        result = client.simulate_request(
            method, path, query_string=query, json=document, headers=headers, **more
        )
        assert status is None or result.status_code == status, f"{method} {path}: {result.status} {result.text}"
        return result

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        """Return the document at `path`."""
        result = self.request("GET", path, status=status, headers=headers)
        return result.json if result.content else None

    def post(self, path: str, document: Any = None, status: int = 201) -> Any:
        """Return the document of what was made."""
        result = self.request("POST", path, document, status)
        return result.json if result.content else None

    def put(self, path: str, document: Any = None, status: int = 204) -> Any:
        """Return what PUT answers."""
        result = self.request("PUT", path, document, status)
        return result.json if result.content else None

    def delete(self, path: str, status: int = 204) -> Any:
        """Return the error, if there is one."""
        result = self.request("DELETE", path, status=status)
        return result.json if result.content else None

    def patch(self, path: str, *changes: Mapping[str, Any], status: int = 200, media_type: str = PATCH) -> Any:
        """Change an image."""
        body = falcon.media.JSONHandler().serialize(list(changes), "application/json")
        result = self.request("PATCH", path, status=status, body=body, headers={"Content-Type": media_type})
        return result.json

    # what most tests begin with
    def make(self, **attributes: Any) -> Any:
        """Return the document of a new raw image."""
        attributes = {"name": "an image", "disk_format": "raw", "container_format": "bare", **attributes}
        return self.post("/v2/images", attributes)

    def upload(self, image: Mapping[str, Any], data: bytes, status: int = 204, to: str = "file", **headers: str) -> Any:
        """Send data."""
        headers = {"Content-Type": OCTETS, **headers}
        result = self.request("PUT", f"/v2/images/{image['id']}/{to}", status=status, body=data, headers=headers)
        return result.json if result.content else None

    def download(self, image: Mapping[str, Any], status: int = 200, **headers: str) -> falcon.testing.Result:
        """Return the result, with the data."""
        return self.request("GET", f"/v2/images/{image['id']}/file", status=status, headers=headers)

    def active(self, data: bytes = b"some data", **attributes: Any) -> Any:
        """Return the document of an image that has data."""
        image = self.make(**attributes)
        self.upload(image, data)
        return self.show(image)

    def show(self, image: Mapping[str, Any], status: int = 200) -> Any:
        """Return an image as it is now."""
        return self.get(f"/v2/images/{image['id']}", status)

    def ids(self, query: str = "") -> list[str]:
        """Return the ids of a listing."""
        return [image["id"] for image in self.get(f"/v2/images?{query}")["images"]]


class Service:
    """The service, with clients of some projects."""

    def __init__(self, directory: Path, settings: Settings | None = None, **wishes: Any) -> None:
        self.wire = Tripwire()
        self.database = WiredDatabase(url_in(directory), self.wire)
        fill(self.database, metadata.create_all)
        self.clock = Clock()
        self.store = MemoryStore()
        self.web = Web()
        self.tokens = KnownTokens()
        self.settings = settings or Settings(goldens_at_once=False)
        self.has_volumes = bool(wishes.get("has_volumes"))
        self.restart()
        self.ann = self.client("ann")
        self.bob = self.client("bob")
        self.reader = self.client("reader", ("reader",), "ann-project")
        self.admin = self.client("admin", LADDER)
        self.worker = self.client("worker", ("service", "member", "reader"))
        self.nobody = Client(self, None)

    def restart(self, place: str = PLACE) -> None:
        """Begin anew, as after a kill; or elsewhere, with the same database."""
        self.use(Dock(self.database, self.store, self.settings, workers.new_id(place), self.clock))
        self.importer = Importer(self.dock, self.web)  # type: ignore[arg-type]
        self.reaper = Reaper(self.dock, place)
        self.reaper.begin()

    def use(self, dock: Dock) -> None:
        """Have requests answered with a dock."""
        self.dock = dock
        self.parts = Parts(dock, self.tokens, POLICY, has_volumes=self.has_volumes)
        self.application = images_application(self.parts, self.clock)

    def client(self, name: str, roles: tuple[str, ...] = ("member", "reader"), project_id: str = "") -> Client:
        """Return a client with a token for a project of its own, or for another."""
        project_id = project_id or f"{name}-project"
        scope = Scope(ScopeKind.PROJECT, project_id, "a project", "default", "Default")
        person = Person(f"{name}-user", name, "default", "Default")
        held = tuple(Role(role, role) for role in roles)
        self.tokens.by_text[name] = Token(person, (Method.PASSWORD,), scope, held, START_US, START_US * 2, ("audit",))
        return Client(self, name, project_id)

    def in_database(self, work: Callable[..., Any]) -> Any:
        """Return what `work` returns in a transaction."""
        return retried(self.database, work)
