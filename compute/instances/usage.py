"""How long servers were there, and how large they were: also those that are gone.

A row begins with a server, ends with it, and another one begins when it gets another flavor. So what a project has used
can be told for any time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, or_, select, update

from compute.instances.flavors import Flavor
from compute.instances.schema.usage import server_usages
from compute.records import columns_of, new_id, record_of

_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A server with one flavor."""

    id: str
    server_id: str
    project_id: str
    user_id: str
    name: str
    flavor: str
    vcpus: int
    memory_mib: int
    disk_gb: int
    began_at_us: int
    ended_at_us: int | None = None

    def hours(self, start_us: int, stop_us: int) -> float:
        """Return how long it was there within a time."""
        until_us = stop_us if self.ended_at_us is None else min(stop_us, self.ended_at_us)
        return max(0, until_us - max(start_us, self.began_at_us)) / _HOUR_US


def begin(
    connection: Connection, server_id: str, project_id: str, user_id: str, name: str, flavor: Flavor, now_us: int
) -> None:
    """Note that a server is there from now on, or has another flavor from now on."""
    end(connection, server_id, now_us)
    row = Usage(
        id=new_id(),
        server_id=server_id,
        project_id=project_id,
        user_id=user_id,
        name=name,
        flavor=flavor.name,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        disk_gb=flavor.disk_gb + flavor.ephemeral_gb,
        began_at_us=now_us,
    )
    connection.execute(insert(server_usages).values(columns_of(server_usages, row)))


def end(connection: Connection, server_id: str, now_us: int) -> None:
    """Note that a server is there no more."""
    query = update(server_usages).where(server_usages.c.server_id == server_id, server_usages.c.ended_at_us.is_(None))
    connection.execute(query.values(ended_at_us=now_us))


def within(connection: Connection, start_us: int, stop_us: int, project_id: str | None = None) -> Sequence[Usage]:
    """Return what was there within a time, of a project or of all, the oldest first."""
    query = select(server_usages).where(
        server_usages.c.began_at_us < stop_us,
        or_(server_usages.c.ended_at_us.is_(None), server_usages.c.ended_at_us >= start_us),
    )
    if project_id is not None:
        query = query.where(server_usages.c.project_id == project_id)
    rows = connection.execute(query.order_by(server_usages.c.began_at_us, server_usages.c.id))
    return [record_of(Usage, row) for row in rows]
