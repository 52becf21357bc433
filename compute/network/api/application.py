"""The WSGI application of the network service, made of its routes and of what operations work with."""

from collections.abc import Callable

import falcon

from cluster.clock import wall_us
from cluster.controlplane.application import make_application
from compute.network.api.parts import Parts
from compute.network.api.routes import routes
from compute.network.api.service import NetworkService


def networking_application(
    parts: Parts, clock_us: Callable[[], int] = wall_us
) -> "falcon.App[falcon.Request, falcon.Response]":
    """Return the application."""
    return make_application(NetworkService(parts, clock_us), routes())
