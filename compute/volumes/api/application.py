"""The WSGI application of the volume service, made of its routes and of what operations work with."""

from collections.abc import Callable

import falcon

from cluster.clock import wall_us
from cluster.controlplane.application import make_application
from compute.failures import render
from compute.microversions import VersionedService
from compute.volumes.api.parts import Parts
from compute.volumes.api.routes import routes
from compute.volumes.api.versions import API


def block_storage_application(
    parts: Parts, clock_us: Callable[[], int] = wall_us
) -> "falcon.App[falcon.Request, falcon.Response]":
    """Return the application. A path that ends with a slash is that of a thing without a name: there is none."""
    application = make_application(VersionedService(API, parts, render, clock_us), routes())
    application.req_options.strip_url_path_trailing_slash = False
    return application
