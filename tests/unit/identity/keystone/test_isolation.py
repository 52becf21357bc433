"""Nobody reads, changes or learns of what is another domain's: every operation, by every role and scope.

The matrix is made from the routes. Each variable part of a path, and each id in a body or query, is in turn something
of one's own, something of a stranger, and something that is not there. Whatever names a stranger's thing must be
answered like what names a missing one, show nothing of strangers, and change nothing. Then tokens that have ended: no
operation takes them. Admins are left out, who may do everything; readers of the system see everything, but change
nothing.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

from identity.keystone.api.routes import routes
from identity.keystone.api.token_routes import TOKEN_ROUTES
from identity.keystone.schema import metadata
from tests.unit.identity.keystone.service import SETTINGS
from tests.unit.identity.keystone.stack import PASSWORD, Caller, Stack, password_identity

ROLES = ("reader", "manager", "service")  # of these the second implies member and reader
SCOPES = ("a project", "a domain")
MARK = "zz-foreign"  # in the names of all that is a stranger's
MISSING = "0" * 32
TAG = "tag"  # tags are no ids: strangers may have the same
OPEN = {("GET", "/"), ("GET", "/v3"), ("POST", "/v3/auth/tokens"), ("POST", "/v3/users/{user_id}/password")}

READING = ("GET", "HEAD")
COUNTED = frozenset(metadata.tables) - {"failures"}  # wrong passwords are counted, whoever says them

Ids = dict[str, str]  # by name of the variable part


@dataclass(frozen=True, slots=True)
class Side:
    """A domain with one of each, and its user's token for the project."""

    ids: Ids
    user: Caller


class World:
    """Two domains that know nothing of each other."""

    def __init__(self, directory: Path) -> None:
        self.stack = Stack(directory)
        self.role_ids = {name: role.id for name, role in self.stack.roles.items()}
        self.role_ids["service"] = self.stack.make("role", name="service")["id"]
        self.own, self.foreign = self._side("own"), self._side(MARK)

    def _side(self, name: str) -> Side:
        stack, ask = self.stack, self.stack.admin.ask
        domain = stack.make("domain", name=f"{name}-domain")["id"]
        user = stack.make("user", name=f"{name}-user", domain_id=domain, password=PASSWORD)["id"]
        group = stack.make("group", name=f"{name}-group", domain_id=domain)["id"]
        role = stack.make("role", name="member", domain_id=domain)["id"]  # named like one that managers may grant
        project = stack.make("project", name=f"{name}-project", domain_id=domain, tags=[TAG, f"{name}-tag"])["id"]
        member = self.stack.roles["member"].id
        ask(204, "PUT", f"/groups/{group}/users/{user}")
        ask(204, "PUT", f"/projects/{project}/groups/{group}/roles/{member}")
        ask(204, "PUT", f"/domains/{domain}/users/{user}/roles/{member}")
        ask(204, "PUT", f"/projects/{project}/users/{user}/roles/{role}")
        caller = self.login(user, {"project": {"id": project}})
        credential = {"type": "cert", "blob": f"{name}-blob", "user_id": user, "project_id": project}
        made = caller.ask(201, "POST", "/credentials", {"credential": credential})["credential"]["id"]
        key = caller.ask(201, "POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": project})["credential"]
        rule = {"service": "identity", "method": "GET", "path": f"/v3/{name}"}
        wish = {"name": f"{name}-program", "access_rules": [rule]}
        path = f"/users/{user}/application_credentials"
        program = caller.ask(201, "POST", path, {"application_credential": wish})["application_credential"]
        ids = {
            "domain_id": domain,
            "user_id": user,
            "group_id": group,
            "role_id": role,
            "implied_role_id": role,
            "project_id": project,
            "credential_id": made,
            "access": key["access"],
            "application_credential_id": program["id"],
            "access_rule_id": program["access_rules"][0]["id"],
        }
        return Side(ids, caller)

    def login(self, user_id: str, scope: Any, password: str = PASSWORD) -> Caller:
        """Return a user with a token."""
        identity = {"methods": ["password"], "password": {"user": {"id": user_id, "password": password}}}
        result = self.stack.authenticate(identity, scope)
        assert result.status_code == 201, result.text
        return Caller(self.stack, result.headers["X-Subject-Token"])

    def actor(self, role: str, scope: str) -> tuple[Caller, Ids]:
        """Return somebody of the domain `own` with a role in it, and its things."""
        domain, project = self.own.ids["domain_id"], self.own.ids["project_id"]
        user = self.stack.make("user", name=f"{role} of {scope}", domain_id=domain, password=PASSWORD)["id"]
        ask, ids = self.stack.admin.ask, {**self.own.ids, "user_id": user}
        role_id = self.role_ids.get(role)
        if scope == "a project":
            ask(204, "PUT", f"/projects/{project}/users/{user}/roles/{role_id}")
            return self.login(user, {"project": {"id": project}}), ids
        if scope == "a domain":
            ask(204, "PUT", f"/domains/{domain}/users/{user}/roles/{role_id}")
            return self.login(user, {"domain": {"id": domain}}), ids
        if scope == "the system":
            ask(204, "PUT", f"/system/users/{user}/roles/{role_id}")
            return self.login(user, {"system": {"all": True}}), ids
        return self.login(user, "unscoped"), ids

    def state(self) -> dict[str, list[Any]]:
        """Return all that is stored."""
        with self.stack.database.reading() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)))) for table in metadata.sorted_tables
            }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@dataclass(frozen=True, slots=True)
