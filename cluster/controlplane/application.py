"""From routes and operations to a WSGI application, by falcon.

    Route("/v3/users/{user_id}", {"GET": users.show, "PATCH": users.update, "DELETE": users.delete})

An operation is called with the context of the request and the variable parts of its path, and returns an `Answer`, or
raises: `Service.error_of` says which status and document that is. HEAD is GET without the body. Every answer has the
id of its request, and says what it depends on (Vary).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import falcon

from cluster.controlplane.answer import Answer
from cluster.controlplane.requests import REQUEST_ID_HEADER, request_id_of
from cluster.telemetry.log import get_logger

Operation = Callable[..., Answer]  # of the context, and by name of the variable parts of its path

_READING = frozenset(("GET", "HEAD"))

_log = get_logger("controlplane")


@dataclass(frozen=True, slots=True)
class Route:
    """A path, with its variable parts in braces, and what can be done there, by method."""

    path: str
    operations: Mapping[str, Operation]
    reading: frozenset[str] = frozenset()  # methods beside GET whose operations do not write


class Service(Protocol):
    """What differs from service to service."""

    vary: str  # names of the request headers that answers depend on

    def run(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str], writes: bool) -> Answer:
        """Call `operation` with the context of `request`, in a transaction that writes or only reads."""

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""

    def error_with(self, status: int, message: str) -> Answer:
        """Return the answer that says `message` in the service's manner."""


def make_application(service: Service, routes: Iterable[Route]) -> "falcon.App[falcon.Request, falcon.Response]":
    """Return the WSGI application that answers `routes`."""
    application = falcon.App(middleware=[_Marks(service.vary)])
    application.req_options.strip_url_path_trailing_slash = True
    application.req_options.keep_blank_qs_values = True
    application.set_error_serializer(lambda request, response, error: None)
    for kind in (Exception, falcon.HTTPError):  # falcon has a handler of its own for the second
        application.add_error_handler(kind, _Errors(service).answer)
    for route in routes:
        application.add_route(route.path, _Resource(service, route))
    return application


class _Resource:
    """What falcon calls, made of operations: `on_get`, `on_put`…"""

    def __init__(self, service: Service, route: Route) -> None:
        for method, operation in route.operations.items():
            writes = method not in _READING and method not in route.reading
            setattr(self, f"on_{method.lower()}", _responder(service, operation, writes))
        if "GET" in route.operations and "HEAD" not in route.operations:
            self.on_head = _responder(service, route.operations["GET"], writes=False)


def _responder(service: Service, operation: Operation, writes: bool) -> Callable[..., None]:
    def respond(request: falcon.Request, response: falcon.Response, **parts: str) -> None:
        _fill(response, service.run(request, operation, parts, writes))

    return respond


def _fill(response: falcon.Response, answer: Answer) -> None:
    response.status = falcon.code_to_http_status(answer.status)
    response.set_headers(dict(answer.headers))
    if answer.document is not None:
        response.content_type = falcon.MEDIA_JSON
        response.data = json.dumps(answer.document, separators=(",", ":")).encode()


class _Marks:
    """Gives every request its id, and every answer the headers that all have."""

    def __init__(self, vary: str) -> None:
        self._vary = vary

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        request.context.request_id = request_id_of(request)

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        response.set_header(REQUEST_ID_HEADER, request.context.request_id)
        response.set_header("Vary", self._vary)


class _Errors:
    """Turns what was raised into answers: the service's errors, falcon's own, and defects."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def answer(
        self, request: falcon.Request, response: falcon.Response, error: Exception, _parts: dict[str, Any]
    ) -> None:
        if isinstance(error, falcon.HTTPError):  # no such path, no such method
            status = falcon.http_status_to_code(error.status)
            answer = self._service.error_with(status, error.description or f"{request.path}: {error.title}")
            response.set_headers(error.headers or {})
        else:
            answer = self._service.error_of(error, request) or self._defect(request, error)
        _fill(response, answer)

    def _defect(self, request: falcon.Request, error: Exception) -> Answer:
        _log.error("request_failed", request=request.context.request_id, path=request.path, error=error)
        return self._service.error_with(500, "An unexpected error prevented the server from fulfilling your request.")
