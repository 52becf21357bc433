"""All tables of the volume service.

Ids are UUIDs with hyphens. Moments are integers: microseconds since 1970, UTC. Sizes of volumes are in GiB, as in the
API. Projects and users are known by id alone; the identity service has them.

A change here comes with a migration; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from compute.operations.table import operations

ID_LIMIT = 64  # characters
NAME_LIMIT = 255
STATUS_LIMIT = 32

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str = "id") -> "Column[str]":
    return Column(name, String(ID_LIMIT), primary_key=True)


def _other(name: str, index: bool = False) -> "Column[str]":
    """Return the id of something that may be gone, or is known elsewhere."""
    return Column(name, String(ID_LIMIT), nullable=True, index=index)


def _part(name: str, target: str) -> "Column[str]":
    """Return a reference that is part of the primary key; the row goes with what it belongs to."""
    return Column(name, String(ID_LIMIT), ForeignKey(target, ondelete="CASCADE"), primary_key=True)


def _owned() -> "list[Column[str]]":
    """Return whose a row is."""
    return [
        Column("project_id", String(ID_LIMIT), nullable=False, index=True),
        Column("user_id", String(ID_LIMIT), nullable=False),
    ]


def _told() -> "list[Column[str]]":
    return [Column("name", String(NAME_LIMIT), nullable=True), Column("description", Text, nullable=True)]


def _moments() -> "list[Column[int]]":
    return [Column("created_at_us", BigInteger, nullable=False), Column("updated_at_us", BigInteger, nullable=True)]


def _json(name: str) -> "Column[dict[str, Any]]":
    return Column(name, JSON, nullable=False)


def _status() -> "Column[str]":
    return Column("status", String(STATUS_LIMIT), nullable=False)


def _words_of(table: str, owner: str) -> Table:
    """Return a table of words by their keys."""
    return Table(
        table,
        metadata,
        _part(owner, f"{owner.removesuffix('_id')}s.id"),
        Column("key", String(NAME_LIMIT), primary_key=True),
        Column("value", Text, nullable=False),
    )


# Kinds of volumes. extra_specs: what the service and the scheduler are told of the kind.
volume_types = Table(
    "volume_types",
    metadata,
    _id(),
    Column("name", String(NAME_LIMIT), nullable=False, unique=True),
    Column("description", Text, nullable=True),
    Column("is_public", Boolean, nullable=False),
    _json("extra_specs"),
    Column("qos_specs_id", String(ID_LIMIT), ForeignKey("qos_specs.id"), nullable=True, index=True),
    *_moments(),
)

# Projects that may use a type which is not public.
type_access = Table(
    "type_access",
    metadata,
    _part("volume_type_id", "volume_types.id"),
    Column("project_id", String(ID_LIMIT), primary_key=True),
)

# Types whose volumes are encrypted. The gateway does it, whatever was asked for in particular.
type_encryptions = Table(
    "type_encryptions",
    metadata,
    _part("volume_type_id", "volume_types.id"),
    Column("id", String(ID_LIMIT), nullable=False, unique=True),
    Column("provider", String(NAME_LIMIT), nullable=False),
    Column("control_location", String(STATUS_LIMIT), nullable=False),
    Column("cipher", String(NAME_LIMIT), nullable=True),
    Column("key_size", Integer, nullable=True),
    *_moments(),
)

# Which type a project's volumes have when none is named.
default_types = Table(
    "default_types",
    metadata,
    _id("project_id"),
    Column("volume_type_id", String(ID_LIMIT), ForeignKey("volume_types.id", ondelete="CASCADE"), nullable=False),
)

# Limits that types refer to: how many requests, how many bytes by second.
qos_specs = Table(
    "qos_specs",
    metadata,
    _id(),
    Column("name", String(NAME_LIMIT), nullable=False, unique=True),
    Column("consumer", String(STATUS_LIMIT), nullable=False),  # back-end, front-end, both
    _json("specs"),
    *_moments(),
)

# reserved_gb: what an extension that is under way will add. previous_status:
# what a passing state (uploading, backing-up) ends with. readonly: NULL: nobody has said.
volumes = Table(
    "volumes",
    metadata,
    _id(),
    *_owned(),
    *_told(),
    Column("size", Integer, nullable=False),
    Column("reserved_gb", Integer, nullable=False),
    _status(),
    Column("previous_status", String(STATUS_LIMIT), nullable=True),
    Column("volume_type_id", String(ID_LIMIT), ForeignKey("volume_types.id"), nullable=False, index=True),
    Column("availability_zone", String(NAME_LIMIT), nullable=False),
    Column("bootable", Boolean, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("encrypted", Boolean, nullable=False),
    Column("readonly", Boolean, nullable=True),
    _other("snapshot_id", index=True),
    _other("source_volid"),
    _other("backup_id"),
    *_moments(),
    CheckConstraint("reserved_gb >= 0", name="reserves_nothing_less"),
)

volume_metadata = _words_of("volume_metadata", "volume_id")
volume_image_metadata = _words_of("volume_image_metadata", "volume_id")

snapshots = Table(
    "snapshots",
    metadata,
    _id(),
    *_owned(),
    *_told(),
    Column("volume_id", String(ID_LIMIT), ForeignKey("volumes.id"), nullable=False, index=True),
    Column("volume_size", Integer, nullable=False),
    Column("volume_type_id", String(ID_LIMIT), nullable=False),  # of the volume at that time
    _status(),
    Column("progress", String(8), nullable=True),  # as somebody else has told; NULL: as the status says
    *_moments(),
)

snapshot_metadata = _words_of("snapshot_metadata", "snapshot_id")

# The right to use a volume. exclusive: nobody else may have one meanwhile; the index below is the lease. connector: who
# it is that connects. mountpoint: what the guest calls it.
attachments = Table(
    "attachments",
    metadata,
    _id(),
    Column("volume_id", String(ID_LIMIT), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", String(ID_LIMIT), nullable=False, index=True),
    _other("instance_id", index=True),
    Column("attached_host", String(NAME_LIMIT), nullable=True),
    Column("mountpoint", String(NAME_LIMIT), nullable=True),
    Column("mode", String(STATUS_LIMIT), nullable=False),
    Column("status", String(STATUS_LIMIT), nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("connector", JSON, nullable=True),
    Column("attached_at_us", BigInteger, nullable=True),
    *_moments(),
    Index(
        "uq_attachments_lease",
        "volume_id",
        unique=True,
        sqlite_where=text("exclusive"),
        postgresql_where=text("exclusive"),
    ),
)

# A volume as it was, in a bucket. location: where; record: what it is called there (`archive`). volume_id may be gone.
backups = Table(
    "backups",
    metadata,
    _id(),
    *_owned(),
    *_told(),
    Column("volume_id", String(ID_LIMIT), nullable=False, index=True),
    _other("snapshot_id"),
    Column("size", Integer, nullable=False),
    _status(),
    Column("fail_reason", Text, nullable=True),
    Column("is_incremental", Boolean, nullable=False),
    _other("parent_id", index=True),
    Column("container", String(NAME_LIMIT), nullable=False),
    Column("location", JSON, nullable=True),
    Column("object_count", Integer, nullable=False),
    Column("availability_zone", String(NAME_LIMIT), nullable=True),
    Column("data_timestamp_us", BigInteger, nullable=False),
    _json("about"),  # of the volume: type, metadata, bootable, image metadata, encrypted
    _json("metadata"),
    Column("restored_volume_id", String(ID_LIMIT), nullable=True),
    *_moments(),
)

# A volume that is offered to another project. The key is kept as salt and hash.
transfers = Table(
    "transfers",
    metadata,
    _id(),
    Column("name", String(NAME_LIMIT), nullable=True),
    Column("volume_id", String(ID_LIMIT), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("salt", String(64), nullable=False),
    Column("key_hash", String(128), nullable=False),
    Column("source_project_id", String(ID_LIMIT), nullable=False, index=True),
    Column("no_snapshots", Boolean, nullable=False),
    *_moments(),
)

# Limits of a project, or (kind "class") of all projects that have none of their own.
quotas = Table(
    "quotas",
    metadata,
    Column("kind", String(8), primary_key=True),  # project, class
    Column("owner", String(NAME_LIMIT), primary_key=True),
    Column("resource", String(NAME_LIMIT + 16), primary_key=True),
    Column("limit", BigInteger, nullable=False),
)

# What users are told of what failed after the answer.
messages = Table(
    "messages",
    metadata,
    _id(),
    Column("project_id", String(ID_LIMIT), nullable=False, index=True),
    Column("resource_type", String(NAME_LIMIT), nullable=False),
    Column("resource_id", String(ID_LIMIT), nullable=False),
    Column("event_id", String(NAME_LIMIT), nullable=False),
    Column("action", String(NAME_LIMIT), nullable=False),
    Column("detail", Text, nullable=False),
    Column("level", String(STATUS_LIMIT), nullable=False),
    Column("request_id", String(NAME_LIMIT), nullable=False),
    Column("expires_at_us", BigInteger, nullable=False, index=True),
    *_moments(),
)

# Parts of the service that an administrator has taken out of service, and when each was seen last.
services = Table(
    "services",
    metadata,
    Column("binary", String(NAME_LIMIT), primary_key=True),
    Column("host", String(NAME_LIMIT), primary_key=True),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=True),
    Column("updated_at_us", BigInteger, nullable=False),
)

# What is being done to the gateway: written in the transaction of the request, deleted in that of the outcome. subject:
# of which there is one operation at a time. details: all that it takes to do it again. step: what was done last.
operations.to_metadata(metadata)

# What was deleted, but clones read through it: of the gateway's volume, one snapshot, or (empty) all of it.
remains = Table(
    "remains",
    metadata,
    Column("volume", String(NAME_LIMIT), primary_key=True),
    Column("snapshot", String(NAME_LIMIT), primary_key=True),
    Column("created_at_us", BigInteger, nullable=False),
)
