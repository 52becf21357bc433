"""A volume service in a temporary directory over a gateway in memory, and clients of it.

service = Service(tmp_path)
volume = service.member.make_volume(size=1)
service.work()  # carry out what the requests have begun
"""

from pathlib import Path
from typing import Any

import falcon.testing

from cluster.controlplane.database import retried
from compute.operations import journal
from compute.operations.worker import Worker
from compute.policy import Policy
from compute.volumes import parts_of_service, volume_types
from compute.volumes.api.application import block_storage_application
from compute.volumes.api.parts import Parts
from compute.volumes.backend import Place
from compute.volumes.operations.kinds import KINDS
from compute.volumes.operations.work import Tools, Work
from compute.volumes.policy.defaults import RULES, SHARED
from compute.volumes.schema import metadata
from compute.volumes.settings import Settings
from identity.keystone.tokens import token as tokens
from identity.keystone.tokens.token import Method, Person, Scope, ScopeKind, Token
from tests.databases import fill, url_in
from tests.unit.compute.crashes import Tripwire, WiredDatabase
from tests.unit.compute.stand_ins import START_US, Clock, KnownTokens
from tests.unit.compute.volumes.memory import (
    MemoryArchive,
    MemoryGateway,
    MemoryImages,
    MemoryMover,
    MemoryServers,
)

SECOND_US = 1_000_000
SETTINGS = Settings()
NEWEST = "volume 3.71"
POLICY = Policy(RULES, SHARED)  # reading the rules takes a while
ALICES, BOBS = "a" * 32, "b" * 32  # projects


class Client:
    """Somebody with a token, or without one, who speaks a version of the API."""

    def __init__(self, service: "Service", text: str | None, project_id: str, version: str = NEWEST) -> None:
        self._service, self._text = service, text
        self._client = falcon.testing.TestClient(service.application)
        self.project_id = project_id
        self._headers = {"X-Auth-Token": text} if text else {}
        if version:
            self._headers["OpenStack-API-Version"] = version

    def speaking(self, version: str) -> "Client":
        """Return the same, speaking another version; "" names none."""
        return Client(self._service, self._text, self.project_id, version)

    def request(
        self, method: str, path: str, document: Any = None, status: int | None = None, headers: Any = None
    ) -> Any:
        """Return the result; check its status if one is given. Paths begin with /v3, or are below /v3/PROJECT."""
        whole = path if path.startswith("/v3") or path == "/" else f"/v3/{self.project_id}{path}"
        result = self._client.simulate_request(
            method,
            whole.partition("?")[0],
            query_string=whole.partition("?")[2],
            json=document,
            headers={**self._headers, **(headers or {})},
        )
        assert status is None or result.status_code == status, f"{method} {path}: {result.status} {result.text}"
        return result

    def get(self, path: str, status: int = 200) -> Any:
        """Return the document at `path`."""
        return self.request("GET", path, status=status).json

    def post(self, path: str, document: Any, status: int = 202) -> Any:
        """Return what POST answers."""
        result = self.request("POST", path, document, status)
        return result.json if result.content else None

    def put(self, path: str, document: Any = None, status: int = 200) -> Any:
        """Return what PUT answers."""
        result = self.request("PUT", path, document, status)
        return result.json if result.content else None

    def delete(self, path: str, status: int = 202) -> Any:
        """Return what DELETE answers."""
        result = self.request("DELETE", path, status=status)
        return result.json if result.content else None

    def act(self, volume_id: str, action: str, about: Any = None, status: int = 202) -> Any:
        """Return what an action on a volume answers."""
        return self.post(f"/volumes/{volume_id}/action", {action: about}, status)

    # what most tests begin with
    def make_volume(self, status: str = "available", **attributes: Any) -> Any:
        """Return the document of a volume that was made."""
        attributes.setdefault("size", 1)
        volume_id = self.post("/volumes", {"volume": attributes})["volume"]["id"]
        self._service.work()
        made = self.volume(volume_id)
        assert made["status"] == status, made
        return made

    def make_snapshot(self, volume_id: str, **attributes: Any) -> Any:
        """Return the document of a snapshot that was taken."""
        document = {"snapshot": {"volume_id": volume_id, **attributes}}
        snapshot_id = self.post("/snapshots", document)["snapshot"]["id"]
        self._service.work()
        return self.get(f"/snapshots/{snapshot_id}")["snapshot"]

    def make_backup(self, volume_id: str, **attributes: Any) -> Any:
        """Return the document of a backup that was taken."""
        backup_id = self.post("/backups", {"backup": {"volume_id": volume_id, **attributes}})["backup"]["id"]
        self._service.work()
        return self.get(f"/backups/{backup_id}")["backup"]

    def volume(self, volume_id: str) -> Any:
        """Return the document of a volume."""
        return self.get(f"/volumes/{volume_id}")["volume"]


