"""How tokens are given out: what an operator may set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Rules for new tokens."""

    lifetime_s: int = 3600  # longer: what was revoked has to be remembered longer; must be less than keys live
    allow_rescope: bool = True  # whether a token with a scope may be exchanged for one with another

    @property
    def lifetime_us(self) -> int:
        """Return the lifetime in the unit of the database."""
        return self.lifetime_s * 1_000_000
