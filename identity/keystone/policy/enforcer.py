"""Applies the policy, by oslo.policy: may who has this token do what this rule is about to this target?

Invariants. A rule that does not exist is a defect of ours and no permission. What a target does not know matches
nothing: members that are None are left out of it, since "None" would be equal to the missing scope of a caller.
"""

import os
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from identity.keystone.errors import Forbidden
from identity.keystone.policy.checks import SHARED, Rules
from identity.keystone.policy.defaults import RULES
from identity.keystone.tokens.token import Token

_SCOPES = ["system", "domain", "project"]  # an unscoped token counts as one for no project; it has no roles


class PolicyEnforcer:
    """`api.context.Enforcer` of default rules, and of an operator's policy.yaml over them.

    Other services hand in rules of their own; `shared` are those that rules refer to.
    """

    def __init__(self, policy_file: str | None = None, rules: Rules = RULES, shared: Rules = SHARED) -> None:
        configuration = cfg.ConfigOpts()
        configuration([], project="identity", default_config_files=[], default_config_dirs=[])
        self._enforcer = policy.Enforcer(configuration, policy_file=policy_file or os.devnull)
        configuration.set_override("policy_dirs", [], "oslo_policy")
        self._enforcer.register_defaults([policy.RuleDefault(name, check) for name, check in shared.items()])
        self._enforcer.register_defaults(
            [policy.RuleDefault(name, check, scope_types=_SCOPES) for name, check in rules.items()]
        )
        self._enforcer.load_rules()

    def __repr__(self) -> str:
        return f"PolicyEnforcer({len(self._enforcer.rules)} rules)"

    def enforce(self, rule: str, token: Token, target: Mapping[str, object]) -> None:
        """Raise Forbidden unless `rule` allows who has `token` to act on `target`."""
        if not self.allows(rule, token, target):
            raise Forbidden(f"You are not authorized to perform the requested action: {rule}.")

    def allows(self, rule: str, token: Token, target: Mapping[str, object]) -> bool:
        """Tell whether `rule` allows who has `token` to act on `target`."""
        known = {name: value for name, value in target.items() if value is not None}
        return bool(self._enforcer.authorize(rule, known, _said_of(token)))


def _said_of(token: Token) -> dict[str, Any]:
    """Return what rules can say of a caller, under the names that Keystone gives it."""
    scope = token.scope
    said: dict[str, Any] = {
        "user_id": token.user.id,
        "user_domain_id": token.user.domain_id,
        "project_id": token.project_id,
        "domain_id": token.domain_id,
        "system_scope": "all" if token.is_system else None,
        "roles": sorted(token.role_names),
        "is_admin": False,
    }
    if token.project_id is not None and scope is not None:
        said |= {"project_domain_id": scope.domain_id, "token": {"project": {"domain": {"id": scope.domain_id}}}}
    return said
