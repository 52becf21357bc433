"""How the volume service is configured: per field a default, a unit, and what extremes do."""

from dataclasses import dataclass, field

from blockgw.grants import Grants

DEFAULT_TYPE = "__DEFAULT__"  # the name that Cinder gives it


@dataclass(frozen=True, slots=True)
class NbdAddress:
    """Where a gateway serves volumes."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class QuotaDefaults:
    """What a project may have that nobody set a quota for; -1: as much as it likes."""

    volumes: int = 10
    snapshots: int = 10
    gigabytes: int = 1000  # of volumes and snapshots
    backups: int = 10
    backup_gigabytes: int = 1000
    per_volume_gigabytes: int = -1  # of a single volume
    groups: int = 10  # there are none; clients expect the limit


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    gateways: tuple[NbdAddress, ...] = (NbdAddress("127.0.0.1", 10809),)
    public_url: str = ""  # what links begin with; empty: the address that the client used
    host: str = "holdfast@nbd#volumes"  # host@backend#pool, as administrators see it
    availability_zone: str = "nova"
    quotas: QuotaDefaults = QuotaDefaults()
    page_limit: int = 1000  # rows of a listing, whatever the client asks for
    backup_container: str = "volumes"  # below the project's place, unless the client names one
    grants: Grants = field(default_factory=lambda: Grants(b""))  # by which hosts are let in at the gateway
    message_days: int = 30  # until what is told of a failure is forgotten

    @property
    def service_host(self) -> str:
        """Return the host of the service, without the pool."""
        return self.host.partition("#")[0]
