"""What a kind of operation works with here: see `compute.operations.work`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from cluster.controlplane.database import Database
from compute.operations import work
from compute.operations.journal import Operation
from compute.volumes import messages
from compute.volumes.backend import Archive, Backend, Images, Mover, Servers
from compute.volumes.compute_service import NoServers
from compute.volumes.settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """Those who do things."""

    backend: Backend
    archive: Archive
    mover: Mover
    images: Images
    servers: Servers = field(default_factory=NoServers)


class Work(work.Work[Tools]):
    """One operation that is carried out."""

    def __init__(
        self, operation: Operation, database: Database, tools: Tools, settings: Settings, clock_us: Callable[[], int]
    ) -> None:
        super().__init__(operation, database, tools, clock_us)
        self.settings = settings

    @property
    def backend(self) -> Backend:
        """Return the gateway."""
        return self.tools.backend

    def tell(self, connection: Connection, now_us: int, action: str, why: str) -> None:
        """Leave a message for the user about what failed."""
        operation = self.operation
        messages.tell(
            connection,
            now_us,
            operation.project_id,
            operation.request_id,
            (operation.subject_kind, operation.subject_id),
            action,
            why,
            self.settings.message_days,
        )


Kind = work.Kind[Work]
