"""Which versions of the API there are: a client names one by `X-OpenStack-Nova-API-Version`, or by the newer header.

Source: Nova's REST API version history. Versions that bring what is left out bring nothing here but their documents'
attributes.
"""

from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances.api.parts import Request
from compute.microversions import Api

API = Api(
    names=("compute",),
    major=2,
    oldest=1,
    newest=96,
    old_header="X-OpenStack-Nova-API-Version",
    request_id_header="X-Compute-Request-Id",
)
UPDATED = "2013-07-23T11:33:21Z"  # as Nova has said since v2.1


def list_versions(context: Request) -> Answer:
    """GET /."""
    return ok({"versions": [_version(context)]})


def show_version(context: Request) -> Answer:
    """GET /v2.1/."""
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"}
    version = _version(context)
    version["links"].append(described)
    media = {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    return ok({"version": {**version, "media-types": [media]}})


def _version(context: Request) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": API.text(API.newest),
        "min_version": API.text(API.oldest),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{context.base_url}/v2.1/"}],
    }
