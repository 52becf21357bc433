"""What is decided over: hosts as they are, and what a server wants. Values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One host."""

    name: str
    is_up: bool
    disabled: bool
    zone: str
    vcpus: int
    memory_mib: int
    vcpus_used: int = 0
    memory_mib_used: int = 0
    servers: frozenset[str] = frozenset()
    aggregates: tuple[Mapping[str, str], ...] = ()  # their metadata

    @property
    def memory_free_mib(self) -> int:
        """Return what no server takes."""
        return self.memory_mib - self.memory_mib_used


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The server group that a server is in."""

    policy: str
    servers: frozenset[str] = frozenset()  # without the server itself
    most_per_host: int = 1  # with anti-affinity


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a server wants of a host."""

    vcpus: int
    memory_mib: int
    vcpu_ratio: float = 16.0
    zone: str | None = None
    forced_host: str | None = None  # by an administrator: nothing else counts
    host: str | None = None  # by an administrator, too: but it must fit
    tried: frozenset[str] = frozenset()  # where it could not be, or shall not be
    preferred: str | None = None  # where it is, and may stay
    same_host: tuple[str, ...] = ()  # ids of servers
    different_host: tuple[str, ...] = ()
    group: Group | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)
