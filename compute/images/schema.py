"""All tables of the image service.

Moments are integers: microseconds since 1970, UTC. What belongs to an image goes with it. The row of a deleted image
stays for a while, so that nobody is given its id again; what it had is gone.

A change here comes with a migration; a test compares the two.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from cluster.controlplane.columns import new_metadata

ID_LIMIT = 36  # characters of an image's id
KEY_LIMIT = 80  # of a content's key: image id, slash, 32 digits
NAME_LIMIT = 255
PROJECT_LIMIT = 255  # of a project's id: clients choose it when they share

metadata = new_metadata()


def _of_image() -> "Column[str]":
    """Return a reference, part of the primary key, to the image that a row belongs to, and goes with."""
    return Column("image_id", String(ID_LIMIT), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)


# What clients know as images. content_key names the content that an image has, or that is just written for it.
images = Table(
    "images",
    metadata,
    Column("id", String(ID_LIMIT), primary_key=True),
    Column("name", String(NAME_LIMIT), nullable=True),
    Column("owner", String(PROJECT_LIMIT), nullable=True, index=True),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("disk_format", String(20), nullable=True),
    Column("container_format", String(20), nullable=True),
    Column("min_disk", Integer, nullable=False),  # GiB
    Column("min_ram", Integer, nullable=False),  # MiB
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("size", BigInteger, nullable=True),  # bytes; NULL: not known yet
    Column("virtual_size", BigInteger, nullable=True),
    Column("checksum", String(32), nullable=True),  # MD5
    Column("hash_algo", String(16), nullable=True),
    Column("hash_value", String(128), nullable=True),
    Column("content_key", String(KEY_LIMIT), nullable=True),
    Column("failed_import", Boolean, nullable=False),  # the last one did
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("deleted_at_us", BigInteger, nullable=True, index=True),
    Index("ix_images_visibility_status", "visibility", "status"),
    Index("ix_images_created_at_us_id", "created_at_us", "id"),
)

# What clients say of an image beside that: texts by name.
properties = Table(
    "properties",
    metadata,
    _of_image(),
    Column("name", String(NAME_LIMIT), primary_key=True, index=True),
    Column("value", Text, nullable=False),
)

# Words that images are found by.
tags = Table(
    "tags",
    metadata,
    _of_image(),
    Column("name", String(NAME_LIMIT), primary_key=True, index=True),
)

# With which projects an image is shared, and what they think of that: pending, accepted, rejected.
members = Table(
    "members",
    metadata,
    _of_image(),
    Column("project_id", String(PROJECT_LIMIT), primary_key=True, index=True),
    Column("status", String(16), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
)

# Objects in the store. A row is there before its object, and until it is certain that there is none: contents.py.
contents = Table(
    "contents",
    metadata,
    Column("key", String(KEY_LIMIT), primary_key=True),
    Column("image_id", String(ID_LIMIT), nullable=False, index=True),  # may be gone
    Column("project_id", String(PROJECT_LIMIT), nullable=True, index=True),  # in whose limits it counts
    Column("purpose", String(8), nullable=False),  # data, staged
    Column("state", String(8), nullable=False, index=True),  # writing, whole, unwanted
    Column("worker_id", String(32), nullable=False, index=True),  # who writes it
    Column("removed_until_us", BigInteger, nullable=False),  # unwanted: it is removed again and again until then
    Column("size", BigInteger, nullable=False),  # bytes; of one that is written: 0
    Column("virtual_size", BigInteger, nullable=True),
    Column("checksum", String(32), nullable=True),
    Column("hash_value", String(128), nullable=True),
    Column("refusal", Text, nullable=True),  # why a staged one cannot be imported
    Column("created_at_us", BigInteger, nullable=False),
)

# Imports: asked for, done by whoever has the time, and told of afterwards.
tasks = Table(
    "tasks",
    metadata,
    Column("id", String(ID_LIMIT), primary_key=True),
    Column("image_id", String(ID_LIMIT), nullable=False, index=True),
    Column("status", String(16), nullable=False, index=True),  # pending, processing, success, failure
    Column("owner", String(PROJECT_LIMIT), nullable=True),
    Column("user_id", String(NAME_LIMIT), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("input", JSON, nullable=False),  # the import request
    Column("message", Text, nullable=False),
    Column("worker_id", String(32), nullable=True, index=True),  # of one that is processing
    Column("attempts", Integer, nullable=False),  # begun so far
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=True, index=True),  # of one that is over
)

# Processes that write contents and do tasks: workers.py.
workers = Table(
    "workers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("place", String(NAME_LIMIT), nullable=False),
    Column("seen_at_us", BigInteger, nullable=False),
)

# Images as snapshots of volumes: golden.py. The row outlives the image until the volume is gone.
goldens = Table(
    "goldens",
    metadata,
    Column("image_id", String(ID_LIMIT), primary_key=True),
    Column("state", String(16), nullable=False, index=True),  # wanted, converting, ready, failed, unwanted
    Column("worker_id", String(32), nullable=True),
    Column("size", BigInteger, nullable=True),  # of the volume, bytes
    Column("message", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("changed_at_us", BigInteger, nullable=False),
)

# What single projects may have instead of the defaults: limits.py.
limits = Table(
    "limits",
    metadata,
    Column("project_id", String(PROJECT_LIMIT), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
