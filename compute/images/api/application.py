"""The WSGI application of the image service.

Documents go through operations, each of them one transaction; data goes through resources of its own (`data`). Errors
look like those of Glance for a client that takes JSON.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import falcon

from cluster.clock import wall_us
from cluster.controlplane.answer import Answer
from cluster.controlplane.application import make_application
from compute.images.api.context import Parts
from compute.images.api.data import File, Stage
from compute.images.api.ranges import Unsatisfiable
from compute.images.api.reading import read
from compute.images.api.routes import ROUTES
from compute.service import TransactionalService


class Glance:
    """`cluster.controlplane.application.Service`: that of all services, and the status that only downloads have."""

    def __init__(self, parts: Parts, clock_us: Callable[[], int] = wall_us) -> None:
        self._service = TransactionalService(parts, render, read, clock_us)
        self.vary = self._service.vary
        self.run = self._service.run
        self.error_with = self._service.error_with

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""
        if isinstance(error, Unsatisfiable):
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return Answer(status, render(status, str(error)), {"Content-Range": f"bytes */{error.size}"})
        return self._service.error_of(error, request)


def render(status: int, message: str) -> dict[str, Any]:
    """Return the document of an error."""
    phrase = HTTPStatus(status).phrase
    return {"message": message, "code": f"{int(status)} {phrase}", "title": phrase}


def images_application(
    parts: Parts, clock_us: Callable[[], int] = wall_us
) -> "falcon.App[falcon.Request, falcon.Response]":
    """Return the application."""
    application = make_application(Glance(parts, clock_us), ROUTES)
    application.req_options.strip_url_path_trailing_slash = False  # /v2/images/ is an image without an id, as in Glance
    application.add_route("/v2/images/{image_id}/file", File(parts))
    application.add_route("/v2/images/{image_id}/stage", Stage(parts))
    return application
