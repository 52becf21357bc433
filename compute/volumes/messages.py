"""What users are told of what failed after the answer: Cinder's user messages."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from compute.records import columns_of, new_id, record_of
from compute.volumes.errors import NotFound
from compute.volumes.schema import messages

ERROR = "ERROR"
DAY_US = 86_400 * 1_000_000
RESOURCES = {"volume": "VOLUME", "snapshot": "VOLUME_SNAPSHOT", "backup": "VOLUME_BACKUP"}
_EVENT = "VOLUME_{kind}_001_{number:03}"  # unknown detail; the text says what it was


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    id: str
    project_id: str
    resource_type: str
    resource_id: str
    event_id: str
    action: str
    detail: str
    level: str
    request_id: str
    expires_at_us: int
    created_at_us: int
    updated_at_us: int | None = None

    @property
    def text(self) -> str:
        """Return what the user reads."""
        return f"{self.action}: {self.detail}"


def tell(
    connection: Connection,
    now_us: int,
    project_id: str,
    request_id: str,
    subject: tuple[str, str],
    action: str,
    detail: str,
    keep_days: int = 30,
) -> None:
    """Leave a message about `subject`, a kind and an id."""
    kind, resource_id = subject
    told = Message(
        id=new_id(),
        project_id=project_id,
        resource_type=RESOURCES.get(kind, kind.upper()),
        resource_id=resource_id,
        event_id=_EVENT.format(kind=RESOURCES.get(kind, kind.upper()), number=1),
        action=action,
        detail=detail,
        level=ERROR,
        request_id=request_id,
        expires_at_us=now_us + keep_days * DAY_US,
        created_at_us=now_us,
    )
    connection.execute(insert(messages).values(columns_of(messages, told)))


def get(connection: Connection, message_id: str, project_id: str | None = None) -> Message:
    """Return a message; with a project, only if it is its. Raise NotFound."""
    query = select(messages).where(messages.c.id == message_id)
    if project_id is not None:
        query = query.where(messages.c.project_id == project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("Message", message_id)
    return record_of(Message, row)


def remove(connection: Connection, message_id: str) -> None:
    """Forget a message."""
    connection.execute(delete(messages).where(messages.c.id == message_id))


def sweep(connection: Connection, now_us: int) -> int:
    """Forget messages that are too old; return how many."""
    return connection.execute(delete(messages).where(messages.c.expires_at_us < now_us)).rowcount
