"""A network service in a temporary directory, and clients of it.

service = Service(tmp_path)
network = service.member.make("network", name="mine")
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing

from cluster.controlplane.database import retried
from compute.network import beginnings
from compute.network.api.application import networking_application
from compute.network.api.parts import Parts
from compute.network.policy.defaults import RULES, SHARED
from compute.network.schema import metadata
from compute.network.settings import Settings
from compute.network.work import Work
from compute.policy import Policy
from identity.keystone.tokens import token as tokens
from identity.keystone.tokens.token import Method, Person, Scope, ScopeKind, Token
from tests.databases import fill, url_in
from tests.unit.compute.crashes import Tripwire, WiredDatabase
from tests.unit.compute.stand_ins import START_US, Clock, KnownTokens

SETTINGS = Settings(host_users=frozenset(("user-nova",)))
POLICY = Policy(RULES, SHARED)  # reading the rules takes a while
ALICES, BOBS = "a" * 32, "b" * 32  # projects


class Client:
    """Somebody with a token, or without one."""

    def __init__(self, service: "Service", text: str | None, project_id: str) -> None:
        self._client = falcon.testing.TestClient(service.application)
        self.project_id = project_id
        self._headers = {"X-Auth-Token": text} if text else {}

    def request(
        self, method: str, path: str, document: Any = None, status: int | None = None, headers: Any = None
    ) -> Any:
        """Return the result; check its status if one is given. Paths are below /v2.0, unless they say otherwise."""
        whole = path if path.startswith(("/v2.0", "/internal")) or path == "/" else f"/v2.0{path}"
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

    def post(self, path: str, document: Any, status: int = 201) -> Any:
        """Return what POST answers."""
        return self.request("POST", path, document, status).json

    def put(self, path: str, document: Any = None, status: int = 200) -> Any:
        """Return what PUT answers."""
        result = self.request("PUT", path, document, status)
        return result.json if result.content else None

    def delete(self, path: str, status: int = 204) -> Any:
        """Return what DELETE answers."""
        result = self.request("DELETE", path, status=status)
        return result.json if result.content else None

    # what most tests begin with
    def make(self, noun: str, status: int = 201, /, **attributes: Any) -> Any:
        """Return the document of what was made."""
        made = self.post(path_of(noun), {noun: attributes}, status)
        return made[noun] if status == 201 else made["NeutronError"]["type"]

    def change(self, noun: str, identifier: str, status: int = 200, /, **attributes: Any) -> Any:
        """Return the document of what was changed."""
        made = self.put(f"{path_of(noun)}/{identifier}", {noun: attributes}, status)
        return made[noun] if status == 200 else made["NeutronError"]["type"]

    def make_network(self, cidr: str = "10.0.0.0/24", /, **attributes: Any) -> Any:
        """Return a network that was made with a subnet."""
        network = self.make("network", **{"name": "net", **attributes})
        self.make_subnet(network["id"], cidr)
        return self.get(f"/networks/{network['id']}")["network"]

    def make_subnet(self, network_id: str, cidr: str = "10.0.0.0/24", status: int = 201, /, **attributes: Any) -> Any:
        """Return a subnet that was made."""
        version = 6 if ":" in cidr else 4
        return self.make("subnet", status, network_id=network_id, cidr=cidr, ip_version=version, **attributes)

    def make_port(self, network: Mapping[str, Any], status: int = 201, /, **attributes: Any) -> Any:
        """Return a port that was made."""
        return self.make("port", status, network_id=network["id"], **attributes)


class Service:
    """The service."""

    def __init__(self, directory: Path, settings: Settings = SETTINGS) -> None:
        self.wire = Tripwire()
        self.database = WiredDatabase(url_in(directory), self.wire)
        fill(self.database, metadata.create_all)
        self.settings = settings
        self.clock = Clock()
        self.tokens = KnownTokens()
        self.begin()
        self.application = networking_application(Parts(self.database, self.tokens, POLICY, settings), self.clock)
        self.admin = self.client("admin", ("admin", "manager", "member", "reader"), "c" * 32)
        self.member = self.client("alice", ("member", "reader"), ALICES)
        self.reader = self.client("rita", ("reader",), ALICES)
        self.stranger = self.client("bob", ("member", "reader"), BOBS)
        self.compute = self.client("nova", ("service", "member", "reader"), "d" * 32)
        self.nobody = Client(self, None, ALICES)

    def begin(self) -> None:
        """Do what a start does."""
        retried(self.database, lambda connection: beginnings.ensure(Work(connection, self.settings, self.clock())))

    def client(self, name: str, roles: tuple[str, ...], project_id: str) -> Client:
        """Return a client with a token that says so."""
        held = tuple(tokens.Role(each, each) for each in roles)
        scope = Scope(ScopeKind.PROJECT, project_id, name, "default", "Default")
        person = Person(f"user-{name}", name, "default", "Default")
        self.tokens.by_text[name] = Token(person, (Method.PASSWORD,), scope, held, START_US, START_US * 2, ("audit",))
        return Client(self, name, project_id)

    def rescope(self, name: str, scope: Scope | None) -> None:
        """Have a token be for something else."""
        self.tokens.by_text[name] = replace(self.tokens.by_text[name], scope=scope)


def path_of(noun: str) -> str:
    """Return where all of a noun are."""
    return f"/{noun.replace('_', '-')}s"
