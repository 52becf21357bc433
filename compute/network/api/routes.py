"""The routes of the API."""

from collections.abc import Iterator

from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation, Route
from compute.network.api import hosts, quotas, router_interfaces, surroundings, versions
from compute.network.api.requests import Request
from compute.network.api.resources import Resource
from compute.network.api.served import SERVED, Served
from compute.network.api.service import WRITING
from compute.network.api.tags import Tags
from compute.network.attributes import SECURITY_GROUP


def routes() -> list[Route]:
    """Return them all."""
    found = [
        Route("/", {"GET": versions.list_versions}),
        Route("/v2.0", {"GET": versions.show_version}),
        Route("/v2.0/extensions", {"GET": surroundings.list_extensions}),
        Route("/v2.0/extensions/{alias}", {"GET": surroundings.show_extension}),
        Route("/v2.0/availability_zones", {"GET": surroundings.list_zones}),
        Route("/v2.0/service-providers", {"GET": surroundings.list_providers}),
        Route("/v2.0/agents", {"GET": surroundings.list_agents}),
        Route(
            "/v2.0/agents/{agent_id}",
            {"GET": surroundings.show_agent, "PUT": surroundings.change_agent, "DELETE": surroundings.remove_agent},
        ),
        Route("/v2.0/network-ip-availabilities", {"GET": surroundings.list_availabilities}),
        Route("/v2.0/network-ip-availabilities/{network_id}", {"GET": surroundings.show_availability}),
        Route("/v2.0/quotas", {"GET": quotas.list_all}),
        Route("/v2.0/quotas/tenant", {"GET": quotas.show_project}),
        Route("/v2.0/quotas/project", {"GET": quotas.show_project}),
        Route("/v2.0/quotas/{project_id}", {"GET": quotas.show, "PUT": quotas.change, "DELETE": quotas.remove}),
        Route("/v2.0/quotas/{project_id}/default", {"GET": quotas.show_defaults}),
        Route("/v2.0/quotas/{project_id}/details", {"GET": quotas.show_details}),
        Route("/v2.0/routers/{identifier}/add_router_interface", {"PUT": router_interfaces.add}),
        Route("/v2.0/routers/{identifier}/remove_router_interface", {"PUT": router_interfaces.remove}),
        Route("/internal/hosts/{host}", {"GET": hosts.show, "PUT": hosts.tell}),
    ]
    for served in SERVED:
        found += _of(served)
    return found


def _of(served: Served) -> Iterator[Route]:
    resource, path = Resource(served), f"/v2.0/{served.path}"
    lists = _writing(resource.list_all) if served.noun is SECURITY_GROUP else resource.list_all
    yield Route(path, {"GET": lists, "POST": resource.create})
    operations: dict[str, Operation] = {"GET": resource.show, "DELETE": resource.remove}
    if served.update is not None:
        operations["PUT"] = resource.change
    yield Route(f"{path}/{{identifier}}", operations)
    if served.noun.tagged:
        tags = Tags(served)
        several = {"GET": tags.list_all, "PUT": tags.replace, "POST": tags.add_several, "DELETE": tags.remove_all}
        yield Route(f"{path}/{{identifier}}/tags", several)
        yield Route(f"{path}/{{identifier}}/tags/{{tag}}", {"GET": tags.show, "PUT": tags.add, "DELETE": tags.remove})


def _writing(operation: Operation) -> Operation:
    """Mark an operation: who lists groups for the first time has a default one."""

    def marked(context: Request, **parts: str) -> Answer:
        return operation(context, **parts)

    setattr(marked, WRITING, True)
    return marked
