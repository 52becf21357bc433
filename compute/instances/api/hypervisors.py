"""Operations on hypervisors: hosts, as what runs guests. For administrators.

What hosts have is told as they were seen last. They have no disks for guests: those are the cluster's.
"""

import json
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.agent.guest import HostState
from compute.errors import BadRequest
from compute.instances import claims, hosts, presence
from compute.instances.api.forms import HOST_NAME, Form, truth
from compute.instances.api.lists import PAGING, check_query, next_links, page
from compute.instances.api.requests import Request, at_least, is_uuid
from compute.instances.claims import Used
from compute.instances.errors import Invalid, NotFound
from compute.instances.hosts import KnownHost

CPU_DOCUMENT_SINCE, PAGES_SINCE, UUID_SINCE, EMPTY_SINCE, UPTIME_SINCE = 28, 33, 53, 75, 88
_RULE = "os_compute_api:os-hypervisors:"
_PATTERN = "hypervisor_hostname_pattern"
_NAME = Form("", {_PATTERN: HOST_NAME}, more=True)


def list_brief(context: Request) -> Answer:
    """GET /v2.1/os-hypervisors."""
    context.enforce(_RULE + "list")
    return _listed(context, detailed=False)


def list_detailed(context: Request) -> Answer:
    """GET /v2.1/os-hypervisors/detail."""
    context.enforce(_RULE + "list-detail")
    return _listed(context, detailed=True)


def show(context: Request, hypervisor_id: str) -> Answer:
    """GET /v2.1/os-hypervisors/{hypervisor_id}."""
    context.enforce(_RULE + "show")
    with_servers = False
    if at_least(context, UUID_SINCE):
        check_query(context, ("with_servers",), UUID_SINCE)
        with_servers = truth(context.query.get("with_servers", False), "with_servers")
    found = _get(context, hypervisor_id)
    return ok({"hypervisor": _document(context, found, detailed=True, with_servers=with_servers)})


def show_uptime(context: Request, hypervisor_id: str) -> Answer:
    """GET /v2.1/os-hypervisors/{hypervisor_id}/uptime (until 2.87)."""
    context.enforce(_RULE + "uptime")
    found = _get(context, hypervisor_id)
    uptime = _uptime(context, found)
    if uptime is None:
        raise Invalid(f"Compute service of {found.name} is unavailable at this time.")
    return ok({"hypervisor": {**_document(context, found, detailed=False), "uptime": uptime}})


def search(context: Request, hypervisor_id: str) -> Answer:
    """GET /v2.1/os-hypervisors/{part of a name}/search (until 2.52)."""
    context.enforce(_RULE + "search")
    found = _matching(context, hypervisor_id)
    return ok({"hypervisors": [_document(context, each, detailed=False) for each in found]})


def list_servers(context: Request, hypervisor_id: str) -> Answer:
    """GET /v2.1/os-hypervisors/{part of a name}/servers (until 2.52)."""
    context.enforce(_RULE + "servers")
    found = _matching(context, hypervisor_id)
    told = [_document(context, each, detailed=False, with_servers=True) for each in found]
    return ok({"hypervisors": told})


def show_statistics(context: Request) -> Answer:
    """GET /v2.1/os-hypervisors/statistics (until 2.87): what all hosts in service have together."""
    context.enforce(_RULE + "statistics")
    used = claims.used(context.connection)
    numbers = [
        _numbers(each.state, used.get(each.name, Used()))
        for each in hosts.every(context.connection)
        if not each.disabled
    ]
    sums = {name: sum(each[name] for each in numbers) for name in _numbers(None, Used())}
    return ok({"hypervisor_statistics": {"count": len(numbers), **sums}})


