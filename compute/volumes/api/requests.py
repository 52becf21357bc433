"""What most operations begin with: whose a thing is, and whether the caller may do that to it."""

from typing import Any, Protocol

from cluster.controlplane.errors import Malformed
from compute.context import Context
from compute.microversions import minor
from compute.operations import journal
from compute.policy import Target
from compute.volumes import attachments, backups, snapshots, volumes
from compute.volumes.api.parts import Parts
from compute.volumes.attachments import Attachment
from compute.volumes.backups import Backup
from compute.volumes.errors import NotFound
from compute.volumes.snapshots import Snapshot
from compute.volumes.volumes import Volume

Request = Context[Parts]


class Owned(Protocol):
    """What belongs to a project."""

    @property
    def project_id(self) -> str: ...


def sees_all(context: Request) -> bool:
    """Tell whether the caller is an administrator: sees other projects, and where things are."""
    return context.allows("volume:see_all")


def project_of(context: Request) -> str:
    """Return the project that the caller acts for. Raise Malformed when there is none."""
    if context.project_id is None:
        raise Malformed("A token for a project is needed.")
    return context.project_id


def own_target(context: Request) -> Target:
    """Return what rules are told of what is the caller's own."""
    return {"project_id": context.project_id, "user_id": context.caller.user.id}


def target_of(owned: Owned) -> Target:
    """Return what rules are told of a thing."""
    return {"project_id": owned.project_id, "user_id": getattr(owned, "user_id", None)}


def permitted(context: Request, owned: Owned, reading: str, rule: str, what: str, identifier: str) -> None:
    """Raise unless the caller may do what `rule` is about; NotFound, when not even `reading` is for it."""
    target = target_of(owned)
    if not context.allows(reading, target):
        raise NotFound(what, identifier)
    context.enforce(rule, target)


def volume_for(context: Request, rule: str, volume_id: str) -> Volume:
    """Return a volume that the caller may do something to. Raise NotFound, Forbidden."""
    context.caller  # noqa: B018 who is nobody learns nothing
    found = volumes.get(context.connection, volume_id)
    permitted(context, found, "volume:get", rule, "Volume", volume_id)
    return found


def snapshot_for(context: Request, rule: str, snapshot_id: str) -> Snapshot:
    """Return a snapshot that the caller may do something to. Raise NotFound, Forbidden."""
    context.caller  # noqa: B018 who is nobody learns nothing
    found = snapshots.get(context.connection, snapshot_id)
    permitted(context, found, "volume:get_snapshot", rule, "Snapshot", snapshot_id)
    return found


def backup_for(context: Request, rule: str, backup_id: str) -> Backup:
    """Return a backup that the caller may do something to. Raise NotFound, Forbidden."""
    context.caller  # noqa: B018 who is nobody learns nothing
    found = backups.get(context.connection, backup_id)
    permitted(context, found, "backup:get", rule, "Backup", backup_id)
    return found


def attachment_for(context: Request, rule: str, attachment_id: str) -> Attachment:
    """Return an attachment that the caller may do something to. Raise NotFound, Forbidden."""
    context.caller  # noqa: B018 who is nobody learns nothing
    found = attachments.get(context.connection, attachment_id)
    permitted(context, found, "volume:attachment_get", rule, "Attachment", attachment_id)
    return found


def begin(context: Request, kind: str, subject: tuple[str, str], project_id: str, **details: Any) -> None:
    """Have an operation be carried out once this request is committed."""
    journal.note(context.connection, context.now_us, kind, subject, project_id, context.request_id, **details)
    context.afterwards(context.parts.poke)


def links(context: Request, path: str) -> list[dict[str, str]]:
    """Return the links of a resource that is at `path` below the project."""
    project = f"{context.project_id}/" if context.project_id else ""
    return [
        {"rel": "self", "href": f"{context.base_url}/v3/{project}{path}"},
        {"rel": "bookmark", "href": f"{context.base_url}/{project}{path}"},
    ]


def at_least(context: Request, number: int) -> bool:
    """Tell whether the client speaks version 3.`number`, or a newer one."""
    return minor(context) >= number
