"""What is there from the beginning: a network for all, so that servers can be made at once, and its way out.

The way out is an external network, whose addresses float, and a router between the two. Deleted, all of it stays so.
"""

from sqlalchemy import insert, select

from compute.network import networks, router_interfaces, routers, subnets
from compute.network.attributes import NETWORK, ROUTER, SUBNET
from compute.network.schema import milestones
from compute.network.schema import networks as networks_table
from compute.network.schema import subnets as subnets_table
from compute.network.work import AnyRow, Work

NAME, EXTERNAL = "default", "external"
_MILESTONE, _WAY_OUT = "default network", "way out"
_OWNER = ""  # nobody's: administrators see to it


def ensure(work: Work) -> None:
    """Make the network and its way out, unless they were made once."""
    if work.settings.default_cidr and _is_first(work, _MILESTONE):
        about = "There from the beginning, for all projects."
        _make_network(work, NAME, about, work.settings.default_cidr, shared=True)
    if work.settings.external_cidr and _is_first(work, _WAY_OUT):
        about = "There from the beginning: the way out, and floating addresses."
        made = {"router:external": True, "is_default": True}
        external_id = _make_network(work, EXTERNAL, about, work.settings.external_cidr, **made)
        inner = _default_subnet(work)
        if inner is not None:
            sent = {"name": NAME, "external_gateway_info": {"network_id": external_id}}
            router_id = routers.create(work, {**ROUTER.created(sent), "project_id": _OWNER})
            router_interfaces.add_subnet(work, work.find(ROUTER, router_id), inner.id)


def _is_first(work: Work, milestone: str) -> bool:
    """Tell whether something was never done; it is from now on."""
    if work.connection.scalar(select(milestones.c.name).where(milestones.c.name == milestone)) is not None:
        return False
    work.connection.execute(insert(milestones).values(name=milestone, reached_at_us=work.now_us))
    return True


def _make_network(work: Work, name: str, about: str, cidr: str, **more: bool) -> str:
    attributes = NETWORK.created({"name": name, "description": about, **more})
    network_id = networks.create(work, {**attributes, "project_id": _OWNER})
    version = 6 if ":" in cidr else 4
    sent = {"name": name, "network_id": network_id, "cidr": cidr, "ip_version": version}
    sent |= {"enable_dhcp": name != EXTERNAL}
    subnets.create(work, {**SUBNET.created(sent), "project_id": _OWNER})
    return network_id


def _default_subnet(work: Work) -> AnyRow | None:
    """Return the subnet of the network that is there from the beginning, if it still is, and can have a router."""
    joined = subnets_table.join(networks_table, networks_table.c.id == subnets_table.c.network_id)
    query = select(subnets_table).select_from(joined)
    query = query.where(networks_table.c.project_id == _OWNER, networks_table.c.name == NAME, networks_table.c.shared)
    query = query.where(subnets_table.c.ip_version == 4, subnets_table.c.gateway_ip.is_not(None))
    return work.connection.execute(query.order_by(subnets_table.c.created_at_us)).first()
