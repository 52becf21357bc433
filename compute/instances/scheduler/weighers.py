"""Weighers: how well a host would do, each by one measure between 0 and 1; the sum of all counts."""

from collections.abc import Callable

from compute.instances.scheduler.candidates import Candidate, Demand
from compute.instances.server_groups import SOFT_AFFINITY, SOFT_ANTI_AFFINITY

Weigher = Callable[[Candidate, Demand], float]


def by_memory(host: Candidate, _demand: Demand) -> float:
    """RAMWeigher: servers are spread; measured by the part that is free, so that a full large host is no favourite."""
    return host.memory_free_mib / host.memory_mib if host.memory_mib else 0.0


def by_cores(host: Candidate, demand: Demand) -> float:
    """CPUWeigher."""
    most = host.vcpus * demand.vcpu_ratio
    return (most - host.vcpus_used) / most if most else 0.0


def by_group(host: Candidate, demand: Demand) -> float:
    """ServerGroupSoftAffinityWeigher, and its opposite: it counts for more than all others together."""
    group = demand.group
    if group is None or not group.servers:
        return 0.0
    part = len(host.servers & group.servers) / len(group.servers)
    return {SOFT_AFFINITY: 4.0 * part, SOFT_ANTI_AFFINITY: -4.0 * part}.get(group.policy, 0.0)


def by_preference(host: Candidate, demand: Demand) -> float:
    """Where a server is, it need not be moved from."""
    return 16.0 if host.name == demand.preferred else 0.0


WEIGHERS: tuple[Weigher, ...] = (by_memory, by_cores, by_group, by_preference)