class Request:
    """A request in which ids stand in braces."""

    method: str
    path: str
    document: Any = None
    subject: str = ""

    @property
    def variables(self) -> list[str]:
        """Return the names of the ids."""
        text = self.path + json.dumps(self.document)
        return [name for name in NAMES if f"{{{name}}}" in text]

    def of(self, ids: Ids) -> "Request":
        """Return the request with these ids."""
        path, text = self.path, json.dumps(self.document)
        for name, value in ids.items():
            path, text = path.replace(f"{{{name}}}", value), text.replace(f"{{{name}}}", value)
        return Request(self.method, path, json.loads(text), self.subject)


NAMES = (
    "domain_id",
    "user_id",
    "group_id",
    "role_id",
    "implied_role_id",
    "project_id",
    "credential_id",
    "access",
    "application_credential_id",
    "access_rule_id",
)
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/v3/domains/{domain_id}"): {"domain": {"description": "x"}},
    ("PATCH", "/v3/projects/{project_id}"): {"project": {"description": "x"}},
    ("PUT", "/v3/projects/{project_id}/tags"): {"tags": ["x"]},
    ("PATCH", "/v3/users/{user_id}"): {"user": {"password": "taken over"}},
    ("PATCH", "/v3/groups/{group_id}"): {"group": {"description": "x"}},
    ("PATCH", "/v3/roles/{role_id}"): {"role": {"description": "x"}},
    ("PATCH", "/v3/credentials/{credential_id}"): {"credential": {"blob": "x"}},
    ("POST", "/v3/users/{user_id}/credentials/OS-EC2"): {"tenant_id": "{project_id}"},
    ("POST", "/v3/users/{user_id}/application_credentials"): {"application_credential": {"name": "x"}},
    ("POST", "/v3/users/{user_id}/password"): {"user": {"original_password": "guessed", "password": "taken over"}},
}
MORE = (
    Request("POST", "/v3/projects", {"project": {"name": "x", "domain_id": "{domain_id}"}}),
    Request("POST", "/v3/projects", {"project": {"name": "x", "parent_id": "{project_id}"}}),
    Request("POST", "/v3/users", {"user": {"name": "x", "domain_id": "{domain_id}"}}),
    Request("POST", "/v3/groups", {"group": {"name": "x", "domain_id": "{domain_id}"}}),
    Request("POST", "/v3/roles", {"role": {"name": "x", "domain_id": "{domain_id}"}}),
    Request("POST", "/v3/credentials", {"credential": {"type": "c", "blob": "b", "user_id": "{user_id}"}}),
    Request("POST", "/v3/credentials", {"credential": {"type": "c", "blob": "b", "project_id": "{project_id}"}}),
    Request(
        "POST",
        "/v3/users/{user_id}/application_credentials",
        {"application_credential": {"name": "x", "roles": [{"id": "{role_id}"}]}},
    ),
    *(Request("GET", f"/v3/{listing}?{name}={{{name}}}") for listing in ("users", "groups", "projects", "roles")
      for name in ("domain_id",)),
    Request("GET", "/v3/projects?parent_id={project_id}"),
    Request("GET", "/v3/credentials?user_id={user_id}"),
    *(Request("GET", f"/v3/role_assignments?{name}{also}")
      for name in ("user.id={user_id}", "group.id={group_id}", "role.id={role_id}", "scope.project.id={project_id}",
                   "scope.domain.id={domain_id}")
      for also in ("", "&effective", "&include_names")),
    *(Request(method, path) for method in ("GET",) for path in (
        "/v3/domains", "/v3/projects", "/v3/users", "/v3/groups", "/v3/roles", "/v3/role_assignments",
        "/v3/role_assignments?include_subtree&include_names", "/v3/role_inferences", "/v3/credentials",
        "/v3/auth/projects", "/v3/auth/domains", "/v3/OS-REVOKE/events",
    )),
    *(Request("GET", f"/v3/{kind}?name={MARK}-{kind[:-1]}") for kind in ("domains", "projects", "users", "groups")),
)


