"""Nobody reads, changes or learns of what is another project's: every operation on images, by every role and scope.

The matrix is made from the application's routes: each id in a path, query or document is in turn one's own, a
stranger's, and of something that is not there. An operation that takes a document and has none here fails the test.
Left out: administrators and services, who see all; and that who would give an image an id sees that it is taken.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon.inspect import inspect_routes
from sqlalchemy import select

from compute.images.schema import metadata
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind
from tests.unit.compute.images.service import OCTETS, PATCH, Client, Service
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
OPEN = ("/", "/versions", "/v2", "/v2/")  # what versions there are
FIXED = {"store_id": "objects", "name": "image", "tag": "tag"}  # nobody's own
_ECHO = re.compile(r'"first":"[^"]*"')  # of a listing: the query
URI = "http://example.com/disk"

_IMAGE = "/v2/images/{image_id}"
DOCUMENTS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("POST", "/v2/images"): (
        {"name": "x", "disk_format": "raw", "container_format": "bare"},
        {"name": "x", "owner": "{project_id}"},
    ),
    ("PATCH", _IMAGE): (
        [{"op": "replace", "path": "/name", "value": "x"}],
        [{"op": "replace", "path": "/owner", "value": "own-project"}],
        [{"op": "add", "path": "/key", "value": "x"}],
    ),
    ("PUT", f"{_IMAGE}/file"): ("data",),
    ("PUT", f"{_IMAGE}/stage"): ("data",),
    ("POST", f"{_IMAGE}/actions/deactivate"): (None,),
    ("POST", f"{_IMAGE}/actions/reactivate"): (None,),
    ("POST", f"{_IMAGE}/actions/golden"): (None,),
    ("POST", f"{_IMAGE}/import"): (
        {"method": {"name": "glance-direct"}},
        {"method": {"name": "web-download", "uri": URI}},
    ),
    ("POST", f"{_IMAGE}/members"): ({"member": "somebody"},),
    ("PUT", f"{_IMAGE}/members/{{member_id}}"): ({"status": "accepted"},),
    ("PUT", f"{_IMAGE}/tags/{{tag}}"): (None,),
    ("PUT", "/v2/info/usage/{project_id}"): ({"count": 1},),
    ("POST", "/v2/tasks"): ({"type": "import"},),
}
QUERIES = (
    "marker={image_id}",
    "marker={image_id}&sort=id:asc&limit=1",
    "id=in:{image_id}",
    "owner={project_id}",
    "visibility=private&owner={project_id}",
    "visibility=shared&member_status=all&owner={project_id}",
    f"name={MARK}-image",
    f"key={MARK}-value",
    f"tag={MARK}-tag",
    "os_hidden=true",
    "visibility=all",
    "status=queued",
    "size_min=0",
)


class World:
    """A service with things of two projects."""

    def __init__(self, directory: Path) -> None:
        self.service = Service(directory)
        self.service.web.pages[URI] = b"data"
        self.owners = {name: self.service.client(name) for name in ("own", MARK)}
        own, foreign = (self._side(client, name) for name, client in self.owners.items())
        missing = {name: str(uuid.UUID(int=number)) for number, name in enumerate(own, 1)}
        self.sides = Sides(own, foreign, missing, MARK)

    def _side(self, client: Client, name: str) -> Ids:
        """Return the ids of one thing of each kind, all of them with `name` in their attributes."""
        described = {"name": f"{name}-image", "key": f"{name}-value", "tags": ["tag", f"{name}-tag"]}
        image = client.make(**described)
        client.post(f"/v2/images/{image['id']}/import", {"method": {"name": "web-download", "uri": URI}}, 202)
        assert self.service.importer.step()
        client.post(f"/v2/images/{image['id']}/members", {"member": f"{name}-friend"}, 200)
        client.make(**described, os_hidden=True, visibility="private")
        (task,) = client.get(f"/v2/images/{image['id']}/tasks")["tasks"]
        assert task["status"] == "success"
        return {
            "image_id": image["id"],
            "member_id": f"{name}-friend",
            "task_id": task["id"],
            "project_id": str(client.project_id),
        }

    def actor(self, role: str, scope: str) -> Client:
        """Return somebody with a role in the project `own`, or elsewhere."""
        name = f"{role} of {scope}"
        client = self.service.client(name, HELD[role], "own-project")
        if scope != "a project":
            self.service.tokens.by_text[name] = replace(self.service.tokens.by_text[name], scope=SCOPES[scope])
        return client

    def state(self, *of: str) -> dict[str, list[str]]:
        """Return all rows in which one of some texts is; without any, all."""
        found = {}
        with self.service.database.reading() as connection:
            for table in metadata.sorted_tables:
                rows = sorted(repr(row) for row in connection.execute(select(table)))
                found[table.name] = [row for row in rows if not of or any(text in row for text in of)]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.service.database.close()


def operations(world: World) -> Iterator[tuple[str, str]]:
    """Yield method and path."""
    for route in inspect_routes(world.service.application):
        for each in route.methods if route.path not in OPEN else ():
            if not each.internal and each.method != "OPTIONS":
                yield each.method, route.path


def requests(world: World) -> list[Request]:
    """Return a request for every operation, and those that name strangers' things in other ways."""
    found = [
        _request(method, path, document)
        for method, path in operations(world)
        for document in DOCUMENTS.get((method, path), (None,))
    ]
    return found + [Request("GET", f"/v2/images?{query}") for query in QUERIES]


