"""What operations begin with: who asks, what it sees, and whether a rule allows it."""

from collections.abc import Mapping
from typing import Any

from compute.context import Context
from compute.network.api.parts import Parts
from compute.network.errors import HTTPBadRequest, HTTPNotFound, PolicyNotAuthorized
from compute.network.policy.defaults import RULES
from compute.network.work import Work

Request = Context[Parts]
Target = Mapping[str, Any]


def work_of(context: Request) -> Work:
    """Return what nouns work with."""
    return Work(context.connection, context.parts.settings, context.now_us)


def sees_all(context: Request) -> bool:
    """Tell whether the caller is an administrator, or another service. Raise Unauthorized."""
    return context.allows("sees_all")


def require(context: Request, rule: str, target: Target) -> None:
    """Raise PolicyNotAuthorized unless a rule, if there is such a one, allows it."""
    if rule in RULES and not context.allows(rule, target):
        raise PolicyNotAuthorized(rule=rule)


def require_owned(context: Request, rule: str, target: Target) -> None:
    """Raise unless a rule allows it: PolicyNotAuthorized to whom it belongs, HTTPNotFound to all others."""
    if not context.allows(rule, target):
        if target.get("project_id") == context.project_id:
            raise PolicyNotAuthorized(rule=rule)
        raise HTTPNotFound()


def project_for(context: Request, sent: Mapping[str, Any]) -> str:
    """Return the project that something new shall be of: the caller's, or the one that an administrator names."""
    named = {str(sent[name]) for name in ("project_id", "tenant_id") if sent.get(name) is not None}
    if len(named) > 1:
        raise HTTPBadRequest(why="'project_id' and 'tenant_id' do not match")
    project_id = next(iter(named), context.project_id)
    if project_id is None:
        raise HTTPBadRequest(why="Running without keystone AuthN requires that tenant_id is specified")
    if project_id != context.project_id and not sees_all(context):
        raise HTTPBadRequest(
            why="Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires "
            "admin privileges"
        )
    return project_id
