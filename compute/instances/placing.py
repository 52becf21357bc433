"""Placing servers on hosts: what the scheduler decides, in the transaction that claims it. So no host gets too much."""

from collections.abc import Collection

from sqlalchemy import Connection

from compute.instances import aggregates, claims, hosts, server_groups, servers
from compute.instances.scheduler.candidates import Candidate, Demand, Group
from compute.instances.scheduler.choice import choose, why_not
from compute.instances.servers import Server
from compute.instances.settings import Settings
from compute.stored import Refused


class NoHost(Refused):
    """No host can have a server."""

    def __init__(self, why: str) -> None:
        super().__init__("No valid host was found. There are not enough hosts available.")
        self.why = why


def place(
    connection: Connection,
    settings: Settings,
    server: Server,
    now_us: int,
    tried: Collection[str] = (),
    preferred: str | None = None,
    host: str | None = None,
) -> str:
    """Claim a host for a server as it is to be, and return the host. Raise NoHost.

    `tried`: where it shall not be; `preferred`: where it is, and may stay; `host`: where an administrator wants it.
    """
    found = candidates(connection, settings, now_us, without=server.id if preferred is None else None)
    demand = demand_of(connection, settings, server, tried, preferred, host)
    chosen = choose(found, demand)
    if chosen is None:
        raise NoHost(why_not(found, demand))
    claims.take(connection, server.id, chosen.name, server.vcpus, server.memory_mib)
    return chosen.name


def candidates(connection: Connection, settings: Settings, now_us: int, without: str | None = None) -> list[Candidate]:
    """Return all hosts as they are."""
    known = hosts.every(connection)
    taken = claims.used(connection)
    groups = aggregates.every(connection)
    zones = aggregates.zones(connection, [each.name for each in known], settings.availability_zone)
    found = []
    for each in known:
        used = taken.get(each.name, claims.Used())
        found.append(
            Candidate(
                name=each.name,
                is_up=each.is_up(now_us),
                disabled=each.disabled,
                zone=zones[each.name],
                vcpus=each.state.vcpus if each.state else 0,
                memory_mib=each.state.memory_mib if each.state else 0,
                vcpus_used=used.vcpus,
                memory_mib_used=used.memory_mib,
                servers=frozenset(claims.of_host(connection, each.name) - {without}),
                aggregates=tuple(group.metadata for group in groups if each.name in group.hosts),
            )
        )
    return found


def demand_of(
    connection: Connection,
    settings: Settings,
    server: Server,
    tried: Collection[str],
    preferred: str | None,
    host: str | None,
) -> Demand:
    """Return what a server wants of a host."""
    hints = server.wish.get("hints", {})
    return Demand(
        vcpus=server.vcpus,
        memory_mib=server.memory_mib,
        vcpu_ratio=settings.vcpu_ratio,
        zone=server.wish.get("zone"),
        forced_host=None if preferred or tried else server.wish.get("forced_host"),
        host=host or server.wish.get("host"),
        tried=frozenset(tried),
        preferred=preferred,
        same_host=_ids(hints.get("same_host")),
        different_host=_ids(hints.get("different_host")),
        group=_group(connection, server.id),
        extra_specs=server.flavor.get("extra_specs", {}),
    )


def zone_of(connection: Connection, settings: Settings, host: str) -> str:
    """Return the zone of a host."""
    return aggregates.zones(connection, [host], settings.availability_zone)[host]


def _group(connection: Connection, server_id: str) -> Group | None:
    found = server_groups.of_server(connection, server_id)
    if found is None:
        return None
    others = [each for each in server_groups.members(connection, found.id) if each != server_id]
    placed = frozenset(servers.hosts_of(connection, others))
    return Group(policy=found.policy, servers=placed, most_per_host=found.most_per_host)


def _ids(hint: object) -> tuple[str, ...]:
    if isinstance(hint, str):
        return (hint,)
    return tuple(map(str, hint)) if isinstance(hint, list) else ()
