"""The states of images, of sharing, of tasks. Which step of an image leads where."""

import enum


class Status(enum.Enum):
    """Where an image is in its life."""

    QUEUED = "queued"  # it has no data
    SAVING = "saving"  # data is being uploaded
    UPLOADING = "uploading"  # data is being staged, or is staged
    IMPORTING = "importing"  # staged or remote data is being taken over
    ACTIVE = "active"  # it has its data, for ever
    DEACTIVATED = "deactivated"  # nobody may have its data for now
    DELETED = "deleted"
    KILLED = "killed"  # of older APIs; no image comes here
    PENDING_DELETE = "pending_delete"  # likewise


WITH_DATA = frozenset((Status.ACTIVE, Status.DEACTIVATED))
BRINGING_IN = frozenset((Status.SAVING, Status.UPLOADING, Status.IMPORTING))  # what counts as uploading
_NEXT = {
    Status.QUEUED: frozenset((Status.SAVING, Status.UPLOADING, Status.IMPORTING)),
    Status.SAVING: frozenset((Status.ACTIVE, Status.QUEUED)),
    Status.UPLOADING: frozenset((Status.IMPORTING, Status.QUEUED)),
    Status.IMPORTING: frozenset((Status.ACTIVE, Status.QUEUED)),
    Status.ACTIVE: frozenset((Status.DEACTIVATED, Status.ACTIVE)),
    Status.DEACTIVATED: frozenset((Status.ACTIVE, Status.DEACTIVATED)),
}


def may_become(status: Status, following: Status) -> bool:
    """Tell whether an image goes from one to the other; any may be deleted, once."""
    if following is Status.DELETED:
        return status is not Status.DELETED
    return following in _NEXT.get(status, ())


class Visibility(enum.Enum):
    """Who sees an image."""

    PUBLIC = "public"  # everybody, in their listings
    COMMUNITY = "community"  # everybody who asks for it
    SHARED = "shared"  # its owner, and the projects that are its members
    PRIVATE = "private"  # its owner


class MemberStatus(enum.Enum):
    """What a project thinks of an image that is shared with it: an accepted one is in its listings."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class TaskStatus(enum.Enum):
    """Where an import is."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"
