"""Servers, as the database has them.

What is done to a server is an operation of it, one at a time. What is asked for meanwhile is noted in the rows (a
deletion, disks and ports that come or go), and begun when the one under way has ended (`settle`).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from compute.instances import block_devices, cards, claims, server_groups, usage
from compute.instances.errors import NotFound, Unfit
from compute.instances.flavors import Flavor
from compute.instances.schema.servers import server_tags, servers
from compute.instances.statuses import Power, Task, VmState, status_of
from compute.operations import journal
from compute.operations.table import operations
from compute.records import IDS_PER_QUERY, columns_of, record_of

SUBJECT = "server"
DELETE, DEVICES = "delete", "devices"  # kinds of operations that others end with
KEPT_US = 24 * 3_600_000_000  # for which the row of a deleted server stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server."""

    id: str
    project_id: str
    user_id: str
    name: str
    hostname: str
    flavor_id: str
    flavor: Mapping[str, Any]
    vcpus: int
    memory_mib: int
    disk_gb: int
    reservation_id: str
    created_at_us: int
    vm_state: str = VmState.BUILDING
    task_state: str | None = Task.SCHEDULING
    power: int = Power.NONE
    description: str | None = None
    host: str | None = None
    old_host: str | None = None  # where it was before a resize that nobody has confirmed
    availability_zone: str | None = None
    old_flavor: Mapping[str, Any] | None = None
    old_vm_state: str | None = None
    image_id: str | None = None
    image: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    key_name: str | None = None
    key_data: str | None = None
    user_data: str | None = None
    config_drive: bool = False
    disk_config: str = "MANUAL"
    access_ipv4: str | None = None
    access_ipv6: str | None = None
    security_groups: Sequence[str] = ()
    wish: Mapping[str, Any] = field(default_factory=dict)
    locked_by: str | None = None
    locked_reason: str | None = None
    fault: Mapping[str, Any] | None = None
    progress: int = 0
    launch_index: int = 0
    root_device_name: str | None = None
    rescue_image_id: str | None = None
    subnames: int = 0
    deletion_wanted: bool = False
    launched_at_us: int | None = None
    deleted_at_us: int | None = None
    updated_at_us: int | None = None

    @property
    def status(self) -> str:
        """Return what clients see."""
        return status_of(self.vm_state, self.task_state)

    @property
    def has_agent(self) -> bool:
        """Tell whether its image says that QEMU's agent runs in the guest."""
        value = self.image.get("properties", {}).get("hw_qemu_guest_agent", "")
        return str(value).lower() in ("yes", "true", "1")

    @property
    def kind(self) -> Flavor:
        """Return its flavor, as it was when it got it."""
        return Flavor(**self.flavor)


def get(connection: Connection, server_id: str) -> Server:
    """Return a server that is there. Raise NotFound."""
    found = find(connection, server_id)
    if found is None or found.deleted_at_us is not None:
        raise NotFound("Instance", server_id)
    return found


def find(connection: Connection, server_id: str) -> Server | None:
    """Return a server, also one that was deleted not long ago; None: there is none."""
    row = connection.execute(select(servers).where(servers.c.id == server_id)).one_or_none()
    return None if row is None else record_of(Server, row)


def every(connection: Connection) -> list[Server]:
    """Return all servers that are there."""
    query = select(servers).where(servers.c.deleted_at_us.is_(None)).order_by(servers.c.created_at_us, servers.c.id)
    return [record_of(Server, row) for row in connection.execute(query)]


def of_host(connection: Connection, host: str) -> list[Server]:
    """Return the servers on a host."""
    query = select(servers).where(servers.c.deleted_at_us.is_(None), servers.c.host == host)
    return [record_of(Server, row) for row in connection.execute(query.order_by(servers.c.created_at_us))]


def hosts_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, str]:
    """Return where servers are that have a host."""
    found: dict[str, str] = {}
    for start in range(0, len(server_ids), IDS_PER_QUERY):
        some = server_ids[start : start + IDS_PER_QUERY]
        query = select(servers.c.id, servers.c.host).where(servers.c.id.in_(some), servers.c.host.is_not(None))
        found |= {row.id: row.host for row in connection.execute(query.where(servers.c.deleted_at_us.is_(None)))}
    return found


