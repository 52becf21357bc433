"""Nobody reads, changes or learns of what is another project's: every operation on volumes, by every role and scope.

The matrix is made from the routes: each id in a path, query or document is in turn one's own, a stranger's, and of
something that is not there. A route or action that takes a document and has none here fails the test. Administrators
are left out, who may do everything, and so are services, which do for users what users ask for.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.controlplane.database import retried
from compute.volumes import messages as user_messages
from compute.volumes.api import attachments, backups, messages, snapshots, transfers, types, volumes
from compute.volumes.api.routes import routes
from compute.volumes.schema import metadata
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind
from tests.unit.compute.isolation import Answer, Ids, Request, Sides, differences
from tests.unit.compute.volumes.service import ALICES, BOBS, SETTINGS, Client, Service

MARK = "zz-foreign"  # in the names of all that is the stranger's
NOTHING = str(uuid.UUID(int=0))
PROJECT_PART = "/v3/{project_id}"
DOMAIN = Scope(ScopeKind.DOMAIN, "default", "Default", "default", "Default")
SCOPES = {"nothing": None, "a domain": DOMAIN, "the system": SYSTEM_SCOPE}
ACTORS = (  # role, and what it is in
    ("none", "nothing"),
    *((role, scope) for role in ("reader", "manager") for scope in ("a project", "a domain", "the system")),
    ("member", "a project"),
)
HELD = {"none": (), "reader": ("reader",), "member": ("member", "reader"), "manager": ("manager", "member", "reader")}
OPEN = ("/", "/v3", PROJECT_PART)  # what versions there are
# nobody's own
FIXED = {"key": "key", "alias": "backups", "host": SETTINGS.service_host, "verb": "disable", "name": "default"}

_CONNECTOR = {"connector": {"host": "h"}}
_VOLUME = "/v3/volumes/{volume_id}"
_WORDS = {"metadata": {"key": "x"}}
_ACTIONS: Mapping[str, tuple[Any, ...]] = {  # by path, with one document at least for each action
    f"{_VOLUME}/action": (
        {"os-extend": {"new_size": 3}},
        {"os-extend_volume_completion": {"error": False}},
        {"os-reset_status": {"status": "error"}},
        {"os-force_delete": {}},
        {"os-set_bootable": {"bootable": True}},
        {"os-update_readonly_flag": {"readonly": True}},
        {"os-set_image_metadata": _WORDS},
        {"os-show_image_metadata": {}},
        {"os-unset_image_metadata": {"key": "key"}},
        {"os-retype": {"new_type": "{type_id}"}},
        {"os-retype": {"new_type": "{type_name}"}},
        {"revert": {"snapshot_id": "{snapshot_id}"}},
        {"os-volume_upload_image": {"image_name": "x"}},
        {"os-reimage": {"image_id": NOTHING}},
        {"os-reserve": {}},
        {"os-unreserve": {}},
        {"os-attach": {"instance_uuid": NOTHING, "mountpoint": "/dev/vdb"}},
        {"os-detach": {}},
        {"os-force_detach": {}},
        {"os-begin_detaching": {}},
        {"os-roll_detaching": {}},
        {"os-initialize_connection": _CONNECTOR},
        {"os-terminate_connection": _CONNECTOR},
    ),
    "/v3/attachments/{attachment_id}/action": ({"os-complete": {}},),
    "/v3/snapshots/{snapshot_id}/action": (
        {"os-reset_status": {"status": "error"}},
        {"os-force_delete": {}},
        {"os-update_snapshot_status": {"status": "error"}},
    ),
    "/v3/backups/{backup_id}/action": ({"os-reset_status": {"status": "error"}}, {"os-force_delete": {}}),
    "/v3/types/{type_id}/action": (
        {"addProjectAccess": {"project": ALICES}},
        {"removeProjectAccess": {"project": "{target_id}"}},
    ),
}
_TRANSFERS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("POST", f"/v3/{name}{end}"): documents
    for name in ("os-volume-transfer", "volume-transfers")
    for end, documents in {
        "": ({"transfer": {"volume_id": "{volume_id}"}},),
        "/{transfer_id}/accept": ({"accept": {"auth_key": "guessed"}},),
    }.items()
}
DOCUMENTS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    **{("POST", path): documents for path, documents in _ACTIONS.items()},
    **_TRANSFERS,
    ("POST", "/v3/volumes"): (
        {"volume": {"size": 1}},
        {"volume": {"size": 1, "volume_type": "{type_id}"}},
        {"volume": {"size": 1, "volume_type": "{type_name}"}},
        {"volume": {"snapshot_id": "{snapshot_id}"}},
        {"volume": {"source_volid": "{volume_id}"}},
        {"volume": {"backup_id": "{backup_id}"}},
    ),
    ("PUT", _VOLUME): ({"volume": {"name": "x"}},),
    **{
        (method, f"{path}/metadata"): (_WORDS,)
        for method in ("POST", "PUT")
        for path in (_VOLUME, "/v3/snapshots/{snapshot_id}")
    },
    ("PUT", f"{_VOLUME}/metadata/{{key}}"): ({"meta": {"key": "x"}},),
    ("PUT", "/v3/snapshots/{snapshot_id}/metadata/{key}"): ({"meta": {"key": "x"}},),
    ("POST", "/v3/attachments"): ({"attachment": {"volume_uuid": "{volume_id}", "instance_uuid": NOTHING}},),
    ("PUT", "/v3/attachments/{attachment_id}"): ({"attachment": _CONNECTOR},),
    ("POST", "/v3/snapshots"): ({"snapshot": {"volume_id": "{volume_id}"}},),
    ("PUT", "/v3/snapshots/{snapshot_id}"): ({"snapshot": {"name": "x"}},),
    ("POST", "/v3/backups"): (
        {"backup": {"volume_id": "{volume_id}"}},
        {"backup": {"volume_id": "{volume_id}", "incremental": True}},
        {"backup": {"volume_id": "{volume_id}", "snapshot_id": "{snapshot_id}"}},
    ),
    ("POST", "/v3/backups/import_record"): ({"backup-record": {"backup_service": "x", "backup_url": "x"}},),
    ("PUT", "/v3/backups/{backup_id}"): ({"backup": {"name": "x"}},),
    ("POST", "/v3/backups/{backup_id}/restore"): (
        {"restore": {}},
        {"restore": {"volume_id": "{volume_id}"}},
    ),
    ("POST", "/v3/types"): ({"volume_type": {"name": "x"}},),
    ("PUT", "/v3/types/{type_id}"): ({"volume_type": {"name": "x"}},),
    ("POST", "/v3/types/{type_id}/extra_specs"): ({"extra_specs": {"key": "x"}},),
    ("PUT", "/v3/types/{type_id}/extra_specs/{key}"): ({"key": "x"},),
    ("POST", "/v3/types/{type_id}/encryption"): ({"encryption": {"provider": "luks", "control_location": "back-end"}},),
    ("PUT", "/v3/types/{type_id}/encryption/{key}"): ({"encryption": {"cipher": "x"}},),
    ("PUT", "/v3/default-types/{target_id}"): ({"default_type": {"volume_type": "{type_name}"}},),
    ("POST", "/v3/qos-specs"): ({"qos_specs": {"name": "x"}},),
    ("PUT", "/v3/qos-specs/{qos_id}"): ({"qos_specs": {"total_iops_sec": "1"}},),
    ("PUT", "/v3/qos-specs/{qos_id}/delete_keys"): ({"keys": ["total_iops_sec"]},),
    ("PUT", "/v3/os-quota-sets/{target_id}"): ({"quota_set": {"volumes": 0}},),
    ("PUT", "/v3/os-quota-class-sets/{name}"): ({"quota_class_set": {"volumes": 0}},),
    ("PUT", "/v3/os-services/{verb}"): ({"host": "here", "binary": "cinder-volume"},),
}
LISTINGS = {  # what is listed, and the id in the matrix of one of it
    "volumes": (volumes.LISTED, "volume_id"),
    "attachments": (attachments.LISTED, "attachment_id"),
    "snapshots": (snapshots.LISTED, "snapshot_id"),
    "backups": (backups.LISTED, "backup_id"),
    "volume-transfers": (transfers.LISTED, "transfer_id"),
    "messages": (messages.LISTED, "message_id"),
    "types": (types.LISTED, "type_id"),
}


class World:
    """A service with things of two projects."""

    def __init__(self, directory: Path) -> None:
        self.service = Service(directory)
        own, foreign = self._side(self.service.member, "own"), self._side(self.service.stranger, MARK)
        missing = {name: str(uuid.UUID(int=number)) for number, name in enumerate(own, 1)}
        missing |= {"target_id": "0" * 32, "type_name": "no-such-type"}
        self.sides = Sides(own, foreign, missing, MARK)

    def _side(self, client: Client, name: str) -> Ids:
        """Return the ids of one thing of each kind, all of them with `name` in their attributes."""
        admin, words = self.service.admin, {"key": f"{name}-value"}
        project_id = client.project_id
        admin.put(f"/os-quota-sets/{project_id}", {"quota_set": {"volumes": -1, "gigabytes": -1}})
        volume_id = client.make_volume(name=name, description=name, metadata=words)["id"]
        client.act(volume_id, "os-set_image_metadata", {"metadata": words}, 200)
        used, offered = client.make_volume(name=name)["id"], client.make_volume(name=name)["id"]
        kind = {"name": f"{name}-type", "description": name, "os-volume-type-access:is_public": False}
        type_id = admin.post("/types", {"volume_type": kind}, 200)["volume_type"]["id"]
        admin.post(f"/types/{type_id}/action", {"addProjectAccess": {"project": project_id}})
        admin.post(f"/types/{type_id}/extra_specs", {"extra_specs": {**words, "multiattach": "<is> False"}}, 200)
        encryption = {"provider": "luks", "control_location": "back-end"}
        admin.post(f"/types/{type_id}/encryption", {"encryption": encryption}, 200)
        specs = {"name": f"{name}-specs", "total_iops_sec": "100"}
        qos_id = admin.post("/qos-specs", {"qos_specs": specs}, 200)["qos_specs"]["id"]
        admin.request("GET", f"/qos-specs/{qos_id}/associate?vol_type_id={type_id}", status=202)
        admin.put(f"/default-types/{project_id}", {"default_type": {"volume_type": f"{name}-type"}})
        wanted = {"volume_uuid": used, "instance_uuid": str(uuid.uuid4()), "connector": {"host": name}}
        attached = client.post("/attachments", {"attachment": wanted}, 200)["attachment"]["id"]
        client.request("POST", f"/attachments/{attached}/action", {"os-complete": {}}, 204)
        offer = client.post("/volume-transfers", {"transfer": {"volume_id": offered, "name": name}})["transfer"]
        return {
            "volume_id": volume_id,
            "used_id": used,
            "snapshot_id": client.make_snapshot(volume_id, name=name, metadata=words)["id"],
            "backup_id": client.make_backup(volume_id, name=name, description=name)["id"],
            "attachment_id": attached,
            "transfer_id": offer["id"],
            "message_id": self._tell(project_id, volume_id, name),
            "type_id": type_id,
            "type_name": f"{name}-type",
            "qos_id": qos_id,
            "target_id": project_id,
        }

    def _tell(self, project_id: str, volume_id: str, name: str) -> str:
        service, about = self.service, ("volume", volume_id)
        now_us = service.clock()
        retried(
            service.database,
            lambda connection: user_messages.tell(connection, now_us, project_id, f"req-{name}", about, name, name),
        )
        table = metadata.tables["messages"]
        with service.database.reading() as connection:
            return str(connection.scalar(select(table.c.id).where(table.c.project_id == project_id)))

    def actor(self, role: str, scope: str) -> Client:
        """Return somebody with a role in the project `own`, or elsewhere."""
        name = f"{role} of {scope}"
        client = self.service.client(name, HELD[role], ALICES)
        if scope != "a project":
            token = self.service.tokens.by_text[name]
            self.service.tokens.by_text[name] = replace(token, scope=SCOPES[scope])
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
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def operations() -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and operation, but for those that are the same below a project."""
    for route in routes():
        if not route.path.startswith(PROJECT_PART) and route.path not in OPEN:
            for method, operation in route.operations.items():
                yield method, route.path, operation


