"""How the compute service is configured: per field a default, a unit, and what extremes do."""

from dataclasses import dataclass, field

from cryptography.fernet import Fernet

from blockgw.grants import Grants


@dataclass(frozen=True, slots=True)
class QuotaDefaults:
    """What a project may have that nobody set a quota for; -1: as much as it likes."""

    instances: int = 10
    cores: int = 20
    ram: int = 51_200  # MiB
    key_pairs: int = 100  # of a user
    server_groups: int = 10
    server_group_members: int = 10
    metadata_items: int = 128  # of a server


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Where a host's agent is asked."""

    name: str  # of the host
    url: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    public_url: str = ""  # what links begin with; empty: the address that the client used
    availability_zone: str = "nova"  # of hosts that no aggregate gives another one
    quotas: QuotaDefaults = QuotaDefaults()
    page_limit: int = 1000  # rows of a listing, whatever the client asks for
    agents: tuple[AgentAddress, ...] = ()
    vcpu_ratio: float = 16.0  # virtual CPUs a core may be given out as
    grants: Grants = field(default_factory=lambda: Grants(bytes(32)))  # by which guests come to disks of their own
    # for users' tokens, which operations keep until they have made what is the user's
    seal: Fernet = field(default_factory=lambda: Fernet(Fernet.generate_key()))
    shutdown_s: float = 20.0  # for which a guest is let end by itself; then it is turned off
    image_format: str = "raw"  # of images of servers' disks; qcow2 has no room for what is empty
    gateway_host: str = "127.0.0.1"  # where guests reach disks of their own
    gateway_port: int = 10809
    console_url: str = "http://127.0.0.1:9001"  # where the console is, for links to guests' screens
    user_data_limit: int = 65_535  # characters of base64
    name_limit: int = 255
