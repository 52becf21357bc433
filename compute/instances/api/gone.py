"""What the API had once: answered with 410, which tells clients that asking again is of no use."""

from collections.abc import Mapping

from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation
from compute.errors import Gone
from compute.instances.api.requests import Request

_PATHS: Mapping[str, str] = {  # methods
    "os-agents": "GET POST",
    "os-agents/{gone_id}": "PUT DELETE",
    "os-cells": "GET POST",
    "os-cells/capacities": "GET",
    "os-cells/detail": "GET",
    "os-cells/info": "GET",
    "os-cells/sync_instances": "POST",
    "os-cells/{gone_id}": "GET PUT DELETE",
    "os-cells/{gone_id}/capacities": "GET",
    "os-certificates": "POST",
    "os-certificates/{gone_id}": "GET",
    "os-cloudpipe": "GET POST",
    "os-cloudpipe/{gone_id}": "PUT",
    "os-fixed-ips/{gone_id}": "GET",
    "os-fixed-ips/{gone_id}/action": "POST",
    "os-floating-ip-dns": "GET",
    "os-floating-ip-dns/{gone_id}": "PUT DELETE",
    "os-floating-ips-bulk": "GET POST",
    "os-floating-ips-bulk/{gone_id}": "GET PUT",
    "os-fping": "GET",
    "os-fping/{gone_id}": "GET",
    "os-security-group-default-rules": "GET POST",
    "os-security-group-default-rules/{gone_id}": "GET DELETE",
    "servers/{server_id}/consoles": "GET POST",
    "servers/{server_id}/consoles/{gone_id}": "GET DELETE",
    "servers/{server_id}/os-virtual-interfaces": "GET",
}


def _answer(context: Request, **_parts: str) -> Answer:
    """Refuse."""
    context.caller  # noqa: B018 who is nobody learns nothing
    raise Gone("This resource is no longer available. No forwarding address is given.")


ROUTES: Mapping[str, Mapping[str, Operation]] = {
    path: dict.fromkeys(methods.split(), _answer) for path, methods in _PATHS.items()
}
