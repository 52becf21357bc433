"""What servers have: disks, and ports of networks."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, String, Table

from cluster.controlplane.columns import ID_LIMIT, NAME_LIMIT, json, other, own_id
from compute.instances.schema.base import metadata


def _server() -> "Column[str]":
    key = ForeignKey("servers.id", ondelete="CASCADE")
    return Column("server_id", String(ID_LIMIT), key, nullable=False, index=True)


# source: image, snapshot, volume, blank; destination: local (a disk of the server's own, in the gateway) or volume.
# state: wanted, attached, unwanted. attachment_id: Cinder's. export: by which the host has it; a secret.
block_devices = Table(
    "block_devices",
    metadata,
    own_id(),
    _server(),
    Column("place", Integer, nullable=False),  # in the order of the guest's disks
    Column("source", String(16), nullable=False),
    Column("destination", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("boot_index", Integer, nullable=True),
    Column("device_name", String(NAME_LIMIT), nullable=True),
    Column("bus", String(16), nullable=False),
    Column("device_type", String(16), nullable=False),
    other("image_id"),
    other("snapshot_id"),
    Column("volume_id", String(ID_LIMIT), nullable=True, index=True),
    Column("volume_gb", Integer, nullable=True),
    Column("volume_type", String(NAME_LIMIT), nullable=True),
    Column("use", String(16), nullable=False),  # of one of its own: root, ephemeral, swap; else empty
    Column("gib", Integer, nullable=False),  # of one of its own; 0: as large as the image
    Column("size", BigInteger, nullable=False),  # bytes, once it is there
    Column("delete_on_termination", Boolean, nullable=False),
    Column("tag", String(60), nullable=True),
    other("attachment_id"),
    json("disk"),  # `compute.agent.guest.Disk`, as the host has it; {}: it has not
    Column("created_at_us", BigInteger, nullable=False),
)

# port_id: NULL: it is to be made. kept: it was there before, and stays when the server goes. info: what the network
# service told of it last. state: wanted, attached, unwanted.
interfaces = Table(
    "interfaces",
    metadata,
    own_id(),
    _server(),
    Column("place", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("port_id", String(ID_LIMIT), nullable=True, unique=True),
    other("network_id"),
    Column("fixed_ip", String(64), nullable=True),
    Column("tag", String(60), nullable=True),
    Column("kept", Boolean, nullable=False),
    json("security_groups"),  # ids
    json("info"),  # `interfaces.Port`
    Column("created_at_us", BigInteger, nullable=False),
)
