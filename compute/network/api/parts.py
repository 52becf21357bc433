"""What operations work with; the same for all requests."""

from dataclasses import dataclass

from cluster.controlplane.database import Database
from compute.network.settings import Settings
from compute.policy import Policy
from compute.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Parts:
    """See `compute.context.Parts`."""

    database: Database
    tokens: Tokens
    policy: Policy
    settings: Settings

    @property
    def public_url(self) -> str:
        """Return what links begin with; empty: the address that the client used."""
        return self.settings.public_url
