"""Attachments: who may use a volume. The state of the volume follows from them, in the same transaction.

Invariant: of a volume that is not made for several there is at most one. The database has a unique index on those that
are exclusive, so of two requests at the same moment one is refused, whatever this module thinks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from cluster.controlplane.database import refusing_duplicates
from compute.operations.table import operations
from compute.records import columns_of, new_id, record_of
from compute.volumes import volumes
from compute.volumes.errors import Invalid, NotFound, invalid_volume
from compute.volumes.schema import attachments
from compute.volumes.statuses import AttachMode, AttachStatus, VolumeStatus
from compute.volumes.volumes import Volume

DISMISSAL = "dismiss"  # the kind of operation that keeps out who had an attachment


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment."""

    id: str
    volume_id: str
    project_id: str
    created_at_us: int
    exclusive: bool = True
    status: str = AttachStatus.RESERVED
    mode: str = AttachMode.READ_WRITE
    instance_id: str | None = None
    attached_host: str | None = None
    mountpoint: str | None = None
    connector: Mapping[str, Any] | None = None
    attached_at_us: int | None = None
    updated_at_us: int | None = None

    @property
    def was_told(self) -> bool:
        """Tell whether somebody knows how to connect."""
        return self.status in (AttachStatus.ATTACHING, AttachStatus.ATTACHED)


def find(connection: Connection, attachment_id: str) -> Attachment | None:
    """Return an attachment; None: there is none."""
    row = connection.execute(select(attachments).where(attachments.c.id == attachment_id)).one_or_none()
    return None if row is None else record_of(Attachment, row)


def get(connection: Connection, attachment_id: str, project_id: str | None = None) -> Attachment:
    """Return an attachment; with a project, only if it is its. Raise NotFound."""
    query = select(attachments).where(attachments.c.id == attachment_id)
    if project_id is not None:
        query = query.where(attachments.c.project_id == project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("Attachment", attachment_id)
    return record_of(Attachment, row)


def of_volume(connection: Connection, volume_id: str) -> list[Attachment]:
    """Return the attachments of a volume, the oldest first."""
    query = select(attachments).where(attachments.c.volume_id == volume_id)
    query = query.order_by(attachments.c.created_at_us, attachments.c.id)
    return [record_of(Attachment, row) for row in connection.execute(query)]


def reserve(
    connection: Connection,
    volume: Volume,
    now_us: int,
    instance_id: str | None = None,
    mode: AttachMode = AttachMode.READ_WRITE,
) -> Attachment:
    """Keep a volume for somebody. Raise Invalid when it is not free."""
    held = of_volume(connection, volume.id)
    # of a server that is moved to another host both sides have an attachment for a while
    moves = bool(held) and instance_id is not None and all(each.instance_id == instance_id for each in held)
    if not volume.multiattach and is_being_dismissed(connection, volume.id):
        raise invalid_volume(f"volume {volume.id} is still being taken from who had it: try again")
    if held and not (moves or volume.multiattach):
        raise _taken(volume)
    if volume.status not in (_ATTACHED if held else _FREE):
        raise invalid_volume(f"volume {volume.id} is {volume.status}: it cannot be attached")
    if volume.readonly and mode is AttachMode.READ_WRITE and instance_id:
        mode = AttachMode.READ_ONLY
    made = _add(connection, volume, now_us, instance_id, mode, exclusive=not (moves or volume.multiattach))
    settle(connection, volume.id, now_us)
    return made


def connect(connection: Connection, attachment: Attachment, connector: Mapping[str, Any], now_us: int) -> Attachment:
    """Note who is about to connect. Raise Invalid when somebody has."""
    if attachment.status == AttachStatus.ATTACHED and attachment.connector not in (None, connector):
        raise Invalid(f"Attachment {attachment.id} is connected already.")
    columns: dict[str, Any] = {"connector": dict(connector), "attached_host": connector.get("host")}
    if connector.get("mountpoint"):
        columns["mountpoint"] = connector["mountpoint"]
    if connector.get("mode") in tuple(AttachMode):
        columns["mode"] = connector["mode"]
    if attachment.status != AttachStatus.ATTACHED:
        columns["status"] = AttachStatus.ATTACHING
    return _change(connection, attachment, now_us, **columns)


def complete(connection: Connection, attachment: Attachment, now_us: int, **columns: Any) -> Attachment:
    """Note that the volume is in use. Raise Invalid when nobody was about to."""
    if attachment.status == AttachStatus.ATTACHED:
        return attachment
    if attachment.status not in (AttachStatus.ATTACHING, AttachStatus.RESERVED):
        raise Invalid(f"Invalid attachment: {attachment.id} is {attachment.status}.")
    return _change(connection, attachment, now_us, status=AttachStatus.ATTACHED, attached_at_us=now_us, **columns)


def release(connection: Connection, attachment: Attachment, now_us: int) -> None:
    """Let go of a volume. Doing it again does nothing."""
    connection.execute(delete(attachments).where(attachments.c.id == attachment.id))
    settle(connection, attachment.volume_id, now_us)


def is_being_dismissed(connection: Connection, volume_id: str) -> bool:
    """Tell whether somebody may still be connected who had a volume before."""
    query = select(operations.c.details).where(operations.c.kind == DISMISSAL)
    return any(details["volume_id"] == volume_id for details in connection.scalars(query))


def settle(connection: Connection, volume_id: str, now_us: int) -> None:
    """Have a volume's state follow from its attachments, unless something else is done to it."""
    volume = volumes.get(connection, volume_id)
    status = volumes.settled_status(connection, volume)
    if volume.status in _FOLLOWING:
        if volume.status != status:
            volumes.change(connection, volume_id, now_us, status=status)
    elif volume.previous_status in _FOLLOWING:  # it is what the volume goes back to
        volumes.change(connection, volume_id, now_us, previous_status=status)


_FREE = frozenset((VolumeStatus.AVAILABLE, VolumeStatus.RESERVED, VolumeStatus.DOWNLOADING))
_ATTACHED = frozenset((VolumeStatus.RESERVED, VolumeStatus.ATTACHING, VolumeStatus.IN_USE, VolumeStatus.AVAILABLE))
_FOLLOWING = frozenset(
    (
        VolumeStatus.AVAILABLE,
        VolumeStatus.RESERVED,
        VolumeStatus.ATTACHING,
        VolumeStatus.DETACHING,
        VolumeStatus.IN_USE,
    )
)


def _taken(volume: Volume) -> Invalid:
    return invalid_volume(f"volume {volume.id} is attached, or about to be, and is not made for several")


def _add(
    connection: Connection, volume: Volume, now_us: int, instance_id: str | None, mode: AttachMode, exclusive: bool
) -> Attachment:
    made = Attachment(
        new_id(),
        volume.id,
        volume.project_id,
        now_us,
        exclusive=exclusive,
        mode=mode,
        instance_id=instance_id,
    )
    with refusing_duplicates(_taken(volume)):  # on PostgreSQL somebody was there a moment before
        connection.execute(insert(attachments).values(columns_of(attachments, made)))
    return made


def _change(connection: Connection, attachment: Attachment, now_us: int, **columns: Any) -> Attachment:
    connection.execute(
        update(attachments).where(attachments.c.id == attachment.id).values(**columns, updated_at_us=now_us)
    )
    settle(connection, attachment.volume_id, now_us)
    return get(connection, attachment.id)