def requests() -> list[Request]:
    """Return a request for every operation, and those that name strangers' things in other ways."""
    found = [
        Request(method, path, document)
        for method, path, _operation in operations()
        for document in DOCUMENTS.get((method, path), (None,))
    ]
    for name in LISTINGS:
        for end in ("", "/detail"):
            if ("GET", f"/v3/{name}{end}") in [(request.method, request.path) for request in found]:
                found += _listings(f"/v3/{name}{end}", LISTINGS[name][1])
    found += [
        Request("POST", "/v3/volumes/{used_id}/action", {"os-detach": {"attachment_id": "{attachment_id}"}}),
        Request("DELETE", f"{_VOLUME}?cascade=true"),
        Request("DELETE", f"{_VOLUME}?force=true"),
        Request("GET", "/v3/limits?project_id={target_id}"),
        Request("GET", "/v3/limits?tenant_id={target_id}"),
        Request("GET", "/v3/os-quota-sets/{target_id}?usage=true"),
        Request("GET", "/v3/volumes/summary?all_tenants=true&project_id={target_id}"),
        Request("GET", "/v3/qos-specs/{qos_id}/associate?vol_type_id={type_id}"),
    ]
    return [replace(request, path=_with_fixed(request.path)) for request in found]


def _with_fixed(path: str) -> str:
    for name, value in FIXED.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def _listings(path: str, identifier: str) -> Iterator[Request]:
    for query in (
        f"marker={{{identifier}}}",
        f"marker={{{identifier}}}&sort=id:asc&limit=1",
        "all_tenants=1&with_count=true",
        "all_tenants=1&project_id={target_id}&with_count=true",
        "tenant_id={target_id}",
        *(f"{name}={{{name}}}" for name in ("volume_id", "snapshot_id")),
    ):
        yield Request("GET", f"{path}?{query}")


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
    below = {route.path.removeprefix(PROJECT_PART) for route in routes() if route.path.startswith(PROJECT_PART)}
    assert below - {""} == {path.removeprefix("/v3") for _method, path, _operation in operations()}


