"""What hosts ask, and tell: for the cluster's own services alone.

GET /internal/hosts/NAME?tag=TAG&wait_s=20    what it shall have; 304 where that has TAG, after a while
PUT /internal/hosts/NAME                      {"up": [ids of ports], "configurations": {…}, "started": false}
"""

from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer
from compute.network import hosts
from compute.network.api.requests import Request, work_of
from compute.network.api.service import UNCHANGED, WAITING
from compute.network.errors import HTTPBadRequest, HTTPNotFound


def show(context: Request, host: str) -> Answer:
    """GET /internal/hosts/{host}."""
    _require_service(context)
    document = hosts.wanted(context.connection, context.parts.settings, host)
    tag = hosts.tag_of(document)
    if context.query.get("tag") == tag:
        return Answer(UNCHANGED)
    return Answer(200, {"tag": tag, "wanted": document})


setattr(show, WAITING, True)


def tell(context: Request, host: str) -> Answer:
    """PUT /internal/hosts/{host}."""
    _require_service(context)
    document: Any = context.document
    up, configurations = document.get("up"), document.get("configurations")
    if not isinstance(up, list) or not isinstance(configurations, dict):
        raise HTTPBadRequest(why="up and configurations are needed")
    hosts.told(work_of(context), host, [str(each) for each in up], configurations, bool(document.get("started")))
    return NO_CONTENT


def _require_service(context: Request) -> None:
    """Raise HTTPNotFound to all but the cluster's own services: for others there is nothing here."""
    if context.caller.user.id not in context.parts.settings.host_users:
        raise HTTPNotFound()