def requests() -> Iterator[Request]:
    """Yield a request for every operation on something, and those that name others in another way."""
    for route in (*routes(), *TOKEN_ROUTES):
        if any(f"{{{name}}}" in route.path for name in NAMES):
            for method in route.operations:
                yield Request(method, route.path.replace("{tag}", TAG), BODIES.get((method, route.path)))
    yield from MORE


def answer(caller: Caller, request: Request, names: Ids) -> tuple[int, str]:
    """Return what is answered, with the ids that were asked for replaced by their names."""
    path = request.path.removeprefix("/v3")
    result = caller.request(request.method, path, request.document, request.subject)
    text = result.text.replace(path, "what was asked")  # it is in links
    for name, value in names.items():
        text = text.replace(value, name)
    return result.status_code, text


def ways(request: Request) -> Iterator[tuple[bool, ...]]:
    """Yield, by variable, whether it is the stranger's; in each at least one is."""
    for way in itertools.product((False, True), repeat=len(request.variables)):
        if any(way) or not way:
            yield way


def differences(world: World, caller: Caller, own: Ids, request: Request) -> Iterator[str]:
    """Yield how what is a stranger's is answered unlike what is not there, or shown."""
    for way in ways(request):
        chosen = dict(zip(request.variables, way, strict=True))
        there = {name: (world.foreign.ids if is_foreign else own)[name] for name, is_foreign in chosen.items()}
        missing = {name: MISSING if is_foreign else own[name] for name, is_foreign in chosen.items()}
        found, expected = answer(caller, request.of(there), there), answer(caller, request.of(missing), missing)
        if any(way) and found != expected and (found[0], expected[0]) != (201, 201):
            yield f"{request.method} {request.path} {chosen}: {found}, and of what is missing {expected}"
        if MARK in found[1]:
            yield f"{request.method} {request.path} {chosen} shows what is a stranger's: {found}"


@pytest.mark.parametrize(("role", "scope"), [("none", "nothing"), *itertools.product(ROLES, SCOPES)])
def test_what_is_a_strangers_is_as_if_it_were_not_there(world: World, role: str, scope: str) -> None:
    caller, own = world.actor(role, scope)
    found: list[str] = []
    after = world.state()
    for request in requests():
        found.extend(differences(world, caller, own, request))
        if request.method in READING:
            continue  # the service gives these no connection that could write
        before, after = after, world.state()
        if any(_is_foreign(world, row) for name in COUNTED for row in _gone(before[name], after[name])):
            found.append(f"{request.method} {request.path} changed something of a stranger")
    assert found == []


def _gone(before: list[Any], after: list[Any]) -> set[Any]:
    """Return the rows that are new or no longer there."""
    return set(before) ^ set(after)


def _is_foreign(world: World, row: str) -> bool:
    """Tell whether a stranger owns a row. What somebody notes of its own may name a stranger's project."""
    ids = world.foreign.ids
    return MARK in row or any(value in row for name, value in ids.items() if name != "project_id")


@pytest.mark.parametrize("role", ROLES)
def test_who_has_a_role_in_the_system_but_admin_changes_nothing(world: World, role: str) -> None:
    caller, own = world.actor(role, "the system")
    before = world.state()
    for request in requests():
        if request.method in ("PUT", "PATCH", "DELETE", "POST") and request.variables:
            caller.request(request.method, request.of(world.foreign.ids).path.removeprefix("/v3"),
                           request.of(world.foreign.ids).document)
    after = world.state()
    gone = {row for name in COUNTED for row in _gone(before[name], after[name]) if own["user_id"] not in row}
    assert gone == set()


