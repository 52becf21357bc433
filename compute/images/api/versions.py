"""Which versions of the API there are. Nobody has to say who asks.

2.14 and 2.16 are those of Glance's cache: as Glance without one, we leave them out.
"""

from cluster.controlplane.answer import Answer, ok
from compute.images.api.context import Context

_MINOR = (15, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)


def choose(context: Context) -> Answer:
    """GET /: clients choose."""
    return Answer(300, _document(context))


def show(context: Context) -> Answer:
    """GET /versions."""
    return ok(_document(context))


def _document(context: Context) -> dict[str, object]:
    links = [{"rel": "self", "href": f"{context.base_url}/v2/"}]
    return {
        "versions": [
            {"id": f"v2.{minor}", "status": "CURRENT" if minor == _MINOR[0] else "SUPPORTED", "links": links}
            for minor in _MINOR
        ]
    }
