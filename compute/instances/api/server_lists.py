"""Listings of servers: whose, which, in which order, from where on.

Only administrators choose by everything; from others most filters are let be, as Nova does.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, func, or_, select

from cluster.controlplane.answer import Answer, ok
from compute.instances import cards
from compute.instances.api import server_documents
from compute.instances.api.forms import truth
from compute.instances.api.lists import limit_of
from compute.instances.api.requests import Request, at_least, is_admin, own_target
from compute.instances.errors import Forbidden, Invalid
from compute.instances.moments import parse
from compute.instances.schema.servers import server_tags, servers
from compute.instances.servers import Server
from compute.instances.statuses import vm_states_of
from compute.records import record_of

_PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir", "all_tenants", "project_id", "tenant_id"))
_ANYBODYS = frozenset(("reservation_id", "name", "status", "image", "flavor", "ip", "ip6", "changes-since", "locked"))
_ANYBODYS_TOO = frozenset(("changes-before", "tags", "tags-any", "not-tags", "not-tags-any"))
_ANYBODYS_SINCE_83 = frozenset(
    (
        "availability_zone",
        "config_drive",
        "key_name",
        "created_at",
        "launched_at",
        "terminated_at",
        "power_state",
        "task_state",
        "vm_state",
        "progress",
        "user_id",
    )
)
_COLUMNS: Mapping[str, str] = {
    "reservation_id": "reservation_id",
    "image": "image_id",
    "image_ref": "image_id",
    "flavor": "flavor_id",
    "uuid": "id",
    "host": "host",
    "node": "host",
    "hypervisor_hostname": "host",
    "availability_zone": "availability_zone",
    "key_name": "key_name",
    "user_id": "user_id",
    "vm_state": "vm_state",
    "task_state": "task_state",
    "description": "description",
    "hostname": "hostname",
    "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6",
    "root_device_name": "root_device_name",
}
_NUMBERS: Mapping[str, str] = {"power_state": "power", "launch_index": "launch_index", "progress": "progress"}
_SORT_KEYS: Mapping[str, str] = {
    "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6",
    "auto_disk_config": "disk_config",
    "availability_zone": "availability_zone",
    "config_drive": "config_drive",
    "created_at": "created_at_us",
    "display_description": "description",
    "display_name": "name",
    "host": "host",
    "hostname": "hostname",
    "image_ref": "image_id",
    "instance_type_id": "flavor_id",
    "kernel_id": "created_at_us",
    "key_name": "key_name",
    "launch_index": "launch_index",
    "launched_at": "launched_at_us",
    "locked": "locked_by",
    "locked_by": "locked_by",
    "node": "host",
    "power_state": "power",
    "progress": "progress",
    "project_id": "project_id",
    "ramdisk_id": "created_at_us",
    "root_device_name": "root_device_name",
    "task_state": "task_state",
    "terminated_at": "deleted_at_us",
    "updated_at": "updated_at_us",
    "user_id": "user_id",
    "uuid": "id",
    "vm_state": "vm_state",
}
_ONLY_ADMINISTRATORS_SORT = frozenset(("host", "node"))
_RULE = "os_compute_api:servers:"

Condition = Callable[[Request, str], "ColumnElement[bool]"]
Chosen = Callable[[Server], bool]


def list_brief(context: Request) -> Answer:
    """GET /v2.1/servers."""
    found = _page(context, "index")
    return _answer(context, found, [server_documents.brief(context, each) for each in found])


def list_detailed(context: Request) -> Answer:
    """GET /v2.1/servers/detail."""
    found = _page(context, "detail")
    return _answer(context, found, server_documents.detailed(context, found))


def _answer(context: Request, found: Sequence[Server], documents: list[dict[str, Any]]) -> Answer:
    document: dict[str, Any] = {"servers": documents}
    if found and len(found) == limit_of(context):
        kept = [(name, each) for name, values in context.query_lists.items() for each in values if name != "marker"]
        query = urlencode([*kept, ("marker", found[-1].id)])
        href = f"{context.base_url}{context.request.path}?{query}"
        document["servers_links"] = [{"rel": "next", "href": href}]
    return ok(document)


def _page(context: Request, what: str) -> list[Server]:
    context.enforce(f"{_RULE}{what}", own_target(context))
    limit = limit_of(context)
    query, chosen = _query(context, what)
    for column, descending in _order(context):
        query = query.order_by(column.desc() if descending else column.asc())
    rows = [record_of(Server, row) for row in context.connection.execute(query)]
    found = [each for each in rows if all(chooses(each) for chooses in chosen)]
    marker = context.query.get("marker")
    if marker:
        places = [index for index, each in enumerate(found) if each.id == marker]
        if not places:
            raise Invalid(f"marker [{marker}] not found")
        found = found[places[0] + 1 :]
    return found[:limit]


def _query(context: Request, what: str) -> "tuple[Select[Any], list[Chosen]]":
    query = select(servers)
    for condition in _of_projects(context, what):
        query = query.where(condition)
    chosen = list[Chosen]()
    wants_deleted = _wants_deleted(context)
    if wants_deleted is not None:
        is_there = servers.c.deleted_at_us.is_(None)
        query = query.where(~is_there if wants_deleted else is_there)
    for name, values in context.query_lists.items():
        if name in _PAGING or name == "deleted" or not _may_choose(context, name):
            continue
        if name in ("name", "display_name"):
            chosen.append(_named(values[-1]))
        elif name in ("ip", "ip6"):
            if name == "ip" or at_least(context, 5):
                chosen.append(_addressed(context, values[-1], 4 if name == "ip" else 6))
        else:
            also = _condition(context, name, values)
            query = query if also is None else query.where(also)
    return query, chosen


def _of_projects(context: Request, what: str) -> "list[ColumnElement[bool]]":
    wanted = context.query.get("project_id") or context.query.get("tenant_id")
    everywhere = context.query.get("all_tenants")
    if everywhere is not None and truth(everywhere or "true", "all_tenants"):
        context.enforce(f"{_RULE}{what}:get_all_tenants")
        return [servers.c.project_id == wanted] if wanted else []
    return [servers.c.project_id == context.project_id]


def _wants_deleted(context: Request) -> bool | None:
    """Tell whether deleted servers are meant; None: both."""
    if context.query.get("status", "").upper() == "DELETED":
        if not is_admin(context):
            raise Forbidden("Only administrators may list deleted servers.")
        return True
    if "deleted" in context.query and is_admin(context):
        return truth(context.query["deleted"], "deleted")
    changes = {"changes-since", "changes-before"} & set(context.query)
    return None if changes else False


def _may_choose(context: Request, name: str) -> bool:
    if name in _ANYBODYS or name in _ANYBODYS_TOO:
        return True
    if name in _ANYBODYS_SINCE_83 and at_least(context, 83):
        return True
    return context.allows("os_compute_api:servers:allow_all_filters")


def _condition(context: Request, name: str, values: Sequence[str]) -> "ColumnElement[bool] | None":
    text = values[-1]
    if name == "status":
        return _of_statuses(values)
    if name in _COLUMNS:
        if name == "image":
            text = text.rstrip("/").rpartition("/")[2]
        return servers.c[_COLUMNS[name]] == text
    if name in _NUMBERS:
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise Invalid(f"Invalid input for field/attribute {name}. Value: {text}. It is no number.")
        return servers.c[_NUMBERS[name]] == int(text)
    if name in ("changes-since", "changes-before"):
        return _changed(name, text)
    if name == "locked" and at_least(context, 73):
        is_locked = servers.c.locked_by.is_not(None)
        return is_locked if truth(text, "locked") else ~is_locked
    if name == "config_drive":
        return servers.c.config_drive == truth(text or "false", "config_drive")
    if name in ("tags", "tags-any", "not-tags", "not-tags-any") and at_least(context, 26):
        return _tagged(name, text)
    return None


def _of_statuses(values: Sequence[str]) -> "ColumnElement[bool]":
    ways = list[ColumnElement[bool]]()
    for text in values:
        states, tasks = vm_states_of(text)
        if tasks:
            ways.append(servers.c.vm_state.in_(states) & servers.c.task_state.in_(tasks))
        else:
            ways.append(servers.c.vm_state.in_(states))
    return or_(*ways)


def _changed(name: str, text: str) -> "ColumnElement[bool]":
    try:
        moment_us = parse(text)
    except ValueError:
        raise Invalid(f"Invalid input for query parameters {name}. Value: {text}.") from None
    changed_us = func.coalesce(servers.c.updated_at_us, servers.c.created_at_us)
    return changed_us >= moment_us if name == "changes-since" else changed_us <= moment_us


def _tagged(name: str, text: str) -> "ColumnElement[bool]":
    tags = sorted(set(text.split(",")))
    has = select(func.count()).where(server_tags.c.server_id == servers.c.id, server_tags.c.tag.in_(tags))
    count = has.scalar_subquery()
    return {
        "tags": count == len(tags),
        "tags-any": count > 0,
        "not-tags": count < len(tags),
        "not-tags-any": count == 0,
    }[name]


def _named(pattern: str) -> Chosen:
    try:
        compiled = re.compile(pattern[:255], re.IGNORECASE)
    except re.error:
        raise Invalid(f"Invalid filter value for name: {pattern}") from None
    return lambda server: compiled.search(server.name) is not None


def _addressed(context: Request, pattern: str, version: int) -> Chosen:
    try:
        compiled = re.compile(pattern[:255])
    except re.error:
        raise Invalid(f"Invalid filter value for ip: {pattern}") from None

    def chooses(server: Server) -> bool:
        for card in cards.of_server(context.connection, server.id):
            addresses = [address for address, _subnet in card.port.fixed_ips] if card.port else []
            if any((":" in each) == (version == 6) and compiled.search(each) for each in addresses):
                return True
        return False

    return chooses


def _order(context: Request) -> "list[tuple[Any, bool]]":
    keys = context.query_lists.get("sort_key") or ["created_at"]
    ways = context.query_lists.get("sort_dir") or []
    found = []
    for index, key in enumerate(keys):
        if key not in _SORT_KEYS:
            raise Invalid(f"Invalid input for query parameters sort_key. Value: {key}.")
        if key in _ONLY_ADMINISTRATORS_SORT and not is_admin(context):
            raise Forbidden(f"Only administrators can sort servers by {sorted(_ONLY_ADMINISTRATORS_SORT)}")
        way = ways[index] if index < len(ways) else (ways[-1] if ways else "desc")
        if way not in ("asc", "desc"):
            raise Invalid(f"Invalid input for query parameters sort_dir. Value: {way}.")
        column: Any = servers.c[_SORT_KEYS[key]]
        if column.nullable:
            column = func.coalesce(column, 0 if column.type.python_type is int else "")
        found.append((column, way == "desc"))
    return [*found, (servers.c.id, found[-1][1])]
