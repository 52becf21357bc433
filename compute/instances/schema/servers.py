"""Servers, and words about them."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String, Table, Text

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT, json, moments, other, own_id, owned, part_of
from compute.instances.schema.base import metadata

# The row of a deleted server stays for a while, for who asks what has changed: `deleted_at_us`. flavor: what it was
# when the server was made, or resized; old_flavor: before a resize that nobody has confirmed. power: as the host saw it
# last. image: what is to be known of the image that the server was made of. wish: where it is to be, by whoever made
# it (hints, host, zone). subnames: counts the exports that were made of its own disks, so that none is used twice.
servers = Table(
    "servers",
    metadata,
    own_id(),
    *owned(),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("description", Text, nullable=True),
    Column("hostname", String(NAME_LIMIT), nullable=False),
    Column("vm_state", String(32), nullable=False, index=True),
    Column("task_state", String(64), nullable=True),
    Column("power", Integer, nullable=False),
    Column("host", String(NAME_LIMIT), nullable=True, index=True),
    Column("old_host", String(NAME_LIMIT), nullable=True),
    Column("availability_zone", String(NAME_LIMIT), nullable=True),
    Column("flavor_id", String(NAME_LIMIT), nullable=False),
    json("flavor"),
    Column("old_flavor", JSON(none_as_null=True), nullable=True),
    Column("old_vm_state", String(32), nullable=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gb", Integer, nullable=False),
    Column("image_id", String(ID_LIMIT), nullable=True),
    json("image"),
    json("metadata"),
    Column("key_name", String(NAME_LIMIT), nullable=True),
    Column("key_data", Text, nullable=True),
    Column("user_data", Text, nullable=True),
    Column("config_drive", Boolean, nullable=False),
    Column("disk_config", String(8), nullable=False),
    Column("access_ipv4", String(64), nullable=True),
    Column("access_ipv6", String(64), nullable=True),
    json("security_groups"),  # names, as the client gave them
    json("wish"),
    Column("locked_by", String(8), nullable=True),
    Column("locked_reason", Text, nullable=True),
    Column("fault", JSON(none_as_null=True), nullable=True),
    Column("progress", Integer, nullable=False),
    Column("launch_index", Integer, nullable=False),
    Column("reservation_id", String(ID_LIMIT), nullable=False),
    Column("root_device_name", String(NAME_LIMIT), nullable=True),
    Column("rescue_image_id", String(ID_LIMIT), nullable=True),
    Column("subnames", Integer, nullable=False),
    Column("deletion_wanted", Boolean, nullable=False),
    Column("launched_at_us", BigInteger, nullable=True),
    Column("deleted_at_us", BigInteger, nullable=True, index=True),
    *moments(),
)

server_tags = Table(
    "server_tags", metadata, part_of("server_id", "servers.id"), Column("tag", String(60), primary_key=True)
)

# What a server is, was, or will be given of a host; the sum of them is never more than the host has. purpose: `server`,
# or `move`, while it is resized, and for what it can go back to.
claims = Table(
    "claims",
    metadata,
    part_of("server_id", "servers.id"),
    Column("host", String(NAME_LIMIT), primary_key=True, index=True),
    Column("purpose", String(16), primary_key=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
)

# What was done to servers: of an action, `events` in the order they began.
server_actions = Table(
    "server_actions",
    metadata,
    own_id(),
    Column("server_id", String(ID_LIMIT), nullable=False, index=True),
    Column("request_id", String(NAME_LIMIT), nullable=False),
    Column("action", String(NAME_LIMIT), nullable=False),
    other("project_id"),
    other("user_id"),
    Column("message", Text, nullable=True),
    Column("event", String(NAME_LIMIT), nullable=True),
    Column("event_result", String(32), nullable=True),
    Column("host", String(NAME_LIMIT), nullable=True),
    Column("started_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("event_started_at_us", BigInteger, nullable=True),
    Column("event_ended_at_us", BigInteger, nullable=True),
)

# Servers that went, or were to go, to another host, or to another flavor. number: as which old versions know it.
migrations = Table(
    "server_moves",
    metadata,
    own_id(),
    Column("number", Integer, nullable=False, unique=True),
    Column("server_id", String(ID_LIMIT), nullable=False, index=True),
    *owned(),
    Column("kind", String(32), nullable=False),  # migration, resize, evacuation
    Column("status", String(32), nullable=False),
    Column("source", String(NAME_LIMIT), nullable=True),
    Column("target", String(NAME_LIMIT), nullable=True),
    Column("old_flavor_id", String(NAME_LIMIT), nullable=True),
    Column("new_flavor_id", String(NAME_LIMIT), nullable=True),
    *moments(),
)