def _request(method: str, path: str, document: Any) -> Request:
    for name, value in FIXED.items():
        path = path.replace(f"{{{name}}}", value)
    media_type = PATCH if method == "PATCH" else OCTETS if document == "data" else "application/json"
    return Request(method, path, document, media_type)


def sent(client: Client, request: Request) -> Answer:
    body = b"" if request.document is None else json.dumps(request.document).encode()
    result = client.request(request.method, request.path, body=body, headers={"Content-Type": request.media_type})
    return result.status_code, _ECHO.sub("", result.text)


def test_the_matrix_has_every_operation(world: World) -> None:
    taking = [each for each in operations(world) if each[0] in ("POST", "PUT", "PATCH")]
    assert sorted(taking) == sorted(DOCUMENTS)
    assert ("GET", f"{_IMAGE}/file") in operations(world)


def test_what_the_matrix_asks_for_is_there(world: World) -> None:
    wrong = []
    for request in requests(world):
        if request.method == "GET":
            status, text = sent(world.service.admin, request.of(world.sides.foreign))
            if status >= 300:
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []


@pytest.mark.parametrize(("role", "scope"), ACTORS)
def test_what_is_a_strangers_is_as_if_it_were_not_there(world: World, role: str, scope: str) -> None:
    client, foreign = world.actor(role, scope), (MARK, *world.sides.foreign.values())
    before = world.state(*foreign)
    found = [
        difference
        for request in requests(world)
        for difference in differences(lambda request: sent(client, request), request, world.sides)
    ]
    assert found == []
    assert world.state(*foreign) == before


def test_a_reader_changes_nothing_of_its_own_project(world: World) -> None:
    reader = world.actor("reader", "a project")
    before, wrong = world.state(), []
    for request in requests(world):
        if request.method not in ("GET", "HEAD"):
            status, text = sent(reader, request.of(world.sides.own))
            if status != 403:
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []
    assert world.state() == before


@pytest.mark.parametrize("visibility", ["public", "community", "shared"])
def test_who_sees_an_image_of_a_stranger_changes_nothing(world: World, visibility: str) -> None:
    owner, client = world.service.client("visible"), world.service.client("guest")
    image = owner.active(name=visibility, tags=["tag"])
    path = f"/v2/images/{image['id']}"
    for member in ("guest-project", "friend"):
        owner.post(f"{path}/members", {"member": member}, 200)
    world.service.admin.patch(path, {"op": "replace", "path": "/visibility", "value": visibility})
    assert client.show(image)["name"] == visibility
    assert client.request("GET", f"{path}/tasks").status_code == 403  # they tell who asked, and from where
    before, wrong = world.state(), []
    ids = {**world.sides.own, "image_id": image["id"], "member_id": "friend"}
    for request in requests(world):
        is_golden = request.path.endswith("/golden")  # which is as a download
        if "{image_id}" in request.path and request.method not in ("GET", "HEAD") and not is_golden:
            status, text = sent(client, request.of(ids))
            if status not in (403, 404):
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []
    assert world.state() == before


def test_a_member_of_an_image_does_not_learn_who_else_is(world: World) -> None:
    owner, client = world.service.client("visible"), world.service.client("guest")
    path = f"/v2/images/{owner.make()['id']}/members"
    for member in ("guest-project", "friend"):
        owner.post(path, {"member": member}, 200)
    assert [each["member_id"] for each in client.get(path)["members"]] == ["guest-project"]
    for method, document in (("GET", None), ("PUT", {"status": "accepted"}), ("DELETE", None)):
        answers = [client.request(method, f"{path}/{member}", document) for member in ("friend", "nobody")]
        assert answers[0].status_code == answers[1].status_code >= 400
        assert answers[0].text.replace("friend", "nobody") == answers[1].text


def test_who_has_no_token_that_counts_gets_nothing(world: World) -> None:
    wrong = []
    for client in (world.service.nobody, Client(world.service, "unknown")):
        for request in requests(world):
            status, text = sent(client, request.of(world.sides.own))
            if status != 401 and not request.path.startswith("/v2/schemas"):
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []
