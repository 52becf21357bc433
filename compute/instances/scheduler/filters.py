"""Filters: each tells whether a host can have a server, by one rule. Named as Nova's."""

import operator
from collections.abc import Callable, Mapping

from compute.instances.scheduler.candidates import Candidate, Demand
from compute.instances.server_groups import AFFINITY, ANTI_AFFINITY

Filter = Callable[[Candidate, Demand], bool]

_SCOPE = "aggregate_instance_extra_specs"
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.ge,  # as Nova has it: at least
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def is_available(host: Candidate, _demand: Demand) -> bool:
    """ComputeFilter: it answers, and takes servers."""
    return host.is_up and not host.disabled


def was_not_tried(host: Candidate, demand: Demand) -> bool:
    """RetryFilter."""
    return host.name not in demand.tried


def is_requested(host: Candidate, demand: Demand) -> bool:
    """RequestedDestination: where an administrator wants it."""
    return demand.host in (None, host.name)


def is_in_zone(host: Candidate, demand: Demand) -> bool:
    """AvailabilityZoneFilter."""
    return demand.zone in (None, host.zone)


def has_memory(host: Candidate, demand: Demand) -> bool:
    """RamFilter."""
    return demand.memory_mib <= host.memory_free_mib


def has_cores(host: Candidate, demand: Demand) -> bool:
    """CoreFilter: and no server has more than there are at all, by the ratio."""
    return demand.vcpus + host.vcpus_used <= host.vcpus * demand.vcpu_ratio


def is_with_same_host(host: Candidate, demand: Demand) -> bool:
    """SameHostFilter."""
    return not demand.same_host or not host.servers.isdisjoint(demand.same_host)


def is_with_different_host(host: Candidate, demand: Demand) -> bool:
    """DifferentHostFilter."""
    return host.servers.isdisjoint(demand.different_host)


def is_in_group_affinity(host: Candidate, demand: Demand) -> bool:
    """ServerGroupAffinityFilter; what other hosts have is seen by `choice`."""
    group = demand.group
    if group is None or group.policy != AFFINITY or not group.servers:
        return True
    return not host.servers.isdisjoint(group.servers)


def is_in_group_anti_affinity(host: Candidate, demand: Demand) -> bool:
    """ServerGroupAntiAffinityFilter."""
    group = demand.group
    if group is None or group.policy != ANTI_AFFINITY:
        return True
    return len(host.servers & group.servers) < group.most_per_host


def has_extra_specs(host: Candidate, demand: Demand) -> bool:
    """AggregateInstanceExtraSpecsFilter: what the flavor wants of the host's aggregates."""
    for key, wanted in demand.extra_specs.items():
        scope, colon, name = key.partition(":")
        if not colon or scope != _SCOPE:
            continue
        values = {text.strip() for each in host.aggregates for text in each.get(name, "").split(",") if name in each}
        if not values or not any(_matches(value, wanted) for value in values):
            return False
    return True


FILTERS: tuple[Filter, ...] = (
    is_available,
    was_not_tried,
    is_requested,
    is_in_zone,
    has_memory,
    has_cores,
    is_with_same_host,
    is_with_different_host,
    is_in_group_affinity,
    is_in_group_anti_affinity,
    has_extra_specs,
)


def _matches(value: str, wanted: str) -> bool:
    words = wanted.split()
    if len(words) >= 2 and words[0] == "<or>":
        return value in [word for word in words if word != "<or>"]
    if len(words) == 2 and words[0] == "<in>":
        return words[1] in value
    if len(words) == 2 and words[0] in _COMPARED:
        try:
            return _COMPARED[words[0]](float(value), float(words[1]))
        except ValueError:
            return False
    if len(words) == 2 and words[0] in ("s==", "s!="):
        return (value == words[1]) == (words[0] == "s==")
    return value == wanted
