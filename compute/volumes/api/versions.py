"""Which versions of the API there are. A client says which one it speaks: `OpenStack-API-Version: volume 3.59`.

Source: OpenStack API working group, "Microversion specification"; Cinder's REST API version history. Versions that
bring what is left out (groups, replication, clusters, managing) bring nothing here but their documents' attributes.
"""

import re
from typing import Any

import falcon

from cluster.controlplane.answer import Answer, ok
from cluster.controlplane.errors import Malformed
from compute.context import Context
from compute.volumes.api.parts import Parts
from compute.volumes.errors import NotAcceptable, NotFound

HEADER = "OpenStack-API-Version"
SERVICE = "volume"
NEWEST = 71  # of 3.x
UPDATED = "2025-04-02T00:00:00Z"  # when the newest version was settled

_VERSION = re.compile(r"([1-9]\d*)\.([1-9]\d*|0)")


def asked_for(request: falcon.Request) -> int:
    """Return the minor version of a request; without one it is the first. Raise Malformed, NotAcceptable."""
    for each in (request.get_header(HEADER) or "").split(","):
        service, _space, text = each.strip().partition(" ")
        if service.lower() not in (SERVICE, "block-storage"):
            continue
        text = text.strip()
        if text.lower() == "latest":
            return NEWEST
        found = _VERSION.fullmatch(text)
        if found is None:
            raise Malformed(f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")
        major, minor = int(found[1]), int(found[2])
        if major != 3 or minor > NEWEST:
            raise NotAcceptable(
                f"Version {text} is not supported by the API. Minimum is 3.0 and maximum is 3.{NEWEST}."
            )
        return minor
    return 0


def list_versions(context: Context[Parts]) -> Answer:
    """GET /: several choices, of which one is left."""
    return Answer(300, {"versions": [_version(context)]})


def show_version(context: Context[Parts]) -> Answer:
    """GET /v3/."""
    return ok({"versions": [_version(context)]})


def show_version_below(context: Context[Parts]) -> Answer:
    """GET /v3/ with its slash; nothing else is there."""
    if context.request.path != "/v3/":
        raise NotFound("Path", context.request.path)
    return show_version(context)


def _version(context: Context[Parts]) -> dict[str, Any]:
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": f"3.{NEWEST}",
        "min_version": "3.0",
        "updated": UPDATED,
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{context.base_url}/v3/"},
        ],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }
