"""Networks reach from host to host: each is given what tells it apart on the hosts' wires, and room for that."""

import random

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LAST_VNI = 2**24 - 1
_OLD_MTU, _MTU = 1500, 1450  # the defaults


def upgrade() -> None:
    """Give them."""
    table = sa.table(
        "networks",
        sa.column("id", sa.String),
        sa.column("network_type", sa.String),
        sa.column("segmentation_id", sa.Integer),
        sa.column("mtu", sa.Integer),
    )
    connection = op.get_bind()
    ids = connection.scalars(sa.select(table.c.id)).all()
    for network_id, vni in zip(ids, random.sample(range(1, _LAST_VNI + 1), len(ids)), strict=True):
        values = {"network_type": "vxlan", "segmentation_id": vni}
        connection.execute(sa.update(table).where(table.c.id == network_id).values(values))
    connection.execute(sa.update(table).where(table.c.mtu == _OLD_MTU).values(mtu=_MTU))
    op.create_index("uq_networks_segmentation_id", "networks", ["segmentation_id"], unique=True)
