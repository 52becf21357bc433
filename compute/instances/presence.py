"""Which servers there are, for those who count them: quotas, hosts."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from compute.instances.schema.servers import servers


@dataclass(frozen=True, slots=True)
class Sum:
    """What servers are together."""

    instances: int = 0
    cores: int = 0
    ram: int = 0  # MiB


def of_project(connection: Connection, project_id: str, user_id: str | None = None) -> Sum:
    """Return what the servers of a project are together, or those of one of its users."""
    query = select(func.count(), func.sum(servers.c.vcpus), func.sum(servers.c.memory_mib)).where(
        servers.c.project_id == project_id, servers.c.deleted_at_us.is_(None)
    )
    if user_id is not None:
        query = query.where(servers.c.user_id == user_id)
    count, cores, ram = connection.execute(query).one()
    return Sum(int(count), int(cores or 0), int(ram or 0))


def on_host(connection: Connection, host: str) -> list[tuple[str, str]]:
    """Return the servers on a host: id and name."""
    query = select(servers.c.id, servers.c.name).where(servers.c.host == host, servers.c.deleted_at_us.is_(None))
    return [(row.id, row.name) for row in connection.execute(query.order_by(servers.c.created_at_us, servers.c.id))]
