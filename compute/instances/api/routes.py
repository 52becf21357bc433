"""The routes of the API. Each is there twice: below /v2.1/PROJECT, and below /v2.1. Each noun's are in its module."""

from collections.abc import Iterator, Mapping

from cluster.controlplane.application import Operation, Route
from compute.instances.api import versions
from compute.instances.api.server_routes import ROUTES as SERVERS
from compute.instances.api.surroundings_routes import ROUTES as SURROUNDINGS


def routes() -> list[Route]:
    """Return them all."""
    found = [Route("/", {"GET": versions.list_versions}), Route("/v2.1", {"GET": versions.show_version})]
    for path, operations in _paths():
        found += [Route(f"/v2.1/{path}", operations), Route(f"/v2.1/{{project_id}}/{path}", operations)]
    return found


def _paths() -> Iterator[tuple[str, Mapping[str, Operation]]]:
    yield from SERVERS.items()
    yield from SURROUNDINGS.items()