def _listed(context: Request, detailed: bool) -> Answer:
    found, pattern, with_servers, more = hosts.every(context.connection), None, False, {}
    if at_least(context, UUID_SINCE):
        check_query(context, (*PAGING, _PATTERN, "with_servers"), UUID_SINCE)
        pattern = context.query.get(_PATTERN)
        with_servers = truth(context.query.get("with_servers", False), "with_servers")
    if pattern is not None:
        if PAGING & set(context.query):
            raise Invalid(f"Paging over hypervisors with the {_PATTERN} query parameter is not supported.")
        _NAME.check(dict(context.query))
        found = _matching(context, pattern)
    elif at_least(context, PAGES_SINCE):
        found = page(context, found, lambda each: str(_id(context, each)))
        name = "hypervisors"
        more = next_links(context, name, found, lambda each: str(_id(context, each)))
    told = [_document(context, each, detailed, with_servers) for each in found]
    return ok({"hypervisors": told, **more})


def _matching(context: Request, pattern: str) -> list[KnownHost]:
    found = [each for each in hosts.every(context.connection) if pattern in each.name]
    if not found:
        raise NotFound("Hypervisor matching", pattern)
    return found


def _get(context: Request, hypervisor_id: str) -> KnownHost:
    """Return a host by the id of its hypervisor. Raise NotFound, BadRequest."""
    if at_least(context, UUID_SINCE) and not is_uuid(hypervisor_id):
        raise BadRequest(f"Invalid uuid {hypervisor_id}")
    for each in hosts.every(context.connection):
        if str(_id(context, each)) == hypervisor_id:
            return each
    raise NotFound("Hypervisor with ID", hypervisor_id)


def _id(context: Request, host: KnownHost) -> str | int:
    return host.id if at_least(context, UUID_SINCE) else host.number


def _document(context: Request, host: KnownHost, detailed: bool, with_servers: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": _id(context, host),
        "hypervisor_hostname": host.name,
        "state": "up" if host.is_up(context.now_us) else "down",
        "status": "disabled" if host.disabled else "enabled",
    }
    if detailed:
        state = host.state
        service_id = host.service_id if at_least(context, UUID_SINCE) else host.number
        document |= {
            "hypervisor_type": state.hypervisor if state else "QEMU",
            "hypervisor_version": state.hypervisor_version if state else 0,
            "host_ip": state.address if state else "0.0.0.0",  # noqa: S104 nothing listens there
            "service": {"id": service_id, "host": host.name, "disabled_reason": host.disabled_reason},
        }
        if at_least(context, UPTIME_SINCE):
            document["uptime"] = _uptime(context, host)
        else:
            used = claims.used(context.connection).get(host.name, Used())
            document |= _numbers(state, used) | {"cpu_info": _cpu(context, host)}
    if with_servers:
        servers = [
            {"name": name, "uuid": server_id} for server_id, name in presence.on_host(context.connection, host.name)
        ]
        if servers or at_least(context, EMPTY_SINCE):
            document["servers"] = servers
    return document


def _numbers(state: HostState | None, used: Used) -> dict[str, int]:
    """Return what a host has, and what of it servers have been given."""
    memory = state.memory_mib if state else 0
    return {
        "vcpus": state.vcpus if state else 0,
        "vcpus_used": used.vcpus,
        "memory_mb": memory,
        "memory_mb_used": used.memory_mib,
        "free_ram_mb": memory - used.memory_mib,
        "local_gb": 0,
        "local_gb_used": 0,
        "free_disk_gb": 0,
        "disk_available_least": 0,
        "current_workload": 0,
        "running_vms": used.servers,
    }


def _cpu(context: Request, host: KnownHost) -> Any:
    state = host.state
    told = {"arch": state.architecture, "model": state.cpu_model} if state else {}
    return told if at_least(context, CPU_DOCUMENT_SINCE) else json.dumps(told)


def _uptime(context: Request, host: KnownHost) -> str | None:
    """Return how long a host has been on, as its command `uptime` says; None: nobody knows."""
    if host.state is None or not host.is_up(context.now_us):
        return None
    return host.state.uptime or None
