"""What is there from the beginning: a network for all, so that servers can be made at once. Deleted, it stays so."""

from sqlalchemy import insert, select

from compute.network import networks, subnets
from compute.network.attributes import NETWORK, SUBNET
from compute.network.schema import milestones
from compute.network.work import Work

NAME = "default"
_MILESTONE = "default network"
_OWNER = ""  # nobody's: administrators see to it


def ensure(work: Work) -> None:
    """Make the network, unless it was made once."""
    if not work.settings.default_cidr:
        return
    if work.connection.scalar(select(milestones.c.name).where(milestones.c.name == _MILESTONE)) is not None:
        return
    work.connection.execute(insert(milestones).values(name=_MILESTONE, reached_at_us=work.now_us))
    about = {"name": NAME, "description": "There from the beginning, for all projects."}
    attributes = NETWORK.created({**about, "shared": True})
    network_id = networks.create(work, {**attributes, "project_id": _OWNER})
    version = 6 if ":" in work.settings.default_cidr else 4
    sent = {"name": NAME, "network_id": network_id, "cidr": work.settings.default_cidr, "ip_version": version}
    subnets.create(work, {**SUBNET.created(sent), "project_id": _OWNER})
