"""Which versions of the API there are, and what the one there is has. Nobody has to prove who it is for that."""

from cluster.controlplane.answer import Answer, ok
from compute.network.api.requests import Request
from compute.network.api.served import SERVED


def list_versions(context: Request) -> Answer:
    """GET /."""
    links = [{"rel": "self", "href": f"{context.base_url}/v2.0/"}]
    return ok({"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})


def show_version(context: Request) -> Answer:
    """GET /v2.0."""
    return ok(
        {
            "resources": [
                {
                    "name": served.noun.name,
                    "collection": served.noun.plural,
                    "links": [{"rel": "self", "href": f"{context.base_url}/v2.0/{served.path}"}],
                }
                for served in SERVED
            ]
        }
    )
