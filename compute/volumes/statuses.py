"""The states that clients see, with the names that Cinder gave them."""

from enum import StrEnum


class VolumeStatus(StrEnum):
    """Of a volume."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESERVED = "reserved"  # somebody is going to attach it
    ATTACHING = "attaching"
    DETACHING = "detaching"
    IN_USE = "in-use"
    MAINTENANCE = "maintenance"
    DELETING = "deleting"
    AWAITING_TRANSFER = "awaiting-transfer"
    BACKING_UP = "backing-up"
    RESTORING = "restoring-backup"
    DOWNLOADING = "downloading"  # it is filled with an image
    UPLOADING = "uploading"  # it becomes an image
    RETYPING = "retyping"
    EXTENDING = "extending"
    REVERTING = "reverting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"
    ERROR_EXTENDING = "error_extending"
    ERROR_RESTORING = "error_restoring"
    ERROR_BACKING_UP = "error_backing-up"


class SnapshotStatus(StrEnum):
    """Of a snapshot."""

    CREATING = "creating"
    AVAILABLE = "available"
    DELETING = "deleting"
    BACKING_UP = "backing-up"
    RESTORING = "restoring"  # its volume is made what it was
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class BackupStatus(StrEnum):
    """Of a backup."""

    CREATING = "creating"
    AVAILABLE = "available"
    DELETING = "deleting"
    RESTORING = "restoring"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class AttachStatus(StrEnum):
    """Of an attachment."""

    RESERVED = "reserved"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHED = "detached"


class AttachMode(StrEnum):
    """What a host may do with a volume."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"


DELETABLE_VOLUME = frozenset(
    (
        VolumeStatus.AVAILABLE,
        VolumeStatus.ERROR,
        VolumeStatus.ERROR_RESTORING,
        VolumeStatus.ERROR_EXTENDING,
        VolumeStatus.ERROR_DELETING,
    )
)
DELETABLE_SNAPSHOT = frozenset((SnapshotStatus.AVAILABLE, SnapshotStatus.ERROR, SnapshotStatus.ERROR_DELETING))
DELETABLE_BACKUP = frozenset((BackupStatus.AVAILABLE, BackupStatus.ERROR, BackupStatus.ERROR_DELETING))

# what an administrator may set by hand
RESETTABLE_VOLUME = frozenset(VolumeStatus)
RESETTABLE_SNAPSHOT = frozenset(
    (
        SnapshotStatus.AVAILABLE,
        SnapshotStatus.CREATING,
        SnapshotStatus.DELETING,
        SnapshotStatus.ERROR,
        SnapshotStatus.ERROR_DELETING,
    )
)
RESETTABLE_BACKUP = frozenset((BackupStatus.AVAILABLE, BackupStatus.ERROR))
