"""Nobody reads, changes or learns of what is another's around servers: every operation, by every role and scope.

The matrix is made from the routes: each id in a path, query or document is in turn one's own, a stranger's, and of
something that is not there. A route or action that takes a document and has none here fails the test. Administrators
are left out, who may do everything.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.controlplane.database import retried
from compute.instances import usage
from compute.instances.api.gone import ROUTES as GONE
from compute.instances.api.surroundings_routes import ROUTES
from compute.instances.flavors import Flavor
from compute.instances.schema import metadata
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind
from tests.unit.compute.instances.surroundings import ALICES, BOBS, START_US, Client, Surroundings
from tests.unit.compute.instances.test_key_pairs import ED25519
from tests.unit.compute.isolation import Answer, Ids, Request, Sides, differences

MARK = "zz-foreign"  # in the names of all that is the stranger's
DOMAIN = Scope(ScopeKind.DOMAIN, "default", "Default", "default", "Default")
SCOPES = {"nothing": None, "a domain": DOMAIN, "the system": SYSTEM_SCOPE}
ACTORS = (  # role, and what it is in
    ("none", "nothing"),
    *((role, scope) for role in ("reader", "manager") for scope in ("a project", "a domain", "the system")),
    ("member", "a project"),
)
HELD = {"none": (), "reader": ("reader",), "member": ("member", "reader"), "manager": ("manager", "member", "reader")}
# nobody's own
FIXED = {
    "key": "key",
    "alias": "os-keypairs",
    "aggregate_id": "1",
    "service_id": "x",
    "hypervisor_id": "x",
    "host": "one",
}
OF_USERS = ("os-keypairs/{name}",)  # whose names mean each user's own

DOCUMENTS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("POST", "flavors"): ({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}},),
    ("PUT", "flavors/{flavor_id}"): ({"flavor": {"description": "x"}},),
    ("POST", "flavors/{flavor_id}/action"): (
        {"addTenantAccess": {"tenant": ALICES}},
        {"removeTenantAccess": {"tenant": "{target_id}"}},
    ),
    ("POST", "flavors/{flavor_id}/os-extra_specs"): ({"extra_specs": {"key": "x"}},),
    ("PUT", "flavors/{flavor_id}/os-extra_specs/{key}"): ({"key": "x"},),
    ("POST", "os-keypairs"): ({"keypair": {"name": "x", "public_key": ED25519, "user_id": "{user_id}"}},),
    ("POST", "os-server-groups"): ({"server_group": {"name": "x", "policy": "affinity"}},),
    ("POST", "os-aggregates"): ({"aggregate": {"name": "x"}},),
    ("PUT", "os-aggregates/{aggregate_id}"): ({"aggregate": {"name": "x"}},),
    ("POST", "os-aggregates/{aggregate_id}/action"): (
        {"add_host": {"host": "one"}},
        {"remove_host": {"host": "one"}},
        {"set_metadata": {"metadata": {"x": "y"}}},
    ),
    ("POST", "os-aggregates/{aggregate_id}/images"): ({"cache": [{"id": str(uuid.UUID(int=1))}]},),
    ("PUT", "os-services/{service_id}"): ({"status": "disabled"},),
    ("PUT", "os-hosts/{host}"): ({"status": "disable"},),
    ("PUT", "os-quota-sets/{target_id}"): ({"quota_set": {"instances": 0}},),
    ("PUT", "os-quota-class-sets/{name}"): ({"quota_class_set": {"instances": 0}},),
}


class World:
    """The service with things of two projects."""

    def __init__(self, directory: Path) -> None:
        self.around = Surroundings(directory)
        own, foreign = self._side(self.around.member, "own"), self._side(self.around.stranger, MARK)
        missing = {name: str(uuid.UUID(int=number)) for number, name in enumerate(own, 1)}
        missing |= {"target_id": "0" * 32, "user_id": "user-nobody"}
        self.sides = Sides(own, foreign, missing, MARK)

    def _side(self, client: Client, name: str) -> Ids:
        """Return the ids of one thing of each kind, all of them with `name` in their attributes."""
        admin = self.around.admin
        flavor = admin.make_flavor(name=f"{name}-flavor", **{"os-flavor-access:is_public": False})
        path = f"/flavors/{flavor['id']}"
        admin.post(f"{path}/action", {"addTenantAccess": {"tenant": client.project_id}})
        admin.post(f"{path}/os-extra_specs", {"extra_specs": {"key": name}})
        client.post("/os-keypairs", {"keypair": {"name": f"{name}-key", "public_key": ED25519}}, 201)
        group = client.post("/os-server-groups", {"server_group": {"name": name, "policy": "affinity"}})
        kind = Flavor(id="x", name=name, memory_mib=1, vcpus=1, disk_gb=1)
        server_id = str(uuid.uuid4())
        retried(
            self.around.database,
            lambda connection: usage.begin(
                connection, server_id, client.project_id, client.user_id, name, kind, START_US
            ),
        )
        return {
            "flavor_id": flavor["id"],
            "group_id": group["server_group"]["id"],
            "target_id": client.project_id,
            "user_id": client.user_id,
            "key_name": f"{name}-key",
            "server_id": server_id,
        }

    def actor(self, role: str, scope: str) -> Client:
        """Return somebody with a role in the project `own`, or elsewhere."""
        name = f"{role} of {scope}"
        client = self.around.client(name, HELD[role], ALICES)
        if scope != "a project":
            token = self.around.tokens.by_text[name]
            self.around.tokens.by_text[name] = replace(token, scope=SCOPES[scope])
        return client

    def state(self, *of: str) -> dict[str, list[str]]:
        """Return all rows in which one of some texts is; without any, all."""
        found = {}
        with self.around.database.reading() as connection:
            for table in metadata.sorted_tables:
                rows = sorted(repr(row) for row in connection.execute(select(table)))
                found[table.name] = [row for row in rows if not of or any(text in row for text in of)]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def operations() -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and operation."""
    for path, methods in ROUTES.items():
        if path not in GONE:
            for method, operation in methods.items():
                yield method, path, operation