def add(connection: Connection, server: Server, tags: Collection[str], group_id: str | None) -> Server:
    """Store a new server."""
    connection.execute(insert(servers).values(columns_of(servers, server)))
    set_tags(connection, server.id, tags)
    if group_id is not None:
        server_groups.join(connection, group_id, server.id)
    usage.begin(
        connection,
        server.id,
        server.project_id,
        server.user_id,
        server.name,
        server.kind,
        server.created_at_us,
    )
    return server


def change(connection: Connection, server_id: str, now_us: int, **columns: Any) -> None:
    """Change columns of a server."""
    connection.execute(update(servers).where(servers.c.id == server_id).values(**columns, updated_at_us=now_us))


def remove(connection: Connection, server: Server, now_us: int) -> None:
    """Note that a server is gone, with all it had."""
    for each in block_devices.of_server(connection, server.id):
        block_devices.remove(connection, each.id)
    for card in cards.of_server(connection, server.id):
        cards.remove(connection, card.id)
    claims.release(connection, server.id)
    server_groups.leave(connection, server.id)
    usage.end(connection, server.id, now_us)
    change(
        connection,
        server.id,
        now_us,
        vm_state=VmState.DELETED,
        task_state=None,
        power=Power.NONE,
        deleted_at_us=now_us,
        user_data=None,
        deletion_wanted=False,
    )


def sweep(connection: Connection, now_us: int) -> None:
    """Forget servers that were deleted long ago."""
    connection.execute(delete(servers).where(servers.c.deleted_at_us < now_us - KEPT_US))


def require(server: Server, action: str, vm_states: Collection[str], tasks: Collection[str | None] = (None,)) -> None:
    """Raise Unfit unless a server is in one of some states; empty: any. The same for what is done to it."""
    if vm_states and server.vm_state not in vm_states:
        raise Unfit(action, server.id, "vm_state", server.vm_state)
    if tasks and server.task_state not in tasks:
        raise Unfit(action, server.id, "task_state", str(server.task_state))


def is_busy(connection: Connection, server_id: str) -> bool:
    """Tell whether an operation of a server is under way."""
    query = select(operations.c.id).where(operations.c.subject == f"{SUBJECT}:{server_id}")
    return connection.scalar(query) is not None


def settle(connection: Connection, server_id: str, now_us: int, request_id: str) -> str | None:
    """Begin what the rows of a server ask for, and return the operation's id; None: nothing, or nothing yet."""
    server = find(connection, server_id)
    if server is None or server.deleted_at_us is not None or is_busy(connection, server_id):
        return None
    kind = DELETE if server.deletion_wanted else DEVICES if _has_changes(connection, server_id) else None
    if kind is None:
        return None
    return journal.note(connection, now_us, kind, (SUBJECT, server_id), server.project_id, request_id)


def fault_of(why: str, now_us: int, code: int = 500, details: str = "") -> dict[str, Any]:
    """Return a fault, as it is kept."""
    return {"code": code, "message": why[:255], "details": details, "created_us": now_us}


def hostname_of(name: str, server_id: str) -> str:
    """Return what a server calls itself, by its name."""
    cleaned = re.sub(r"[^a-z0-9.-]", "", name.replace("_", "-").replace(" ", "-").lower())
    return cleaned.strip(".-")[:63].rstrip(".-") or f"server-{server_id}"


def set_tags(connection: Connection, server_id: str, tags: Collection[str]) -> None:
    """Have a server have these tags."""
    connection.execute(delete(server_tags).where(server_tags.c.server_id == server_id))
    if tags:
        connection.execute(insert(server_tags), [{"server_id": server_id, "tag": tag} for tag in sorted(set(tags))])


def tags_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the tags of servers."""
    found: dict[str, list[str]] = {each: [] for each in server_ids}
    for start in range(0, len(server_ids), IDS_PER_QUERY):
        some = server_ids[start : start + IDS_PER_QUERY]
        query = select(server_tags).where(server_tags.c.server_id.in_(some)).order_by(server_tags.c.tag)
        for row in connection.execute(query):
            found[row.server_id].append(row.tag)
    return found


def _has_changes(connection: Connection, server_id: str) -> bool:
    return block_devices.has_changes(connection, server_id) or cards.has_changes(connection, server_id)
