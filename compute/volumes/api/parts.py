"""What operations work with; the same for all requests."""

from collections.abc import Callable
from dataclasses import dataclass

from cluster.controlplane.database import Database
from compute.policy import Policy
from compute.tokens import Tokens
from compute.volumes.backend import Images, Place, Servers
from compute.volumes.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """See `compute.context.Parts`."""

    database: Database
    tokens: Tokens
    policy: Policy
    settings: Settings
    images: Images
    servers: Servers
    place_of: Callable[[str, str], Place]  # of backups, by project and container
    poke: Callable[[], None]  # there is an operation to be carried out
    hasten: Callable[[str], None]  # there is one that is waited for, by its id

    @property
    def public_url(self) -> str:
        """Return what links begin with; empty: the address that the client used."""
        return self.settings.public_url
