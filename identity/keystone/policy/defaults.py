"""All default rules together. None stands in two places."""

from identity.keystone.policy import catalog, people, resources, roles, tokens
from identity.keystone.policy.checks import Rules

_PARTS: tuple[Rules, ...] = (
    resources.DOMAINS,
    resources.PROJECTS,
    people.USERS,
    people.GROUPS,
    people.SECRETS,
    roles.ROLES,
    roles.GRANTS,
    catalog.REGIONS,
    catalog.SERVICES,
    catalog.ENDPOINTS,
    tokens.TOKENS,
)

RULES: Rules = {name: check for part in _PARTS for name, check in part.items()}
assert len(RULES) == sum(map(len, _PARTS))
