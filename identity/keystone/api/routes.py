"""The routes of domains, projects, users, groups, roles and assignments. Those of tokens are beside.

Operations are called with the variable parts of their path by name.
"""

from collections.abc import Iterator

from cluster.controlplane.application import Route
from identity.keystone.api import (
    discovery,
    domains,
    groups,
    implied,
    members,
    projects,
    role_assignments,
    roles,
    tags,
    users,
)
from identity.keystone.api.grants import Grants
from identity.keystone.assignments import ActorKind, TargetKind


def routes() -> list[Route]:
    """Return them all."""
    return [*_ROUTES, *_routes_of_grants()]


_ROUTES = (
    Route("/", {"GET": discovery.list_versions}),
    Route("/v3", {"GET": discovery.show_version}),
    Route("/v3/domains", {"GET": domains.list_all, "POST": domains.create}),
    Route("/v3/domains/{domain_id}", {"GET": domains.show, "PATCH": domains.change, "DELETE": domains.remove}),
    Route("/v3/projects", {"GET": projects.list_all, "POST": projects.create}),
    Route("/v3/projects/{project_id}", {"GET": projects.show, "PATCH": projects.change, "DELETE": projects.remove}),
    Route("/v3/projects/{project_id}/tags", {"GET": tags.list_all, "PUT": tags.replace, "DELETE": tags.remove_all}),
    Route("/v3/projects/{project_id}/tags/{tag}", {"GET": tags.check, "PUT": tags.add, "DELETE": tags.remove}),
    Route("/v3/users", {"GET": users.list_all, "POST": users.create}),
    Route("/v3/users/{user_id}", {"GET": users.show, "PATCH": users.change, "DELETE": users.remove}),
    Route("/v3/users/{user_id}/password", {"POST": users.change_password}),
    Route("/v3/users/{user_id}/groups", {"GET": users.list_groups}),
    Route("/v3/users/{user_id}/projects", {"GET": users.list_projects}),
    Route("/v3/groups", {"GET": groups.list_all, "POST": groups.create}),
    Route("/v3/groups/{group_id}", {"GET": groups.show, "PATCH": groups.change, "DELETE": groups.remove}),
    Route("/v3/groups/{group_id}/users", {"GET": members.list_all}),
    Route(
        "/v3/groups/{group_id}/users/{user_id}",
        {"GET": groups.check_member, "PUT": groups.add_member, "DELETE": groups.remove_member},
    ),
    Route("/v3/roles", {"GET": roles.list_all, "POST": roles.create}),
    Route("/v3/roles/{role_id}", {"GET": roles.show, "PATCH": roles.change, "DELETE": roles.remove}),
    Route("/v3/roles/{role_id}/implies", {"GET": implied.list_all}),
    Route(
        "/v3/roles/{role_id}/implies/{implied_role_id}",
        {"GET": implied.show, "HEAD": implied.check, "PUT": implied.add, "DELETE": implied.remove},
    ),
    Route("/v3/role_inferences", {"GET": implied.list_inferences}),
    Route("/v3/role_assignments", {"GET": role_assignments.list_all}),
)

_COLLECTIONS = {ActorKind.USER: "users", ActorKind.GROUP: "groups"}


def _routes_of_grants() -> Iterator[Route]:
    for actor_kind, actors in _COLLECTIONS.items():
        held = f"{actors}/{{{actor_kind.value}_id}}/roles"
        yield from _pair(f"/v3/system/{held}", "", Grants(TargetKind.SYSTEM, actor_kind))
        for target_kind in (TargetKind.PROJECT, TargetKind.DOMAIN):
            path = f"{target_kind.value}s/{{{target_kind.value}_id}}/{held}"
            yield from _pair(f"/v3/{path}", "", Grants(target_kind, actor_kind))
            inherited = Grants(target_kind, actor_kind, inherited=True)
            yield from _pair(f"/v3/OS-INHERIT/{path}", "/inherited_to_projects", inherited)


def _pair(path: str, end: str, grants: Grants) -> Iterator[Route]:
    """Yield the routes of the listing at `path`, and of the single role below it."""
    yield Route(path + end, {"GET": grants.list_all})
    yield Route(
        f"{path}/{{role_id}}{end}", {"GET": grants.check, "PUT": grants.create, "DELETE": grants.remove}
    )