def requests() -> list[Request]:
    """Return a request for every operation, and those that name strangers' things in other ways."""
    found = [
        Request(method, f"/{path}", document)
        for method, path, _operation in operations()
        if path not in OF_USERS
        for document in DOCUMENTS.get((method, path), (None,))
    ]
    found += [
        Request("GET", "/flavors?marker={flavor_id}"),
        Request("GET", "/flavors?is_public=none"),
        Request("GET", "/flavors/detail?is_public=false"),
        Request("GET", "/os-server-groups?all_projects=1"),
        Request("GET", "/os-keypairs?user_id={user_id}"),
        Request("GET", "/os-keypairs/own-key?user_id={user_id}"),
        Request("GET", "/os-keypairs/{key_name}"),
        Request("DELETE", "/os-keypairs/{key_name}"),
        Request("DELETE", "/os-keypairs/own-key?user_id={user_id}"),
        Request("GET", "/limits?tenant_id={target_id}"),
        Request("GET", "/os-quota-sets/{target_id}?user_id=x"),
        Request("GET", "/os-quota-sets/{target_id}/detail?user_id=x"),
        Request("DELETE", "/os-quota-sets/{target_id}?user_id=x"),
        Request("GET", "/os-simple-tenant-usage/{target_id}?start=2000-01-01T00:00:00"),
        Request("GET", "/os-simple-tenant-usage?start=2000-01-01T00:00:00&detailed=1"),
    ]
    return [replace(request, path=_with_fixed(request.path)) for request in found]


def _with_fixed(path: str) -> str:
    path = path.replace("{name}", "default")
    for name, value in FIXED.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def sent(client: Client, request: Request) -> Answer:
    result = client.request(request.method, request.path, request.document)
    return result.status_code, result.text


def test_the_matrix_has_every_operation_and_every_action() -> None:
    lacking = []
    for method, path, operation in operations():
        documents = DOCUMENTS.get((method, path))
        if documents is None and method in ("POST", "PUT", "PATCH"):
            lacking.append(f"{method} {path}")
        names = {name for document in documents or () for name in document}
        lacking += [f"{path} {action}" for action in getattr(operation, "actions", ()) if action not in names]
    assert lacking == []


@pytest.mark.parametrize(("role", "scope"), ACTORS)
def test_what_is_a_strangers_is_as_if_it_were_not_there(world: World, role: str, scope: str) -> None:
    client = world.actor(role, scope)
    foreign = (MARK, BOBS, *world.sides.foreign.values())
    before = world.state(*foreign)
    found = [
        difference
        for request in requests()
        if not _tells_defaults(request)
        for difference in differences(lambda request: sent(client, request), request, world.sides)
    ]
    assert found == []
    assert world.state(*foreign) == before


def _tells_defaults(request: Request) -> bool:
    """What all projects have at first is no secret of any: it is told of whichever is named."""
    return request.path.endswith("/defaults")


def test_a_reader_changes_nothing_of_its_own_project(world: World) -> None:
    before, wrong = world.state(), []
    for request in requests():
        if request.method != "GET" and "keypairs" not in str(request):  # which are the user's, whatever the role
            status, text = sent(world.around.reader, request.of(world.sides.own))
            if status not in (403, 404):
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []
    assert world.state() == before


def test_who_has_no_token_that_counts_gets_nothing(world: World) -> None:
    wrong = []
    for client in (world.around.nobody, Client(world.around.application, "unknown", ALICES)):
        for request in requests():
            status, text = sent(client, request.of(world.sides.own))
            if status != 401:
                wrong.append(f"{request}: {status} {text}")
        for path, methods in GONE.items():
            for method in methods:
                status, text = sent(client, Request(method, f"/{path.format(gone_id='x', server_id='y')}"))
                if status != 401:
                    wrong.append(f"{method} {path}: {status} {text}")
    assert wrong == []
