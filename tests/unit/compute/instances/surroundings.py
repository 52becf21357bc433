"""What servers need and are among, in a temporary directory, and clients of it; no servers.

around = Surroundings(tmp_path)
around.member.get("/flavors")
"""

from pathlib import Path
from typing import Any, cast

import falcon.testing
from sqlalchemy import Connection

from cluster.controlplane.database import Database, retried
from compute.agent.guest import HostState
from compute.instances import flavors, hosts
from compute.instances.api.application import compute_application
from compute.instances.api.parts import Parts
from compute.instances.policy.defaults import RULES, SHARED
from compute.instances.schema import metadata
from compute.instances.settings import Settings
from compute.policy import Policy
from identity.keystone.tokens import token as tokens
from identity.keystone.tokens.token import Method, Person, Scope, ScopeKind, Token
from tests.databases import fill, url_in
from tests.unit.compute.stand_ins import START_US, Clock, KnownTokens

SECOND_US = 1_000_000
NEWEST = "compute 2.96"
POLICY = Policy(RULES, SHARED)  # reading the rules takes a while
ALICES, BOBS, ADMINS = "a" * 32, "b" * 32, "c" * 32  # projects
HOSTS = ("one", "two")


class Client:
    """Somebody with a token, or without one, who speaks a version of the API."""

    def __init__(self, application: Any, text: str | None, project_id: str, version: str = NEWEST) -> None:
        self._application, self._text = application, text
        self._client = falcon.testing.TestClient(application)
        self.project_id = project_id
        self._headers = {"X-Auth-Token": text} if text else {}
        if version:
            self._headers["OpenStack-API-Version"] = version

    @property
    def user_id(self) -> str:
        """Return whose the token is."""
        return f"user-{self._text}"

    def speaking(self, minor: int) -> "Client":
        """Return the same, speaking version 2.`minor`."""
        return Client(self._application, self._text, self.project_id, f"compute 2.{minor}")

    def request(self, method: str, path: str, document: Any = None, status: int | None = None) -> Any:
        """Return the result; check its status if one is given. Paths begin with /v2.1, or are below it."""
        whole = path if path.startswith("/v2.1") or path == "/" else f"/v2.1{path}"
        result = self._client.simulate_request(
            method,
            whole.partition("?")[0],
            query_string=whole.partition("?")[2],
            json=document,
            headers=self._headers,
        )
        assert status is None or result.status_code == status, f"{method} {path}: {result.status} {result.text}"
        return result

    def get(self, path: str, status: int = 200) -> Any:
        """Return the document at `path`."""
        return self.request("GET", path, status=status).json

    def post(self, path: str, document: Any, status: int = 200) -> Any:
        """Return what POST answers."""
        result = self.request("POST", path, document, status)
        return result.json if result.content else None

    def put(self, path: str, document: Any, status: int = 200) -> Any:
        """Return what PUT answers."""
        result = self.request("PUT", path, document, status)
        return result.json if result.content else None

    def delete(self, path: str, status: int = 204) -> None:
        """Delete what is at `path`."""
        self.request("DELETE", path, status=status)

    # what tests begin with
    def make_flavor(self, **attributes: Any) -> Any:
        """Return the document of a flavor that was made."""
        wanted = {"name": "small", "ram": 64, "vcpus": 1, "disk": 1, **attributes}
        return self.post("/flavors", {"flavor": wanted})["flavor"]


def begin(connection: Connection) -> None:
    """Make what is there from the beginning."""
    metadata.create_all(connection)
    flavors.ensure_defaults(connection, START_US)


def state_of(name: str, **more: Any) -> HostState:
    """Return what a host has."""
    values: dict[str, Any] = {
        "hypervisor": "QEMU",
        "hypervisor_version": 7_002_000,
        "virtualization": "qemu",
        "networking": "user",
        "machines": ("pc",),
        "vcpus": 4,
        "memory_mib": 8192,
        "vcpus_used": 1,
        "memory_mib_used": 512,
        "guests": 1,
        "uptime": " 12:00:00 up 1 day",
        **more,
    }
    return HostState(name=name, **values)


class Surroundings:
    """The service, with two hosts that were seen just now."""

    def __init__(self, directory: Path, settings: Settings | None = None) -> None:
        self.database = Database(url_in(directory))
        fill(self.database, begin)
        self.clock, self.tokens = Clock(), KnownTokens()
        for name in HOSTS:
            self.see(name)
        nobody = cast(Any, None)
        parts = Parts(
            self.database,
            self.tokens,
            POLICY,
            settings or Settings(),
            nobody,
            nobody,
            nobody,
            nobody,
            lambda: None,
            lambda _operation_id: None,
        )
        self.application = compute_application(parts, self.clock)
        self.admin = self.client("admin", ("admin", "manager", "member", "reader"), ADMINS)
        self.member = self.client("alice", ("member", "reader"), ALICES)
        self.reader = self.client("rita", ("reader",), ALICES)
        self.stranger = self.client("bob", ("member", "reader"), BOBS)
        self.nobody = Client(self.application, None, ALICES)

    def see(self, name: str, **state: Any) -> None:
        """Have a host be seen."""
        now_us = self.clock()
        retried(self.database, lambda connection: hosts.note(connection, name, state_of(name, **state), now_us))

    def client(self, name: str, roles: tuple[str, ...], project_id: str) -> Client:
        """Return a client with a token that says so."""
        held = tuple(tokens.Role(each, each) for each in roles)
        scope = Scope(ScopeKind.PROJECT, project_id, name, "default", "Default")
        person = Person(f"user-{name}", name, "default", "Default")
        self.tokens.by_text[name] = Token(person, (Method.PASSWORD,), scope, held, START_US, START_US * 2, ("audit",))
        return Client(self.application, name, project_id)