def test_what_the_matrix_asks_for_is_there(world: World) -> None:
    wrong = []
    for request in requests():
        if request.method == "GET" and not any(part in request.path for part in ("?", "associate", "/encryption/")):
            status, text = sent(world.service.admin, request.of(world.sides.foreign))
            if status >= 300:
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []


@pytest.mark.parametrize(("role", "scope"), ACTORS)
def test_what_is_a_strangers_is_as_if_it_were_not_there(world: World, role: str, scope: str) -> None:
    client, foreign = world.actor(role, scope), (MARK, BOBS, *world.sides.foreign.values())
    before = world.state(*foreign)
    found = [
        difference
        for request in requests()
        for difference in differences(lambda request: sent(client, request), request, world.sides)
    ]
    assert found == []
    assert world.state(*foreign) == before


@pytest.mark.parametrize("listing", LISTINGS)
def test_no_filter_of_a_listing_finds_what_is_a_strangers(world: World, listing: str) -> None:
    listed, identifier = LISTINGS[listing]
    client, wrong = world.service.member, []
    with world.service.database.reading() as connection:
        query = select(listed.table).where(listed.table.c.id == world.sides.foreign[identifier])
        row = connection.execute(query).one()._mapping
    for name, column in listed.filters.items():
        value = row[column]
        if name in listed.moments or value is None:
            continue
        for key in [name, *([f"{name}~"] if name in listed.like else [])]:
            result = client.request("GET", f"/{listing}?{key}={value}&with_count=true&all_tenants=1", status=200)
            (shown,) = (each for each in result.json.values() if isinstance(each, list))
            told = [MARK in result.text, world.sides.foreign[identifier] in result.text]
            if any(told) or result.json.get("count") not in (None, len(shown)):
                wrong.append(f"{key}={value}: {result.text}")
    assert wrong == []


