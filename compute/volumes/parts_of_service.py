"""The parts of the service as Cinder's operators know them: what answers, what decides, what does, what backs up.

They are all in one process; each has a row that says when it was seen last, and whether an administrator has taken it
out of service. A volume service out of service takes no new volumes, a backup service no new backups.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from compute.volumes.errors import NotFound
from compute.volumes.schema import services
from compute.volumes.settings import Settings

SCHEDULER, VOLUME, BACKUP = "cinder-scheduler", "cinder-volume", "cinder-backup"
SEEN_S = 20.0  # how often a process says that it is there
DOWN_S = 60.0  # without being seen


@dataclass(frozen=True, slots=True)
class Part:
    """One part at one host."""

    binary: str
    host: str
    disabled: bool
    disabled_reason: str | None
    updated_at_us: int

    def is_up(self, now_us: int) -> bool:
        """Tell whether it was seen of late."""
        return now_us - self.updated_at_us < DOWN_S * 1e6


def every(connection: Connection) -> list[Part]:
    """Return them all."""
    query = select(services).order_by(services.c.binary, services.c.host)
    return [Part(**row._mapping) for row in connection.execute(query)]


def see(connection: Connection, settings: Settings, now_us: int) -> None:
    """Note that the parts of this process are there."""
    known = {(each.binary, each.host) for each in every(connection)}
    for binary, host in _of(settings):
        if (binary, host) in known:
            connection.execute(
                update(services)
                .where(services.c.binary == binary, services.c.host == host)
                .values(updated_at_us=now_us)
            )
        else:
            row = {"binary": binary, "host": host, "disabled": False, "disabled_reason": None, "updated_at_us": now_us}
            connection.execute(insert(services).values(row))


def set_disabled(connection: Connection, binary: str, host: str, disabled: bool, reason: str | None) -> None:
    """Take a part out of service, or back. Raise NotFound."""
    query = update(services).where(services.c.binary == binary, services.c.host == host)
    if not connection.execute(query.values(disabled=disabled, disabled_reason=reason)).rowcount:
        raise NotFound("Service", f"{binary} on host {host}")


def is_disabled(connection: Connection, binary: str) -> bool:
    """Tell whether all parts of a kind are out of service."""
    found = [each.disabled for each in every(connection) if each.binary == binary]
    return bool(found) and all(found)


def _of(settings: Settings) -> tuple[tuple[str, str], ...]:
    host = settings.service_host.partition("@")[0]
    return ((SCHEDULER, host), (VOLUME, settings.service_host), (BACKUP, host))
