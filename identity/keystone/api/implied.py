"""Operations on which roles imply which."""

from cluster.controlplane.answer import NO_CONTENT, Answer, created, ok
from identity.keystone import implied, roles
from identity.keystone.api.context import Context
from identity.keystone.api.listing import Document
from identity.keystone.api.roles import target_of
from identity.keystone.roles import Role


def list_inferences(context: Context) -> Answer:
    """GET /v3/role_inferences: all rules, by prior role."""
    context.enforce("identity:list_role_inference_rules")
    known = roles.by_id(context.connection)
    inferences = [
        {
            "prior_role": _brief(context, known[prior_id]),
            "implies": [_brief(context, known[implied_id]) for implied_id in sorted(implied_ids)],
        }
        for prior_id, implied_ids in sorted(implied.rules(context.connection).items())
    ]
    return ok({"role_inferences": inferences, "links": {"self": context.url("role_inferences")}})


def list_all(context: Context, role_id: str) -> Answer:
    """GET /v3/roles/{role_id}/implies."""
    prior = _permitted_prior(context, "identity:list_implied_roles", role_id)
    known = roles.by_id(context.connection)
    implies = [_brief(context, known[each]) for each in implied.implied_by(context.connection, prior.id)]
    inference = {"prior_role": _brief(context, prior), "implies": implies}
    return ok({"role_inference": inference, "links": {"self": context.url(f"roles/{prior.id}/implies")}})


def show(context: Context, role_id: str, implied_role_id: str) -> Answer:
    """GET /v3/roles/{role_id}/implies/{implied_role_id}."""
    prior = _permitted_prior(context, "identity:get_implied_role", role_id)
    implied.check(context.connection, prior.id, implied_role_id)
    return ok(_inference(context, prior, roles.get(context.connection, implied_role_id)))


def check(context: Context, role_id: str, implied_role_id: str) -> Answer:
    """HEAD /v3/roles/{role_id}/implies/{implied_role_id}."""
    prior = _permitted_prior(context, "identity:check_implied_role", role_id)
    implied.check(context.connection, prior.id, implied_role_id)
    return NO_CONTENT


def add(context: Context, role_id: str, implied_role_id: str) -> Answer:
    """PUT /v3/roles/{role_id}/implies/{implied_role_id}."""
    prior = _permitted_prior(context, "identity:create_implied_role", role_id)
    role = roles.get(context.connection, implied_role_id)
    implied.add(context.connection, prior, role)
    return created(_inference(context, prior, role))


def remove(context: Context, role_id: str, implied_role_id: str) -> Answer:
    """DELETE /v3/roles/{role_id}/implies/{implied_role_id}."""
    prior = _permitted_prior(context, "identity:delete_implied_role", role_id)
    implied.remove(context.connection, prior, implied_role_id, context.now_us)
    return NO_CONTENT


def _permitted_prior(context: Context, rule: str, role_id: str) -> Role:
    return context.permitted(rule, lambda: roles.get(context.connection, role_id), target_of)


def _inference(context: Context, prior: Role, role: Role) -> Document:
    return {
        "role_inference": {"prior_role": _brief(context, prior), "implies": _brief(context, role)},
        "links": {"self": context.url(f"roles/{prior.id}/implies/{role.id}")},
    }


def _brief(context: Context, role: Role) -> Document:
    """Return what an inference shows of a role."""
    brief: Document = {"id": role.id, "name": role.name, "links": {"self": context.url(f"roles/{role.id}")}}
    if role.domain_id is not None:
        brief["domain_id"] = role.domain_id
    return brief
