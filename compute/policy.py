"""Who may do what in a service: identity's enforcement of oslo.policy's rules, over the service's own defaults.

    Policy({"get_image": f"rule:admin or (role:reader and {OWN})"}, shared={"admin": "role:admin"})

What is left of a colon in a rule is said of the caller (role, user_id, project_id, domain_id, system_scope); `%(…)s` is
said of the target. A rule that does not exist is a defect of ours and no permission; what a target does not have (None)
matches nothing.
"""

from collections.abc import Mapping

from compute.errors import Forbidden
from identity.keystone.policy.enforcer import PolicyEnforcer
from identity.keystone.tokens.token import Token

Rules = Mapping[str, str]  # check, by the name of the rule
Target = Mapping[str, object]

ANYTHING: Target = {}  # no rule that asks for something in particular allows it


class Policy:
    """The rules of one service."""

    def __init__(self, rules: Rules, shared: Rules, policy_file: str | None = None) -> None:
        """`shared` are rules that others refer to; `policy_file` is the operator's, and prevails."""
        self._enforcer = PolicyEnforcer(policy_file, rules=rules, shared=shared)

    def __repr__(self) -> str:
        return f"Policy({self._enforcer})"

    def enforce(self, rule: str, token: Token, target: Target = ANYTHING) -> None:
        """Raise Forbidden unless `rule` allows who has `token` to act on `target`."""
        if not self.allows(rule, token, target):
            raise Forbidden(f"You are not authorized to complete {rule} action.")

    def allows(self, rule: str, token: Token, target: Target = ANYTHING) -> bool:
        """Tell whether `rule` allows who has `token` to act on `target`."""
        return self._enforcer.allows(rule, token, target)
