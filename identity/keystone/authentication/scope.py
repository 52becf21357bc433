"""What a token is to be good for: what was asked for, what the proof is bound to, or the user's default project.

Something asked for that is not there, is disabled, or where the user has no role, is refused with the same words.
"""

from sqlalchemy import Connection

from identity.keystone import domains, effective, principals, projects, users
from identity.keystone.authentication.proof import Proof
from identity.keystone.authentication.request import AuthRequest, Named, ScopeWish
from identity.keystone.errors import Forbidden, NotFound, Unauthorized
from identity.keystone.tokens.rules import TokenRules
from identity.keystone.tokens.token import SYSTEM_SCOPE, Scope, ScopeKind


def resolve(connection: Connection, request: AuthRequest, proof: Proof, rules: TokenRules) -> Scope | None:
    """Return the scope of the token for `request`; None: unscoped. Raise Unauthorized, Forbidden."""
    wanted = None if request.scope is None else _wanted(connection, request.scope)
    if proof.bound_to is not None:
        if request.unscoped or (wanted is not None and not _is_same(wanted, proof.bound_to)):
            raise Unauthorized("What was made for one project cannot be used for anything else.")
        return proof.bound_to
    if wanted is not None:
        _check_rescope(wanted, proof, rules)
        return wanted
    return None if request.unscoped else _default(connection, proof, rules)


def _wanted(connection: Connection, wish: ScopeWish) -> Scope:
    try:
        if wish.kind is ScopeKind.SYSTEM:
            return SYSTEM_SCOPE
        if wish.kind is ScopeKind.DOMAIN:
            scope_id = wish.target.id or domains.find(connection, wish.target.name or "").id
        else:
            scope_id = wish.target.id or _project_id(connection, wish.target)
        return principals.enabled_scope(connection, wish.kind, scope_id)
    except NotFound:
        raise Unauthorized from None


def _project_id(connection: Connection, named: Named) -> str:
    domain_id = named.domain_id or domains.find(connection, named.domain_name or "").id
    return projects.find(connection, named.name or "", domain_id).id


def _check_rescope(wanted: Scope, proof: Proof, rules: TokenRules) -> None:
    before = proof.rescoped_from
    if before is not None and not _is_same(wanted, before) and not rules.allow_rescope:
        raise Forbidden("You are not authorized to perform the requested action: rescope a scoped token.")


def _default(connection: Connection, proof: Proof, rules: TokenRules) -> Scope | None:
    """Return the user's default project, if it is one that the user can use."""
    project_id = users.get(connection, proof.user_id).default_project_id
    if project_id is None:
        return None
    try:
        scope = principals.enabled_scope(connection, ScopeKind.PROJECT, project_id)
        _check_rescope(scope, proof, rules)
    except (NotFound, Forbidden):
        return None
    return scope if effective.roles_in(connection, proof.user_id, scope) else None


def _is_same(one: Scope, other: Scope) -> bool:
    return (one.kind, one.id) == (other.kind, other.id)
