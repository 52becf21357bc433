"""Operations on usage: how long servers were there, and how large they were."""

from collections.abc import Sequence
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import usage
from compute.instances.api.lists import PAGING, check_query, limit_of, next_links, page
from compute.instances.api.requests import Request, at_least
from compute.instances.errors import Invalid
from compute.instances.moments import iso_micro, parse
from compute.instances.usage import Usage

PAGES_SINCE = 40
_RULE = "os_compute_api:os-simple-tenant-usage:"


def list_all(context: Request) -> Answer:
    """GET /v2.1/os-simple-tenant-usage."""
    context.enforce(_RULE + "list")
    check_query(context, ("start", "end", "detailed", *PAGING))
    start_us, stop_us = _period(context)
    found, more = _page(context, usage.within(context.connection, start_us, stop_us), "tenant_usages")
    detailed = context.query.get("detailed") == "1"
    projects = dict.fromkeys(each.project_id for each in found)
    told = [
        _document(context, [each for each in found if each.project_id == project_id], start_us, stop_us, detailed)
        for project_id in projects
    ]
    return ok({"tenant_usages": told, **more})


def show(context: Request, target_id: str) -> Answer:
    """GET /v2.1/os-simple-tenant-usage/{project}."""
    context.enforce(_RULE + "show", {"project_id": target_id})
    check_query(context, ("start", "end", *PAGING))
    start_us, stop_us = _period(context)
    rows = usage.within(context.connection, start_us, stop_us, target_id)
    found, more = _page(context, rows, "tenant_usage")
    told = _document(context, found, start_us, stop_us, detailed=True) if found else {}
    return ok({"tenant_usage": told, **more})


def _period(context: Request) -> tuple[int, int]:
    """Return from when till when. Raise Invalid."""
    start_us, stop_us = (_moment(context, name) for name in ("start", "end"))
    if not start_us < stop_us:
        raise Invalid("Invalid start time. The start time cannot occur after the end time.")
    return start_us, min(stop_us, context.now_us)


def _moment(context: Request, name: str) -> int:
    text = context.query.get(name)
    if not text:
        return context.now_us
    try:
        return parse(text)
    except (ValueError, OverflowError):
        raise Invalid("Invalid datetime string: Datetime is in invalid format") from None


def _page(context: Request, rows: Sequence[Usage], name: str) -> tuple[list[Usage], dict[str, Any]]:
    if not at_least(context, PAGES_SINCE):
        return list(rows[: context.parts.settings.page_limit]), {}
    shown = page(context, rows, lambda each: each.server_id)
    return shown, next_links(context, name, shown, lambda each: each.server_id) if limit_of(context) else {}


def _document(context: Request, found: Sequence[Usage], start_us: int, stop_us: int, detailed: bool) -> dict[str, Any]:
    hours = [each.hours(start_us, stop_us) for each in found]
    document: dict[str, Any] = {
        "tenant_id": found[0].project_id,
        "start": iso_micro(start_us),
        "stop": iso_micro(stop_us),
        "total_hours": sum(hours),
        "total_vcpus_usage": sum(each.vcpus * there for each, there in zip(found, hours, strict=True)),
        "total_memory_mb_usage": sum(each.memory_mib * there for each, there in zip(found, hours, strict=True)),
        "total_local_gb_usage": sum(each.disk_gb * there for each, there in zip(found, hours, strict=True)),
    }
    if detailed:
        document["server_usages"] = [
            {
                "instance_id": each.server_id,
                "name": each.name,
                "tenant_id": each.project_id,
                "flavor": each.flavor,
                "hours": there,
                "vcpus": each.vcpus,
                "memory_mb": each.memory_mib,
                "local_gb": each.disk_gb,
                "started_at": iso_micro(each.began_at_us),
                "ended_at": iso_micro(each.ended_at_us),
                "state": "active" if each.ended_at_us is None else "terminated",
                "uptime": ((each.ended_at_us or context.now_us) - each.began_at_us) // 1_000_000,
            }
            for each, there in zip(found, hours, strict=True)
        ]
    return document