def test_sums_count_ones_own_alone(world: World) -> None:
    client = world.service.member
    count, own = len(client.get("/volumes")["volumes"]), client.get("/volumes/summary")["volume-summary"]
    assert own["total_count"] == count
    assert client.get("/volumes/summary?all_tenants=1")["volume-summary"] == own
    assert client.get(f"/os-quota-sets/{ALICES}?usage=true")["quota_set"]["volumes"]["in_use"] == count
    assert client.get("/limits")["limits"]["absolute"]["totalVolumesUsed"] == count


def test_limits_do_not_tell_of_types_that_are_others_alone(world: World) -> None:
    client = world.service.member
    for path in (f"/os-quota-sets/{ALICES}", f"/os-quota-sets/{ALICES}/defaults"):
        told = client.get(path)["quota_set"]
        assert "volumes_own-type" in told
        assert f"volumes_{MARK}-type" not in told
    assert f"volumes_{MARK}-type" in world.service.admin.get(f"/os-quota-sets/{ALICES}")["quota_set"]


def test_a_reader_changes_nothing_of_its_own_project(world: World) -> None:
    before, wrong = world.state(), []
    for request in requests():
        if request.method != "GET" or "associate" in request.path:
            status, text = sent(world.service.reader, request.of(world.sides.own))
            if status not in (403, 404) and "show_image_metadata" not in str(request):
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []
    assert world.state() == before


def test_a_path_names_the_project_of_the_token_or_none(world: World) -> None:
    client, wrong = world.service.member, []
    for route in routes():
        for method in route.operations if route.path.startswith(f"{PROJECT_PART}/") else ():
            document = next(iter(DOCUMENTS.get((method, route.path.replace(PROJECT_PART, "/v3")), (None,))))
            request = Request(method, _with_fixed(route.path), document).of(world.sides.foreign)
            answers = [
                sent(client, replace(request, path=request.path.replace("{project_id}", project)))
                for project in (BOBS, "0" * 32)
            ]
            if answers[0] != answers[1] or answers[0][0] not in (400, *range(401, 405)):
                wrong.append(f"{request}: {answers}")
    assert wrong == []


def test_who_has_no_token_that_counts_gets_nothing(world: World) -> None:
    wrong = []
    for client in (world.service.nobody, Client(world.service, "unknown", ALICES)):
        for request in requests():
            status, text = sent(client, request.of(world.sides.own))
            if status != 401:
                wrong.append(f"{request}: {status} {text}")
    assert wrong == []
