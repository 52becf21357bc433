"""Nobody reads, changes or learns of what is another project's: every operation, by every role and scope.

The matrix is made from the routes: each id in a path, query or document is in turn one's own, a stranger's, and of
something that is not there. A route that takes a document and has none here fails the test. Administrators are left
out, who may do everything, and so are services, which do for users what users ask for.
"""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from compute.network.api.routes import routes
from compute.network.api.served import SERVED, Served
from compute.network.schema import metadata
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind
from tests.unit.compute.isolation import Answer, Ids, Request, Sides, differences
from tests.unit.compute.network.service import ALICES, BOBS, Client, Service

MARK = "zz-foreign"  # in the names of all that is the stranger's
DOMAIN = Scope(ScopeKind.DOMAIN, "default", "Default", "default", "Default")
SCOPES = {"nothing": None, "a domain": DOMAIN, "the system": SYSTEM_SCOPE}
ACTORS = (  # role, and what it is in
    ("none", "nothing"),
    ("reader", "a project"),
    ("reader", "the system"),
    ("manager", "a domain"),
    ("member", "a project"),
)
HELD = {"none": (), "reader": ("reader",), "member": ("member", "reader"), "manager": ("manager", "member", "reader")}
OPEN = ("/", "/v2.0")  # what versions there are
# with 400
REFUSALS = ("requires admin privileges", "Running without keystone AuthN", "invalid subnet", "Cannot specify both")
FIXED = {"alias": "binding", "host": "h"}  # nobody's own
NAMES = {  # of the variable in the matrix, by path
    "networks": "network_id",
    "subnets": "subnet_id",
    "ports": "port_id",
    "security-groups": "group_id",
    "security-group-rules": "rule_id",
    "routers": "router_id",
    "floatingips": "floating_id",
}

_V6 = {"cidr": "fd00:9::/64", "ip_version": 6}
_ADDRESS = {"ip_address": "10.0.0.99"}
DOCUMENTS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("POST", "networks"): ({"network": {"name": "x"}}, {"network": {"name": "x", "project_id": "{project_id}"}}),
    ("POST", "subnets"): (
        {"subnet": {"network_id": "{network_id}", **_V6}},
        {"subnets": [{"network_id": "{network_id}", **_V6}]},
    ),
    ("POST", "ports"): (
        {"port": {"network_id": "{network_id}"}},
        {"port": {"network_id": "{network_id}", "security_groups": ["{group_id}"]}},
        {"port": {"network_id": "{network_id}", "fixed_ips": [{"subnet_id": "{subnet_id}"}]}},
        {"port": {"network_id": "{network_id}", "project_id": "{project_id}"}},
    ),
    ("POST", "security-groups"): ({"security_group": {"name": "x", "tenant_id": "{project_id}"}},),
    ("POST", "security-group-rules"): (
        {"security_group_rule": {"security_group_id": "{group_id}", "direction": "ingress"}},
        {
            "security_group_rule": {
                "security_group_id": "{group_id}",
                "direction": "ingress",
                "protocol": "tcp",
                "remote_group_id": "{group_id}",
            }
        },
    ),
    ("POST", "routers"): (
        {"router": {"name": "x", "project_id": "{project_id}"}},
        {"router": {"external_gateway_info": {"network_id": "{network_id}"}}},
    ),
    ("POST", "floatingips"): (
        {"floatingip": {"floating_network_id": "{network_id}"}},
        {"floatingip": {"floating_network_id": "{network_id}", "port_id": "{port_id}", "subnet_id": "{subnet_id}"}},
    ),
    ("PUT", "routers"): (
        {"router": {"name": "x"}},
        {"router": {"external_gateway_info": {"network_id": "{network_id}"}}},
    ),
    ("PUT", "interface"): (
        {"subnet_id": "{subnet_id}"},
        {"port_id": "{port_id}"},
        {"subnet_id": "{subnet_id}", "port_id": "{port_id}"},
    ),
    ("PUT", "floatingips"): ({"floatingip": {"description": "x"}}, {"floatingip": {"port_id": "{port_id}"}}),
    ("PUT", "networks"): ({"network": {"name": "x"}}, {"network": {"shared": True}}),
    ("PUT", "subnets"): ({"subnet": {"name": "x"}},),
    ("PUT", "ports"): (
        {"port": {"name": "x"}},
        {"port": {"security_groups": ["{group_id}"]}},
        {"port": {"fixed_ips": [{"subnet_id": "{subnet_id}"}]}},
        {"port": {"fixed_ips": [_ADDRESS]}},
        {"port": {"binding:host_id": "h"}},
    ),
    ("PUT", "security-groups"): ({"security_group": {"description": "x"}},),
    ("PUT", "quotas"): ({"quota": {"network": 1}},),
    ("PUT", "agents"): ({"agent": {"description": "x"}},),
    ("PUT", "hosts"): ({"up": ["{port_id}"], "configurations": {}},),
    ("PUT", "tags"): ({"tags": ["x"]},),
    ("POST", "tags"): ({"tags": ["x"]},),
    ("PUT", "tag"): ({},),
}


