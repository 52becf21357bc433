"""All tables of the volume service.

Ids are UUIDs with hyphens. Moments are integers: microseconds since 1970, UTC. Sizes of volumes are in GiB, as in the
API. Projects and users are known by id alone; the identity service has them.

A change here comes with a migration; a test compares the two.
"""


from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from cluster.controlplane.columns import (
    ID_LIMIT,
    NAME_LIMIT,
    json,
    moments,
    new_metadata,
    other,
    own_id,
    owned,
    part_of,
)
from compute.operations.table import operations

STATUS_LIMIT = 32

metadata = new_metadata()


def _told() -> "list[Column[str]]":
    return [Column("name", String(NAME_LIMIT), nullable=True), Column("description", Text, nullable=True)]


def _status() -> "Column[str]":
    return Column("status", String(STATUS_LIMIT), nullable=False)


def _words_of(table: str, owner: str) -> Table:
    """Return a table of words by their keys."""
    return Table(
        table,
        metadata,
        part_of(owner, f"{owner.removesuffix('_id')}s.id"),
        Column("key", String(NAME_LIMIT), primary_key=True),
        Column("value", Text, nullable=False),
    )


# Kinds of volumes. extra_specs: what the service and the scheduler are told of the kind.
volume_types = Table(
    "volume_types",
    metadata,
    own_id(),
    Column("name", String(NAME_LIMIT), nullable=False, unique=True),
    Column("description", Text, nullable=True),
    Column("is_public", Boolean, nullable=False),
    json("extra_specs"),
    Column("qos_specs_id", String(ID_LIMIT), ForeignKey("qos_specs.id"), nullable=True, index=True),
    *moments(),
)

# Projects that may use a type which is not public.
type_access = Table(
    "type_access",
    metadata,
    part_of("volume_type_id", "volume_types.id"),
    Column("project_id", String(ID_LIMIT), primary_key=True),
)

# Types whose volumes are encrypted. The gateway does it, whatever was asked for in particular.
type_encryptions = Table(
    "type_encryptions",
    metadata,
    part_of("volume_type_id", "volume_types.id"),
    Column("id", String(ID_LIMIT), nullable=False, unique=True),
    Column("provider", String(NAME_LIMIT), nullable=False),
    Column("control_location", String(STATUS_LIMIT), nullable=False),
    Column("cipher", String(NAME_LIMIT), nullable=True),
    Column("key_size", Integer, nullable=True),
    *moments(),
)

# Which type a project's volumes have when none is named.
default_types = Table(
    "default_types",
    metadata,
    own_id("project_id"),
    Column("volume_type_id", String(ID_LIMIT), ForeignKey("volume_types.id", ondelete="CASCADE"), nullable=False),
)

# Limits that types refer to: how many requests, how many bytes by second.
qos_specs = Table(
    "qos_specs",
    metadata,
    own_id(),
    Column("name", String(NAME_LIMIT), nullable=False, unique=True),
    Column("consumer", String(STATUS_LIMIT), nullable=False),  # back-end, front-end, both
    json("specs"),
    *moments(),
)

# reserved_gb: what an extension that is under way will add. previous_status:
# what a passing state (uploading, backing-up) ends with. readonly: NULL: nobody has said.
volumes = Table(
    "volumes",
    metadata,
    own_id(),
    *owned(),
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
    other("snapshot_id", index=True),
    other("source_volid"),
    other("backup_id"),
    *moments(),
    CheckConstraint("reserved_gb >= 0", name="reserves_nothing_less"),
)

volume_metadata = _words_of("volume_metadata", "volume_id")
volume_image_metadata = _words_of("volume_image_metadata", "volume_id")

snapshots = Table(
    "snapshots",
    metadata,
    own_id(),
    *owned(),
    *_told(),
    Column("volume_id", String(ID_LIMIT), ForeignKey("volumes.id"), nullable=False, index=True),
    Column("volume_size", Integer, nullable=False),
    Column("volume_type_id", String(ID_LIMIT), nullable=False),  # of the volume at that time
    _status(),
    Column("progress", String(8), nullable=True),  # as somebody else has told; NULL: as the status says
    *moments(),
)

snapshot_metadata = _words_of("snapshot_metadata", "snapshot_id")

# The right to use a volume. exclusive: nobody else may have one meanwhile; the index below is the lease. connector: who
# it is that connects. mountpoint: what the guest calls it.
attachments = Table(
    "attachments",
    metadata,
    own_id(),
    Column("volume_id", String(ID_LIMIT), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", String(ID_LIMIT), nullable=False, index=True),
    other("instance_id", index=True),
    Column("attached_host", String(NAME_LIMIT), nullable=True),
    Column("mountpoint", String(NAME_LIMIT), nullable=True),
    Column("mode", String(STATUS_LIMIT), nullable=False),
    Column("status", String(STATUS_LIMIT), nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("connector", JSON, nullable=True),
    Column("attached_at_us", BigInteger, nullable=True),
    *moments(),
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
    own_id(),
    *owned(),
    *_told(),
    Column("volume_id", String(ID_LIMIT), nullable=False, index=True),
    other("snapshot_id"),
    Column("size", Integer, nullable=False),
    _status(),
    Column("fail_reason", Text, nullable=True),
    Column("is_incremental", Boolean, nullable=False),
    other("parent_id", index=True),
    Column("container", String(NAME_LIMIT), nullable=False),
    Column("location", JSON, nullable=True),
    Column("object_count", Integer, nullable=False),
    Column("availability_zone", String(NAME_LIMIT), nullable=True),
    Column("data_timestamp_us", BigInteger, nullable=False),
    json("about"),  # of the volume: type, metadata, bootable, image metadata, encrypted
    json("metadata"),
    Column("restored_volume_id", String(ID_LIMIT), nullable=True),
    *moments(),
)

# A volume that is offered to another project. The key is kept as salt and hash.
transfers = Table(
    "transfers",
    metadata,
    own_id(),
    Column("name", String(NAME_LIMIT), nullable=True),
    Column("volume_id", String(ID_LIMIT), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("salt", String(64), nullable=False),
    Column("key_hash", String(128), nullable=False),
    Column("source_project_id", String(ID_LIMIT), nullable=False, index=True),
    Column("no_snapshots", Boolean, nullable=False),
    *moments(),
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
    own_id(),
    Column("project_id", String(ID_LIMIT), nullable=False, index=True),
    Column("resource_type", String(NAME_LIMIT), nullable=False),
    Column("resource_id", String(ID_LIMIT), nullable=False),
    Column("event_id", String(NAME_LIMIT), nullable=False),
    Column("action", String(NAME_LIMIT), nullable=False),
    Column("detail", Text, nullable=False),
    Column("level", String(STATUS_LIMIT), nullable=False),
    Column("request_id", String(NAME_LIMIT), nullable=False),
    Column("expires_at_us", BigInteger, nullable=False, index=True),
    *moments(),
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
