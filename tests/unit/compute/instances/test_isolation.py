"""Nobody reads, changes or learns of another project's servers, volumes, ports and images by any operation on servers.

The matrix is made from the routes and actions: each id in a path or document is in turn one's own, a stranger's, and of
something that is not there. One that takes a document and has none here fails the test.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from compute.instances.api.server_actions import ACTIONS
from compute.instances.api.server_routes import ROUTES
from tests.unit.compute.instances.service import Service
from tests.unit.compute.instances.surroundings import Client
from tests.unit.compute.isolation import Answer, Ids, Request, Sides, differences

MARK = "zz-foreign"
ONE = "servers/{server_id}"
FIXED = {"key": "key", "tag": "blue", "label": "net", "token": "none"}

_VOLUME = {"source_type": "volume", "destination_type": "volume", "uuid": "{volume_id}", "boot_index": 0}
_SNAPSHOT = {"source_type": "snapshot", "destination_type": "volume", "uuid": "{snapshot_id}", "boot_index": 0}
_NEW: Mapping[str, Any] = {"name": "x", "flavorRef": "1", "networks": "none"}
DOCUMENTS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("POST", "servers"): (
        {"server": {**_NEW, "imageRef": "{image_id}"}},
        {"server": {**_NEW, "block_device_mapping_v2": [_VOLUME]}},
        {"server": {**_NEW, "block_device_mapping_v2": [_SNAPSHOT]}},
        {"server": {**_NEW, "imageRef": "{image_id}", "networks": [{"uuid": "{network_id}"}]}},
        {"server": {**_NEW, "imageRef": "{image_id}", "networks": [{"port": "{port_id}"}]}},
        {"server": {**_NEW, "imageRef": "{image_id}"}, "os:scheduler_hints": {"group": "{group_id}"}},
    ),
    ("PUT", ONE): ({"server": {"name": "x"}},),
    ("POST", f"{ONE}/metadata"): ({"metadata": {"key": "x"}},),
    ("PUT", f"{ONE}/metadata"): ({"metadata": {"key": "x"}},),
    ("PUT", f"{ONE}/metadata/{{key}}"): ({"meta": {"key": "x"}},),
    ("PUT", f"{ONE}/tags"): ({"tags": ["x"]},),
    ("PUT", f"{ONE}/tags/{{tag}}"): (None,),
    ("POST", f"{ONE}/os-volume_attachments"): ({"volumeAttachment": {"volumeId": "{volume_id}"}},),
    ("PUT", f"{ONE}/os-volume_attachments/{{volume_id}}"): (
        {"volumeAttachment": {"volumeId": "{volume_id}", "delete_on_termination": True}},
    ),
    ("POST", f"{ONE}/os-interface"): (
        {"interfaceAttachment": {"net_id": "{network_id}"}},
        {"interfaceAttachment": {"port_id": "{port_id}"}},
    ),
    ("POST", f"{ONE}/remote-consoles"): ({"remote_console": {"protocol": "vnc", "type": "novnc"}},),
    ("POST", "os-server-external-events"): (
        {"events": [{"name": "volume-extended", "server_uuid": "{server_id}", "tag": "{volume_id}"}]},
    ),
}
ABOUT: Mapping[str, Any] = {
    "addSecurityGroup": {"name": "web"},
    "changePassword": {"adminPass": "x"},
    "createBackup": {"name": "x", "backup_type": "daily", "rotation": 1},
    "createImage": {"name": "x"},
    "evacuate": {},
    "lock": {},
    "migrate": {},
    "os-getConsoleOutput": {},
    "os-getSerialConsole": {"type": "serial"},
    "os-getVNCConsole": {"type": "novnc"},
    "os-migrateLive": {"host": None, "block_migration": "auto"},
    "os-resetState": {"state": "error"},
    "reboot": {"type": "HARD"},
    "rebuild": {"imageRef": "{image_id}"},
    "removeSecurityGroup": {"name": "web"},
    "rescue": {},
    "resize": {"flavorRef": "2"},
    "unshelve": {},
}


class World:
    """The service with things of two projects."""

    def __init__(self, directory: Path) -> None:
        self.service = service = Service(directory)
        own, foreign = self._side(service.member, "alice", "own"), self._side(service.stranger, "bob", MARK)
        missing = {name: f"{number:08x}-0000-4000-8000-000000000000" for number, name in enumerate(own, 1)}
        self.sides = Sides(own, foreign, missing, MARK)

    def _side(self, client: Client, token: str, name: str) -> Ids:
        """Return the ids of one thing of each kind, all of them with `name` in their attributes."""
        service = self.service
        network_id = service.network.put(token, name)
        server = service.make_server(
            client=client,
            name=f"{name}-server",
            networks=[{"uuid": network_id}],
            metadata={name: name},
            tags=[name],
        )
        group = {"server_group": {"name": name, "policy": "affinity"}}
        return {
            "server_id": server["id"],
            "volume_id": service.volumes.put(token),
            "snapshot_id": service.volumes.put_snapshot(token),
            "image_id": service.images.put(token, name=name),
            "network_id": network_id,
            "port_id": service.network.put_port(network_id, token),
            "group_id": client.post("/os-server-groups", group)["server_group"]["id"],
            "request_id": client.get(f"/servers/{server['id']}/os-instance-actions")["instanceActions"][0][
                "request_id"
            ],
        }


def requests() -> Iterator[Request]:
    """Yield every operation on servers, with a document of each kind."""
    for path, operations in ROUTES.items():
        whole = f"/v2.1/{path}"
        for name, value in FIXED.items():
            whole = whole.replace(f"{{{name}}}", value)
        for method in operations:
            if path == f"{ONE}/action":
                for action in ACTIONS:
                    yield Request(method, whole, {action: ABOUT.get(action)})
                continue
            if method in ("POST", "PUT"):
                assert (method, path) in DOCUMENTS, f"no document for {method} {path}"
            for document in DOCUMENTS.get((method, path), (None,)):
                yield Request(method, whole, document)


@pytest.mark.parametrize("role", ["member", "reader", "manager"])
def test_nothing_of_a_stranger_is_shown_or_changed(tmp_path: Path, role: str) -> None:
    world = World(tmp_path)
    held = {"member": ("member", "reader"), "reader": ("reader",), "manager": ("manager", "member", "reader")}[role]
    actor = world.service.client("alice", held, world.service.member.project_id)
    before = world.service.server(world.sides.foreign["server_id"])

    def send(request: Request) -> Answer:
        result = actor.request(request.method, request.path, request.document)
        world.service.work()
        return result.status_code, result.text

    found = [each for request in requests() for each in differences(send, request, world.sides)]
    # what a request for a new server or a rebuild names, and what is not there, is a bad request to Nova
    wrong = [each for each in found if "is not refused: (400" not in each]
    assert wrong == []
    assert world.service.server(world.sides.foreign["server_id"]) == before


def test_nobody_is_told_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    for request in requests():
        sent = request.of(world.sides.own)
        assert world.service.nobody.request(sent.method, sent.path, sent.document).status_code == 401, sent