class Service:
    """The service, over a gateway in memory."""

    def __init__(self, directory: Path, settings: Settings = SETTINGS) -> None:
        self.wire = Tripwire()
        self.database = WiredDatabase(url_in(directory), self.wire)
        fill(self.database, metadata.create_all)
        self.settings = settings
        self.clock = Clock()
        self.tokens = KnownTokens()
        self.gateway = MemoryGateway(self.wire)
        self.archive = MemoryArchive(self.wire, self.gateway)
        self.images = MemoryImages(self.wire, self.gateway)
        self.servers = MemoryServers()
        self.tools = Tools(self.gateway, self.archive, MemoryMover(self.wire, self.gateway), self.images)
        retried(self.database, lambda connection: volume_types.ensure_default(connection, START_US))
        retried(self.database, lambda connection: parts_of_service.see(connection, settings, START_US))
        parts = Parts(
            self.database,
            self.tokens,
            POLICY,
            settings,
            self.images,
            self.servers,
            lambda project_id, container: Place(f"s3://backups/{project_id}/{container}"),
            lambda: None,
            lambda operation_id: self.worker.hasten(operation_id),
        )
        self.application = block_storage_application(parts, self.clock)
        self.worker = self.new_worker()
        self.admin = self.client("admin", ("admin", "manager", "member", "reader"), "c" * 32)
        self.member = self.client("alice", ("member", "reader"), ALICES)
        self.reader = self.client("rita", ("reader",), ALICES)
        self.stranger = self.client("bob", ("member", "reader"), BOBS)
        self.compute = self.client("nova", ("service",), "d" * 32)
        self.nobody = Client(self, None, ALICES)

    def client(self, name: str, roles: tuple[str, ...], project_id: str) -> Client:
        """Return a client with a token that says so."""
        held = tuple(tokens.Role(each, each) for each in roles)
        scope = Scope(ScopeKind.PROJECT, project_id, name, "default", "Default")
        person = Person(f"user-{name}", name, "default", "Default")
        self.tokens.by_text[name] = Token(person, (Method.PASSWORD,), scope, held, START_US, START_US * 2, ("audit",))
        return Client(self, name, project_id)

    def new_worker(self) -> Worker[Work]:
        """Return a worker as that of a process that has just started."""
        worker = Worker(
            self.database,
            lambda operation: Work(operation, self.database, self.tools, self.settings, self.clock),
            KINDS,
            "here",
            self.clock,
        )
        worker.take_over()
        return worker

    def work(self) -> None:
        """Carry out operations until there are none that could be carried out just now."""
        while self.worker.step():
            pass

    def settle(self) -> None:
        """Carry out operations until there are none."""
        while self.operations():
            self.clock.now_us += 31 * SECOND_US
            self.work()

    def operations(self) -> list[journal.Operation]:
        """Return what is to be carried out."""
        with self.database.reading() as connection:
            return journal.every(connection)
