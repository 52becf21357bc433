"""A change of the rings as the operator sees it. Values."""

from dataclasses import dataclass, field
from typing import Any

from tools.rings.wishes import Placed


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be done."""

    note: str  # "drain device 3"
    before: Placed  # as it is; nothing moved
    after: Placed
    plan: str  # what moves, how much, how long, what is thin meanwhile: for people
    facts: dict[str, Any] = field(default_factory=dict)  # the same for programs
    leaving: frozenset[int] = frozenset()  # devices that are to hold nothing in the end


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    rounds: int
    moved: int  # replicas
    balance: float  # percent
    dispersion: float

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "rounds": self.rounds,
            "moved": self.moved,
            "balance": round(self.balance, 2),
            "dispersion": round(self.dispersion, 2),
        }

    def sentence(self) -> str:
        """Return it for people."""
        if not self.moved:
            return "Nothing had to be moved."
        rounds = f" in {self.rounds} rounds" if self.rounds > 1 else ""
        return f"{self.moved} replicas moved{rounds}. {quality(self.balance, self.dispersion)}"


def quality(balance: float, dispersion: float) -> str:
    """Return how good a placement is, in words."""
    even = f"Devices hold what their weights say within {balance:.1f} %"
    spread = "replicas are as far apart as can be" if dispersion < 0.005 else (
        f"{dispersion:.1f} % of the replicas are closer together than they might be"
    )
    return f"{even}; {spread}."
