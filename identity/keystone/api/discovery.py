"""What this is: which versions of the API there are, and where. Anybody may ask."""

from cluster.controlplane.answer import Answer, ok
from identity.keystone.api.context import Context
from identity.keystone.api.listing import Document

VERSION = "v3.14"
UPDATED = "2020-04-07T00:00:00Z"  # when this version of the API was settled


def list_versions(context: Context) -> Answer:
    """GET /: several choices, of which one is left."""
    return Answer(300, {"versions": {"values": [_version(context)]}}, {"Location": context.url("")})


def show_version(context: Context) -> Answer:
    """GET /v3."""
    return ok({"version": _version(context)})


def _version(context: Context) -> Document:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": context.url("")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
