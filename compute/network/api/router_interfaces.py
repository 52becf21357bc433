"""Operations on a router's interfaces: a subnet, or a port, becomes one, or is one no more.

PUT /v2.0/routers/{id}/add_router_interface      {"subnet_id": …} or {"port_id": …}
PUT /v2.0/routers/{id}/remove_router_interface   the same, or both
"""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.network import checks, router_interfaces
from compute.network.api.requests import Request, require, require_owned, work_of
from compute.network.api.resources import seen, target_of
from compute.network.api.served import BY_NOUN
from compute.network.attributes import PORT, ROUTER, SUBNET
from compute.network.errors import BadRequest, HTTPBadRequest
from compute.network.router_interfaces import Interface
from compute.network.work import AnyRow

_GATEWAYS_ADDRESS = "create_port:fixed_ips:ip_address"  # who may have an address of one's choice in a network


def add(context: Request, identifier: str) -> Answer:
    """PUT /v2.0/routers/{id}/add_router_interface."""
    router, port_id, subnet_id = _asked(context, identifier, "add_router_interface")
    if port_id is not None and subnet_id is not None:
        raise BadRequest(why="Bad router request: Cannot specify both subnet-id and port-id.")
    if port_id is not None:
        seen(context, BY_NOUN[PORT.name], port_id)
        return _shown(router, router_interfaces.add_port(work_of(context), router, port_id))
    assert subnet_id is not None
    subnet = seen(context, BY_NOUN[SUBNET.name], subnet_id)
    about = {"project_id": router.project_id, "network_id": subnet.network_id}
    require(context, _GATEWAYS_ADDRESS, target_of(context, BY_NOUN[PORT.name], about))
    return _shown(router, router_interfaces.add_subnet(work_of(context), router, subnet_id))


def remove(context: Request, identifier: str) -> Answer:
    """PUT /v2.0/routers/{id}/remove_router_interface."""
    router, port_id, subnet_id = _asked(context, identifier, "remove_router_interface")
    return _shown(router, router_interfaces.remove(work_of(context), router, port_id, subnet_id))


def _asked(context: Request, router_id: str, rule: str) -> tuple[AnyRow, str | None, str | None]:
    """Return the router, and the port or subnet, or both, that are named."""
    served = BY_NOUN[ROUTER.name]
    router = seen(context, served, router_id)
    require_owned(context, rule, target_of(context, served, dict(router._mapping)))
    sent: Any = context.document
    try:
        named = {name: checks.identifier(sent[name]) for name in ("port_id", "subnet_id") if sent.get(name) is not None}
    except ValueError as error:
        raise HTTPBadRequest(why=f"Invalid input for a router's interface. Reason: {error}.") from None
    if not named:
        raise BadRequest(why="Bad router request: Either subnet_id or port_id must be specified.")
    return router, named.get("port_id"), named.get("subnet_id")


def _shown(router: AnyRow, interface: Interface) -> Answer:
    return ok(
        {
            "id": router.id,
            "project_id": router.project_id,
            "tenant_id": router.project_id,
            "port_id": interface.port_id,
            "network_id": interface.network_id,
            "subnet_id": interface.subnet_ids[0] if interface.subnet_ids else None,
            "subnet_ids": list(interface.subnet_ids),
        }
    )
