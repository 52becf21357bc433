"""What servers take on hosts. It is counted in the transaction that adds to it, so no host is given out twice."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, distinct, func, insert, select

from compute.instances.schema.servers import claims

SERVER, MOVE = "server", "move"  # what it is; what it was, and may go back to


@dataclass(frozen=True, slots=True)
class Used:
    """What is taken of a host."""

    vcpus: int = 0
    memory_mib: int = 0
    servers: int = 0


def used(connection: Connection) -> dict[str, Used]:
    """Return what is taken, by host."""
    query = select(
        claims.c.host,
        func.sum(claims.c.vcpus).label("vcpus"),
        func.sum(claims.c.memory_mib).label("memory_mib"),
        func.count(distinct(claims.c.server_id)).label("servers"),
    ).group_by(claims.c.host)
    return {row.host: Used(int(row.vcpus), int(row.memory_mib), row.servers) for row in connection.execute(query)}


def of_host(connection: Connection, host: str) -> set[str]:
    """Return the servers that take something of a host."""
    return set(connection.scalars(select(claims.c.server_id).where(claims.c.host == host)).all())


def take(connection: Connection, server_id: str, host: str, vcpus: int, memory_mib: int, purpose: str = SERVER) -> None:
    """Note what a server takes of a host, in place of what it took for the same purpose."""
    release(connection, server_id, purpose)
    row = {"server_id": server_id, "host": host, "purpose": purpose, "vcpus": vcpus, "memory_mib": memory_mib}
    connection.execute(insert(claims).values(row))


def release(connection: Connection, server_id: str, purpose: str | None = None) -> None:
    """Note that a server takes nothing any more, or nothing for a purpose."""
    query = delete(claims).where(claims.c.server_id == server_id)
    connection.execute(query if purpose is None else query.where(claims.c.purpose == purpose))
