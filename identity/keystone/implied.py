"""Roles that imply others: who has the first has the second, too, and what that one implies. No role implies itself."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from identity.keystone import revocations, stale_keys
from identity.keystone.errors import BadRequest, Forbidden, NotFound
from identity.keystone.roles import Role
from identity.keystone.schema import implied_roles
from identity.keystone.tokens.revoked import Kind, Subject

PROHIBITED = frozenset(("admin",))  # names of roles that no other may imply: nobody becomes admin by the way

Rules = Mapping[str, frozenset[str]]  # ids of the implied roles, by that of the prior role


def rules(connection: Connection) -> Rules:
    """Return all rules."""
    found: dict[str, set[str]] = {}
    for prior_id, implied_id in connection.execute(
        select(implied_roles.c.prior_role_id, implied_roles.c.implied_role_id)
    ):
        found.setdefault(prior_id, set()).add(implied_id)
    return {prior_id: frozenset(implied_ids) for prior_id, implied_ids in found.items()}


def implied_by(connection: Connection, prior_id: str) -> list[str]:
    """Return the ids of the roles that one implies by itself, without what those imply."""
    return sorted(rules(connection).get(prior_id, ()))


def expanded(role_ids: Iterable[str], all_rules: Rules) -> set[str]:
    """Return `role_ids` and all roles that they imply."""
    found: set[str] = set()
    remaining = list(role_ids)
    while remaining:
        role_id = remaining.pop()
        if role_id not in found:
            found.add(role_id)
            remaining.extend(all_rules.get(role_id, ()))
    return found


def check(connection: Connection, prior_id: str, implied_id: str) -> None:
    """Raise NotFound unless there is such a rule."""
    if implied_id not in rules(connection).get(prior_id, ()):
        raise NotFound("implied role", f"{prior_id} implies {implied_id}")


def add(connection: Connection, prior: Role, implied: Role) -> None:
    """Have `prior` imply `implied`; nothing changes when it does. Raise BadRequest for a circle."""
    if implied.name in PROHIBITED:
        raise Forbidden(f"{implied.id} cannot be an implied roles")
    all_rules = rules(connection)
    if implied.id in all_rules.get(prior.id, ()):
        return
    if implied.domain_id is not None and prior.domain_id is None:
        raise Forbidden("A role of one domain cannot be implied by a role of all domains.")
    if prior.id in expanded([implied.id], all_rules):
        raise BadRequest(f"Role {prior.id} cannot imply {implied.id}, which implies it.")
    connection.execute(insert(implied_roles).values(prior_role_id=prior.id, implied_role_id=implied.id))
    stale_keys.mark_all(connection)


def remove(connection: Connection, prior: Role, implied_id: str, now_us: int) -> None:
    """Take a rule away. Tokens that may have roles by it end. Raise NotFound."""
    check(connection, prior.id, implied_id)
    connection.execute(
        delete(implied_roles).where(
            implied_roles.c.prior_role_id == prior.id, implied_roles.c.implied_role_id == implied_id
        )
    )
    in_tokens = [prior.id] if prior.domain_id is None else expanded([implied_id], rules(connection))
    for role_id in in_tokens:  # a domain's own role is in no token, only what it implies
        revocations.revoke(connection, Subject(Kind.ROLE, role_id), now_us)
