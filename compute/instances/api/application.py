"""The WSGI application of the compute service, made of its routes and of what operations work with."""

from collections.abc import Callable

import falcon

from cluster.clock import wall_us
from cluster.controlplane.application import make_application
from compute.failures import render
from compute.instances.api.parts import Parts
from compute.instances.api.routes import routes
from compute.instances.api.versions import API
from compute.microversions import VersionedService


def compute_application(
    parts: Parts, clock_us: Callable[[], int] = wall_us
) -> "falcon.App[falcon.Request, falcon.Response]":
    """Return the application."""
    return make_application(VersionedService(API, parts, render, clock_us), routes())
