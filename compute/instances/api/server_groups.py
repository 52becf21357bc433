"""Operations on server groups."""

from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.instances import quotas, server_groups
from compute.instances.api.forms import NAME, NUMBER, Form, number
from compute.instances.api.lists import check_query, limit_of
from compute.instances.api.requests import Request, at_least, is_admin, own_target, project_of, target_of
from compute.instances.errors import Invalid, NotFound
from compute.instances.server_groups import ANTI_AFFINITY, MOST_PER_HOST, POLICIES, Group
from compute.records import new_id

OWNER_SINCE, SOFT_SINCE, ONE_POLICY_SINCE = 13, 15, 64
_RULE = "os_compute_api:os-server-groups:"


def _listing(policies: tuple[str, ...]) -> Form:
    several = {"type": "array", "items": {"type": "string", "enum": list(policies)}, "minItems": 1, "maxItems": 1}
    return Form("server_group", {"name": NAME, "policies": several}, ("name", "policies"))


_RULES = {"type": "object", "properties": {MOST_PER_HOST: NUMBER}, "additionalProperties": False}
_FORMS = (  # each from a version on
    (
        ONE_POLICY_SINCE,
        Form(
            "server_group",
            {"name": NAME, "policy": {"type": "string", "enum": list(POLICIES)}, "rules": _RULES},
            ("name", "policy"),
        ),
    ),
    (SOFT_SINCE, _listing(POLICIES)),
    (0, _listing(POLICIES[:2])),
)
_KNOWN = frozenset(("all_projects", "limit", "offset"))


def list_all(context: Request) -> Answer:
    """GET /v2.1/os-server-groups."""
    context.enforce(_RULE + "index", own_target(context))
    check_query(context, _KNOWN)
    project_id: str | None = project_of(context)
    if "all_projects" in context.query and is_admin(context):
        context.enforce(_RULE + "index:all_projects", own_target(context))
        project_id = None
    offset = number(context.query.get("offset", 0), "offset", 0)
    found = server_groups.every(context.connection, project_id)[offset:][: limit_of(context)]
    return ok({"server_groups": _documents(context, found)})


def show(context: Request, group_id: str) -> Answer:
    """GET /v2.1/os-server-groups/{group_id}."""
    return _shown(context, _group_for(context, "show", group_id))


def create(context: Request) -> Answer:
    """POST /v2.1/os-server-groups."""
    context.enforce(_RULE + "create", own_target(context))
    form = next(form for since, form in _FORMS if at_least(context, since))
    attributes = form.read(context)
    policy = attributes["policy"] if at_least(context, ONE_POLICY_SINCE) else attributes["policies"][0]
    rules = {name: number(value, name, 1) for name, value in (attributes.get("rules") or {}).items()}
    if rules and policy != ANTI_AFFINITY:
        raise Invalid("Only anti-affinity policy supports rules.")
    project_id, user_id = project_of(context), context.caller.user.id
    quotas.require_group(context.connection, context.parts.settings.quotas, project_id, user_id)
    made = server_groups.create(
        context.connection,
        Group(
            id=new_id(),
            project_id=project_id,
            user_id=user_id,
            name=attributes["name"],
            policy=policy,
            rules=rules,
            created_at_us=context.now_us,
        ),
    )
    return _shown(context, made)


def remove(context: Request, group_id: str) -> Answer:
    """DELETE /v2.1/os-server-groups/{group_id}."""
    server_groups.remove(context.connection, _group_for(context, "delete", group_id).id)
    return NO_CONTENT


def _group_for(context: Request, action: str, group_id: str) -> Group:
    """Return a group that the caller may do something to. Raise NotFound, Forbidden."""
    context.caller  # noqa: B018 who is nobody learns nothing
    found = server_groups.get(context.connection, group_id)
    if not context.allows(_RULE + "show", target_of(found)):
        raise NotFound("Instance group", group_id)
    context.enforce(_RULE + action, target_of(found))
    return found


def _shown(context: Request, group: Group) -> Answer:
    return ok({"server_group": _documents(context, [group])[0]})


def _documents(context: Request, groups: list[Group]) -> list[dict[str, Any]]:
    members = server_groups.members_of(context.connection, [each.id for each in groups])
    return [_document(context, each, members[each.id]) for each in groups]


def _document(context: Request, group: Group, members: list[str]) -> dict[str, Any]:
    document: dict[str, Any] = {"id": group.id, "name": group.name, "members": members}
    if at_least(context, ONE_POLICY_SINCE):
        document |= {"policy": group.policy, "rules": dict(group.rules)}
    else:
        document |= {"policies": [group.policy], "metadata": {}}
    if at_least(context, OWNER_SINCE):
        document |= {"project_id": group.project_id, "user_id": group.user_id}
    return document
