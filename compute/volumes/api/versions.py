"""Which versions of the API there are.

Source: Cinder's REST API version history. Versions that bring what is left out (groups, replication, clusters,
managing) bring nothing here but their documents' attributes.
"""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.context import Context
from compute.microversions import Api
from compute.volumes.api.parts import Parts
from compute.volumes.errors import NotFound

API = Api(names=("volume", "block-storage"), major=3, oldest=0, newest=71)
UPDATED = "2025-04-02T00:00:00Z"  # when the newest version was settled


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
        "version": API.text(API.newest),
        "min_version": API.text(API.oldest),
        "updated": UPDATED,
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{context.base_url}/v3/"},
        ],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }
