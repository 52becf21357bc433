"""How the network service is configured: per field a default, a unit, and what extremes do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuotaDefaults:
    """What a project may have that nobody set a quota for; -1: as much as it likes."""

    network: int = 100
    subnet: int = 100
    port: int = 500
    security_group: int = 10
    security_group_rule: int = 100
    router: int = 10
    floatingip: int = 50


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    public_url: str = ""  # what links begin with; empty: the address that the client used
    dns_domain: str = "novalocal"  # of guests' names
    mtu: int = 1450  # bytes of the longest packet of networks
    availability_zone: str = "nova"
    quotas: QuotaDefaults = QuotaDefaults()
    default_cidr: str = ""  # of the network that is there from the beginning; empty: there is none
    external_cidr: str = ""  # of that by which it has a way out from the beginning; empty: it has none
    host_users: frozenset[str] = frozenset()  # ids of the users as whom hosts ask for what they shall have
    silent_s: float = 75.0  # after which a host that has not told of itself is shown as down
    heartbeat_s: float = 30.0  # of hosts; noted this often, at most
    wait_most_s: float = 60.0  # a host's request is answered by then, whether anything has changed or not
    pairs_most: int = 10  # allowed address pairs of a port
    nameservers_most: int = 5  # of a subnet
    routes_most: int = 20
    fixed_ips_most: int = 20  # of a port