def ended(world: World, how: str) -> tuple[str, Callable[[], Any]]:
    """Return a token, and what ends it."""
    stack, ask = world.stack, world.stack.admin.ask
    domain = stack.make("domain", name=f"domain of {how}")["id"]
    project = stack.make("project", name=f"project of {how}", domain_id=domain)["id"]
    user = stack.make("user", name=f"user of {how}", domain_id=domain, password=PASSWORD)["id"]
    grant = f"/projects/{project}/users/{user}/roles/{stack.roles['admin'].id}"
    ask(204, "PUT", grant)
    text = world.login(user, {"project": {"id": project}}).text
    stack.pass_s(1)
    enders: dict[str, Callable[[], Any]] = {
        "revoked": lambda: ask(204, "DELETE", "/auth/tokens", subject=text),
        "of a disabled user": lambda: ask(200, "PATCH", f"/users/{user}", {"user": {"enabled": False}}),
        "of a deleted user": lambda: ask(204, "DELETE", f"/users/{user}"),
        "of a disabled project": lambda: ask(200, "PATCH", f"/projects/{project}", {"project": {"enabled": False}}),
        "of a deleted project": lambda: ask(204, "DELETE", f"/projects/{project}"),
        "of a disabled domain": lambda: ask(200, "PATCH", f"/domains/{domain}", {"domain": {"enabled": False}}),
        "whose role was taken away": lambda: ask(204, "DELETE", grant),
        "whose password was changed": lambda: ask(200, "PATCH", f"/users/{user}", {"user": {"password": "other"}}),
    }
    return text, enders[how]


HOW_TOKENS_END = (
    "revoked",
    "of a disabled user",
    "of a deleted user",
    "of a disabled project",
    "of a deleted project",
    "of a disabled domain",
    "whose role was taken away",
    "whose password was changed",
)


def taken(world: World, text: str) -> list[str]:
    """Return the operations that do not refuse a token as such."""
    caller, found = Caller(world.stack, text), []
    for route in (*routes(), *TOKEN_ROUTES):
        for method in route.operations:
            if (method, route.path) in OPEN:
                continue
            request = Request(method, route.path, BODIES.get((method, route.path)))
            others = {"tag": TAG, "region_id": MISSING, "service_id": MISSING, "endpoint_id": MISSING}
            made = request.of({**world.foreign.ids, **others})
            status, _text = answer(caller, made, {})
            if status != 401:
                found.append(f"{method} {route.path}: {status}")
    return found


@pytest.mark.parametrize("how", HOW_TOKENS_END)
def test_no_operation_takes_a_token_that_ended(world: World, how: str) -> None:
    text, end = ended(world, how)
    assert Caller(world.stack, text).ask(200, "GET", "/users")
    end()
    assert taken(world, text) == []


def test_no_operation_takes_a_token_that_expired_or_was_forged(world: World, tmp_path: Path) -> None:
    expired = world.foreign.user.text
    forged = Fernet(Fernet.generate_key()).encrypt(b"admin").decode().rstrip("=")
    spoiled = expired[:-8] + ("A" if expired[-8] != "A" else "B") + expired[-7:]
    for text in ("", "x", forged, spoiled, expired[:-1], expired + "A" * 5000):
        assert taken(world, text) == []
    later = World(tmp_path)
    later.stack.pass_s(24 * 3600)
    assert taken(later, later.foreign.user.text) == []


def test_guessing_shows_neither_who_there_is_nor_whose_project_it_is_and_is_slowed(tmp_path: Path) -> None:
    world = World(tmp_path)
    stack, ids = world.stack, world.foreign.ids
    there = stack.by_password("ann", "wrong")
    missing = stack.by_password("nobody", "wrong")
    assert (there.status_code, there.text) == (401, missing.text)
    own = {"methods": ["token"], "token": {"id": world.own.user.text}}
    for kind in ("project", "domain"):
        answers = [stack.authenticate(own, {kind: {"id": each}}) for each in (ids[f"{kind}_id"], MISSING)]
        assert [each.status_code for each in answers] == [401, 401]
        assert answers[0].text == answers[1].text
    for _guess in range(SETTINGS.lockout.failures):
        assert stack.authenticate(password_identity("ann", "wrong")).status_code == 401
    locked = stack.by_password("ann", PASSWORD)
    assert (locked.status_code, locked.text) == (401, there.text)