class World:
    """A service with things of two projects."""

    def __init__(self, directory: Path) -> None:
        self.service = Service(directory)
        outer = self.service.admin.make_network("203.0.113.0/24", **{"router:external": True})
        own, foreign = (
            self._side(client, name, outer)
            for client, name in ((self.service.member, "own"), (self.service.stranger, MARK))
        )
        missing = {name: str(uuid.UUID(int=number)) for number, name in enumerate(own, 1)}
        missing |= {"project_id": "0" * 32}
        self.sides = Sides(own, foreign, missing, MARK)
        told: dict[str, Any] = {"up": [], "configurations": {}}
        self.service.compute.put("/internal/hosts/h", told, 204)
        (agent,) = self.service.admin.get("/agents")["agents"]
        self.agent_id = str(agent["id"])

    def _side(self, client: Client, name: str, outer: Any) -> Ids:
        """Return the ids of one thing of each kind, all of them with `name` in their attributes."""
        network = client.make_network("10.0.0.0/24", name=name, description=name)
        group = client.make("security_group", name=name, description=name)
        about = {"security_group_id": group["id"], "direction": "ingress", "description": name}
        rule = client.make("security_group_rule", protocol="udp", **about)
        port = client.make_port(network, name=name, description=name, security_groups=[group["id"]], tags=[name])
        client.put(f"/networks/{network['id']}/tags", {"tags": [name]})
        way_out = {"external_gateway_info": {"network_id": outer["id"]}}
        router = client.make("router", name=name, description=name, **way_out)
        client.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": network["subnets"][0]})
        leading = {"floating_network_id": outer["id"], "port_id": port["id"]}
        floating = client.make("floatingip", description=name, **leading)
        return {
            "network_id": network["id"],
            "subnet_id": network["subnets"][0],
            "port_id": port["id"],
            "group_id": group["id"],
            "rule_id": rule["id"],
            "router_id": router["id"],
            "floating_id": floating["id"],
            "project_id": client.project_id,
        }

    def actor(self, role: str, scope: str) -> Client:
        """Return somebody with a role in the project `own`, or elsewhere."""
        name = f"{role} of {scope}"
        client = self.service.client(name, HELD[role], ALICES)
        if scope != "a project":
            self.service.rescope(name, SCOPES[scope])
        return client

    def state(self, *of: str) -> dict[str, list[str]]:
        """Return all rows in which one of some texts is."""
        found = {}
        with self.service.database.reading() as connection:
            for table in metadata.sorted_tables:
                rows = sorted(repr(row) for row in connection.execute(select(table)))
                found[table.name] = [row for row in rows if any(text in row for text in of)]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def operations() -> Iterator[tuple[str, str, str]]:
    """Yield method, path with the matrix's variables, and the kind of document that it takes."""
    for route in routes():
        if route.path in OPEN:
            continue
        parts = route.path.strip("/").split("/")
        path = route.path.replace("{identifier}", f"{{{NAMES.get(parts[1], '')}}}").replace("{tag}", "zz")
        kind = {"{tag}": "tag", "tags": "tags"}.get(parts[-1], parts[1])
        kind = "interface" if parts[-1].endswith("_router_interface") else kind
        for method in route.operations:
            yield method, path, kind


def requests(agent_id: str) -> list[Request]:
    """Return a request for every operation, and those that name strangers' things in other ways."""
    found = [
        Request(method, path, document)
        for method, path, kind in operations()
        for document in DOCUMENTS.get((method, kind), (None,))
    ]
    for served in SERVED:
        found += _listings(served)
    fixed = {**FIXED, "agent_id": agent_id}
    return [Request(each.method, _with(each.path, fixed), each.document) for each in found]


def _with(path: str, fixed: Mapping[str, str]) -> str:
    for name, value in fixed.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def _listings(served: Served) -> Iterator[Request]:
    path, own = f"/v2.0/{served.path}", NAMES[served.path]
    yield Request("GET", f"{path}?limit=1&marker={{{own}}}")
    yield Request("GET", f"{path}?limit=1&marker={{{own}}}&page_reverse=true")
    for query in (f"id={{{own}}}", "project_id={project_id}", "tenant_id={project_id}"):
        yield Request("GET", f"{path}?{query}")
    if served.noun.tagged:
        yield Request("GET", f"{path}?tags-any={MARK}")
        yield Request("GET", f"{path}?not-tags=nothing")
    if served.path == "ports":
        for query in ("network_id={network_id}", "security_groups={group_id}", "fixed_ips=subnet_id%3D{subnet_id}"):
            yield Request("GET", f"{path}?{query}")
    if served.path == "security-group-rules":
        yield Request("GET", f"{path}?security_group_id={{group_id}}")


def sent(client: Client, request: Request) -> Answer:
    result = client.request(request.method, request.path, request.document)
    is_refusal = result.status_code == 400 and any(words in result.text for words in REFUSALS)
    return 403 if is_refusal else result.status_code, result.text


def test_the_matrix_has_every_operation() -> None:
    taking = [(method, kind) for method, _path, kind in operations() if method in ("POST", "PUT", "PATCH")]
    assert set(taking) - DOCUMENTS.keys() == set()
    paths = [path for _method, path, _kind in operations()]
    assert not [path for path in paths if "{}" in path]


def test_what_the_matrix_asks_for_is_there(world: World) -> None:
    wrong = []
    for request in requests(world.agent_id):
        if request.method == "GET" and "?" not in request.path and not request.path.endswith(("/zz", "/hosts/h")):
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
        for request in requests(world.agent_id)
        for difference in differences(lambda request: sent(client, request), request, world.sides)
    ]
    assert found == []
    assert world.state(*foreign) == before
