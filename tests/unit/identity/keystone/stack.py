"""The whole identity service over HTTP, with real tokens: `Stack(tmp_path).login("ann", "sesame")`."""

from pathlib import Path
from typing import Any

import falcon.testing
from cryptography.fernet import Fernet

from cluster.controlplane.database import retried
from identity.keystone.api.application import keystone_application
from identity.keystone.api.context import Parts
from identity.keystone.api.token_routes import TOKEN_ROUTES
from identity.keystone.sealing import Seal
from identity.keystone.settings import Settings
from identity.keystone.tokens.keys import Keys
from identity.keystone.tokens.provider import TokenProvider
from tests.unit.identity.keystone.service import ENFORCER, SETTINGS, Service

KEYS = Keys.of({0: Fernet.generate_key(), 1: Fernet.generate_key()})
SEAL = Seal(bytes(32))
PASSWORD = "open sesame"


class FixedKeys:
    """`tokens.validation.KeySource` of some keys."""

    def __init__(self, keys: Keys | None = KEYS) -> None:
        self.keys = keys

    def current(self) -> Keys | None:
        return self.keys


class Caller:
    """Somebody with a token, or without one."""

    def __init__(self, stack: "Stack", text: str = "") -> None:
        self._client = falcon.testing.TestClient(stack.application)
        self.text = text

    def request(self, method: str, path: str, document: Any = None, subject: str = "", **headers: str) -> Any:
        """Return the result of a request."""
        sent = {"X-Auth-Token": self.text, "X-Subject-Token": subject, **headers}
        return self._client.simulate_request(
            method,
            "/v3" + path.partition("?")[0],
            query_string=path.partition("?")[2],
            json=document,
            headers={name: value for name, value in sent.items() if value},
        )

    def ask(self, status: int, method: str, path: str, document: Any = None, subject: str = "", **headers: str) -> Any:
        """Return the document of an answer that must have a status."""
        result = self.request(method, path, document, subject, **headers)
        assert result.status_code == status, f"{method} {path}: {result.status} {result.text}"
        return result.json if result.content else {}


class Stack:
    """The default domain, project "admin" with user admin; ann is a member of project "photos"."""

    def __init__(self, directory: Path, settings: Settings = SETTINGS) -> None:
        base = Service(directory)
        self.database, self.clock, self.roles, self.project = base.database, base.clock, base.roles, base.project
        self.keys = FixedKeys()
        self.provider = TokenProvider(self.keys, self.clock)
        parts = Parts(self.database, settings, SEAL, self.provider, ENFORCER)
        self.application = keystone_application(parts, TOKEN_ROUTES, self.clock)
        self.nobody = Caller(self)
        self.admin = self.login("admin", "secret", scope=project_scope("admin"))
        self.photos = self.make("project", name="photos")
        self.ann = self.make("user", name="ann", password=PASSWORD)
        self.grant("ann", "photos", "member")

    def write(self, work: Any) -> Any:
        """Do `work` in a transaction."""
        return retried(self.database, work)

    def make(self, kind: str, **attributes: Any) -> Any:
        """Return the document of a new domain, project, user, group or role."""
        return self.admin.ask(201, "POST", f"/{kind}s", {kind: attributes})[kind]

    def grant(self, user: str, project: str, role: str) -> None:
        """Give a user a role in a project, all by name."""
        self.admin.ask(204, "PUT", self.grant_path(user, project, role))

    def revoke(self, user: str, project: str, role: str) -> None:
        """Take a role away, all by name."""
        self.admin.ask(204, "DELETE", self.grant_path(user, project, role))

    def grant_path(self, user: str, project: str, role: str) -> str:
        """Return the path of a grant, all by name."""
        user_id = self.admin.ask(200, "GET", f"/users?name={user}")["users"][0]["id"]
        project_id = self.admin.ask(200, "GET", f"/projects?name={project}")["projects"][0]["id"]
        return f"/projects/{project_id}/users/{user_id}/roles/{self.roles[role].id}"

    def authenticate(self, identity: Any, scope: Any = None) -> Any:
        """Return the result of POST /v3/auth/tokens."""
        auth = {"identity": identity} | ({} if scope is None else {"scope": scope})
        return self.nobody.request("POST", "/auth/tokens", {"auth": auth})

    def by_password(self, name: str, password: str, scope: Any = None) -> Any:
        """Return the result of authenticating with a password."""
        return self.authenticate(password_identity(name, password), scope)

    def by_token(self, text: str, scope: Any = None) -> Any:
        """Return the result of authenticating with a token."""
        return self.authenticate({"methods": ["token"], "token": {"id": text}}, scope)

    def login(self, name: str, password: str = PASSWORD, scope: Any = None) -> Caller:
        """Return somebody with a token by password."""
        result = self.by_password(name, password, scope)
        assert result.status_code == 201, result.text
        return Caller(self, result.headers["X-Subject-Token"])

    def pass_s(self, seconds: float) -> None:
        """Have time pass."""
        self.clock.now_us += int(seconds * 1_000_000)


def password_identity(name: str, password: str) -> Any:
    """Return the part of a request that says a password."""
    return {
        "methods": ["password"],
        "password": {"user": {"name": name, "domain": {"id": "default"}, "password": password}},
    }


def project_scope(name: str) -> Any:
    """Return the part of a request that asks for a project of the default domain."""
    return {"project": {"name": name, "domain": {"name": "Default"}}}
