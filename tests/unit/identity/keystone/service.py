"""An identity service in a temporary directory, and clients of it: `Service(tmp_path).admin.post("/v3/users", …)`."""

import itertools
from pathlib import Path
from typing import Any

import falcon.testing
from sqlalchemy import Connection

from cluster.controlplane.database import Database, retried
from identity.keystone import assignments, domains, implied, projects, roles, users
from identity.keystone.api.application import keystone_application
from identity.keystone.api.context import Parts
from identity.keystone.errors import Unauthorized
from identity.keystone.lockout import LockoutRules
from identity.keystone.passwords import Cost, PasswordRules
from identity.keystone.policy.enforcer import PolicyEnforcer
from identity.keystone.projects import Project
from identity.keystone.roles import Role
from identity.keystone.schema import metadata
from identity.keystone.sealing import Seal
from identity.keystone.settings import Settings
from identity.keystone.tokens import token as tokens
from identity.keystone.tokens.token import SYSTEM_SCOPE, Method, Person, Scope, ScopeKind, Token
from identity.keystone.users import User
from tests.databases import fill, url_in

CHEAP = Cost(log_n=4)
SETTINGS = Settings(passwords=PasswordRules(cost=CHEAP, history=2), lockout=LockoutRules(failures=3, duration_s=60))
ROLES = ("admin", "manager", "member", "reader")
START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
STRANGER_ID = "f" * 32  # of a user that is not stored

ENFORCER = PolicyEnforcer()  # reading the rules takes a while


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us


class KnownTokens:
    """Tokens by their text, made up by the test."""

    def __init__(self) -> None:
        self.by_text: dict[str, Token] = {}

    def validate(self, _connection: Connection, text: str) -> Token:
        if text not in self.by_text:
            raise Unauthorized
        return self.by_text[text]

    def seal(self, token: Token) -> str:
        raise AssertionError(f"these tests make no tokens: {token}")


class Client:
    """Somebody with a token, or without one."""

    def __init__(self, service: "Service", text: str | None) -> None:
        self._client = falcon.testing.TestClient(service.application)
        self._headers = {"X-Auth-Token": text} if text else {}

    def request(self, method: str, path: str, document: Any = None, status: int | None = None) -> Any:
        """Return the result; check its status if one is given."""
        result = self._client.simulate_request(
            method, path.partition("?")[0], query_string=path.partition("?")[2], json=document, headers=self._headers
        )
        assert status is None or result.status_code == status, f"{method} {path}: {result.status} {result.text}"
        return result

    def get(self, path: str, status: int = 200) -> Any:
        """Return the document at `path`."""
        result = self.request("GET", path, status=status)
        return result.json if result.content else None

    def post(self, path: str, document: Any, status: int = 201) -> Any:
        """Return the document of what was made."""
        result = self.request("POST", path, document, status)
        return result.json if result.content else None

    def patch(self, path: str, document: Any, status: int = 200) -> Any:
        """Return the document of what was changed."""
        return self.request("PATCH", path, document, status).json

    def put(self, path: str, document: Any = None, status: int = 204) -> Any:
        """Return what PUT answers."""
        result = self.request("PUT", path, document, status)
        return result.json if result.content else None

    def delete(self, path: str, status: int = 204) -> Any:
        """Return the error, if there is one."""
        result = self.request("DELETE", path, status=status)
        return result.json if result.content else None

    def head(self, path: str, status: int) -> Any:
        """Return the result, which has no body."""
        result = self.request("HEAD", path, status=status)
        assert not result.content
        return result

    # what most tests begin with
    def make(self, kind: str, **attributes: Any) -> Any:
        """Return the document of a new domain, project, user, group or role."""
        attributes.setdefault("name", f"a-{kind}")
        return self.post(f"/v3/{kind}s", {kind: attributes})[kind]


class Service:
    """The service with the default domain, an admin of it, and the usual roles."""

    def __init__(self, directory: Path) -> None:
        self.database = Database(url_in(directory))
        fill(self.database, metadata.create_all)
        self.clock = Clock()
        self.tokens = KnownTokens()
        self.settings = SETTINGS
        parts = Parts(self.database, SETTINGS, Seal(bytes(32)), self.tokens, ENFORCER)
        self.application = keystone_application(parts, clock_us=self.clock)
        self.roles: dict[str, Role] = {}
        retried(self.database, self._bootstrap)
        self.admin = self.client("admin", roles=("admin",), user_id=self.user.id, project_id=self.project.id)
        self.nobody = Client(self, None)

    def _bootstrap(self, connection: Connection) -> None:
        domains.create(connection, Project(id="default", name="Default", is_domain=True))
        self.project = projects.create(connection, Project(name="admin", domain_id="default"), 5)
        self.user = users.create(connection, User(name="admin", domain_id="default"), "secret", SETTINGS, START_US)
        for name in ROLES:
            self.roles[name] = roles.create(connection, Role(name=name))
        for prior, role in itertools.pairwise(ROLES):
            implied.add(connection, self.roles[prior], self.roles[role])
        target = assignments.project(self.project.id)
        assignments.grant(
            connection, assignments.Assignment(assignments.user(self.user.id), target, self.roles["admin"].id)
        )

    def client(
        self,
        text: str,
        roles: tuple[str, ...] = (),
        user_id: str | None = None,
        project_id: str | None = None,
        domain_id: str | None = None,
        system: bool = False,
    ) -> Client:
        """Return a client with a token that says so."""
        scope: Scope | None = SYSTEM_SCOPE if system else None
        if project_id is not None:
            scope = Scope(ScopeKind.PROJECT, project_id, "a project", "default", "Default")
        if domain_id is not None:
            scope = Scope(ScopeKind.DOMAIN, domain_id, "a domain", domain_id, "a domain")
        person = Person(user_id or STRANGER_ID, "somebody", "default", "Default")
        held = tuple(tokens.Role(name, name) for name in roles)
        self.tokens.by_text[text] = Token(person, (Method.PASSWORD,), scope, held, START_US, START_US * 2, ("audit",))
        return Client(self, text)
