"""How the identity service is configured: per field a default, a unit, and what extremes do."""

from dataclasses import dataclass, field

from identity.keystone.lockout import LockoutRules
from identity.keystone.passwords import PasswordRules
from identity.keystone.tokens.rules import TokenRules
from identity.keystone.tokens.token import DEFAULT_DOMAIN_ID


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    public_url: str = ""  # what links begin with; empty: the address that the client used
    default_domain_id: str = DEFAULT_DOMAIN_ID  # where names are looked for that come without a domain
    max_project_depth: int = 5  # projects below one another, the domain not counted; each costs a query per token
    passwords: PasswordRules = field(default_factory=PasswordRules)
    lockout: LockoutRules = field(default_factory=LockoutRules)
    tokens: TokenRules = field(default_factory=TokenRules)
