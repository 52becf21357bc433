"""Access rules: requests that an application credential may be restricted to.

A rule names a service by its type, a method, and a path, in which `*` and `{name}` stand for one segment and `**` for
any number of them. Rules belong to users; those of equal content are one, and outlast the credentials that use them.
"""

import re
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from identity.keystone.errors import BadRequest, Forbidden, NotFound
from identity.keystone.schema import access_rules, application_credential_access_rules

_WILDCARD = re.compile(r"(\*\*)|(\*)|(\{[^/{}]*\})")
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One kind of request."""

    service: str
    method: str
    path: str
    id: str = field(default_factory=lambda: uuid4().hex)

    def permits(self, service: str, method: str, path: str) -> bool:
        """Tell whether the rule names this request. HEAD goes with GET."""
        if service != self.service or (self.method != method and (self.method, method) != ("GET", "HEAD")):
            return False
        return re.fullmatch(_pattern_of(self.path), path) is not None


def get(connection: Connection, user_id: str, rule_id: str) -> AccessRule:
    """Return a rule of a user. Raise NotFound."""
    for rule in list_all(connection, user_id):
        if rule.id == rule_id:
            return rule
    raise NotFound("access_rule", rule_id)


def list_all(connection: Connection, user_id: str) -> list[AccessRule]:
    """Return the rules of a user, by id."""
    rows = connection.execute(
        select(access_rules).where(access_rules.c.user_id == user_id).order_by(access_rules.c.id)
    )
    return [AccessRule(row.service, row.method, row.path, row.id) for row in rows]


def of_application_credential(connection: Connection, credential_id: str) -> list[AccessRule]:
    """Return the rules that an application credential is restricted to, by id; none: it is not."""
    use = application_credential_access_rules
    rows = connection.execute(
        select(access_rules)
        .join(use, use.c.access_rule_id == access_rules.c.id)
        .where(use.c.application_credential_id == credential_id)
        .order_by(access_rules.c.id)
    )
    return [AccessRule(row.service, row.method, row.path, row.id) for row in rows]


def permits(connection: Connection, credential_id: str, service: str, method: str, path: str) -> bool:
    """Tell whether a restricted application credential may be used for this request."""
    rules = of_application_credential(connection, credential_id)
    return any(rule.permits(service, method, path) for rule in rules)


def ensure(connection: Connection, user_id: str, wanted: AccessRule) -> AccessRule:
    """Return the user's rule of this content; make it unless it is there. Raise BadRequest for one that is none."""
    if wanted.method not in METHODS or not wanted.path.startswith("/") or not wanted.service:
        raise BadRequest("an access rule has a service type, a method, and a path that begins with a slash")
    for rule in list_all(connection, user_id):
        if (rule.service, rule.method, rule.path) == (wanted.service, wanted.method, wanted.path):
            return rule
    connection.execute(
        insert(access_rules).values(
            id=wanted.id, user_id=user_id, service=wanted.service, method=wanted.method, path=wanted.path
        )
    )
    return wanted


def remove(connection: Connection, user_id: str, rule_id: str) -> None:
    """Remove a rule. Raise NotFound, and Forbidden while an application credential is restricted by it."""
    get(connection, user_id, rule_id)
    use = application_credential_access_rules
    if connection.scalar(select(use.c.access_rule_id).where(use.c.access_rule_id == rule_id).limit(1)) is not None:
        raise Forbidden("The access rule is used by an application credential.")
    connection.execute(delete(access_rules).where(access_rules.c.id == rule_id))


def _pattern_of(path: str) -> str:
    """Return the regular expression of a path with wildcards."""
    pattern, end = "", 0
    for wildcard in _WILDCARD.finditer(path):
        pattern += re.escape(path[end : wildcard.start()])
        pattern += ".*" if wildcard[1] else "[^/]+"
        end = wildcard.end()
    return pattern + re.escape(path[end:])
