"""The Swift application: from a request to the handler that answers it, by one table."""

import time
from collections.abc import Awaitable, Callable, Mapping

from identity.interfaces import Tokens, Users
from proxy.http.errors import BadBody, BodyTimeout, BodyTruncated
from proxy.http.message import Request, Response
from proxy.objects.errors import ObjectServiceError
from proxy.swift import accounts, auth, bulk, containers, cors, formpost, objects, reading, staticweb, tempurl
from proxy.swift.call import Call, Handler, SwiftConfig
from proxy.swift.copy import copy
from proxy.swift.errors import CLIENT_DISCONNECT, SwiftError, answer, error_of
from proxy.swift.info import health_response, info_response
from proxy.swift.interfaces import ObjectService
from proxy.swift.names import parse_path
from proxy.swift.parameters import parse_query

ACCOUNT: Mapping[str, Handler] = {
    "GET": accounts.get,
    "HEAD": accounts.head,
    "POST": accounts.post,
}
CONTAINER: Mapping[str, Handler] = {
    "GET": containers.get,
    "HEAD": containers.head,
    "PUT": containers.put,
    "POST": containers.post,
    "DELETE": containers.delete,
}
OBJECT: Mapping[str, Handler] = {
    "GET": reading.get,
    "HEAD": reading.head,
    "PUT": objects.put,
    "POST": objects.post,
    "DELETE": objects.delete,
    "COPY": copy,
}
# Operations that a parameter selects, whatever the path names.
BY_PARAMETER: Mapping[tuple[str, str], Handler] = {
    ("POST", "bulk-delete"): bulk.delete,
    ("DELETE", "bulk-delete"): bulk.delete,
    ("PUT", "extract-archive"): bulk.extract,
}


class SwiftApplication:
    """Answers requests in Swift's dialect."""

    def __init__(
        self,
        service: ObjectService,
        users: Users,
        tokens: Tokens,
        config: SwiftConfig | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._users = users
        self._tokens = tokens
        self._config = config or SwiftConfig()
        self._wall_s = wall_s

    async def __call__(self, request: Request) -> Response:
        """Return the answer to `request`, which has a transaction id of Swift's form from here on."""
        request.id = _transaction_id(request.id, self._wall_s())
        response = await _told(self._dispatch(request))
        if request.method == "HEAD":
            _drop_body(response)
        _identify(response, request)
        return response

    async def _dispatch(self, request: Request) -> Response:
        if not request.path.startswith("/v1"):
            special = self._special(request)
            if special is not None:
                return special
        name = parse_path(request.path)
        call = Call(
            request,
            name,
            parse_query(request.query),
            auth.user_of(request, self._tokens, name.account),
            self._service,
            self._config,
            self._wall_s(),
        )
        if "origin" in request.headers:
            return await cors.answer_to_origin(call, _methods(call), lambda call: _told(_handle(call)))
        return await _handle(call)

    def _special(self, request: Request) -> Response | None:
        """Return the answer to a path outside of the storage API, None when it is inside."""
        if request.path in auth.PATHS:
            return auth.log_in(request, self._users, self._tokens, self._wall_s)
        if request.path not in ("/info", "/healthcheck"):
            return None
        if request.method not in ("GET", "HEAD"):
            raise SwiftError(405, fields=(("Allow", "GET, HEAD"),))
        return info_response(self._config) if request.path == "/info" else health_response()


def failed(request: Request, error: Exception) -> Response | None:
    """Answer what a body raised before any of it was sent, for `HttpServer(on_failure=…)`."""
    if not isinstance(error, ObjectServiceError):
        return None
    response = error_of(error).response()
    _identify(response, request)
    return response


async def _told(answering: Awaitable[Response]) -> Response:
    """Return the answer, or what a client is told of the error that came instead."""
    try:
        return await answering
    except SwiftError as error:
        return error.response()
    except ObjectServiceError as error:
        return error_of(error).response()
    except BodyTimeout:
        return answer(408)
    except BodyTruncated:
        return answer(CLIENT_DISCONNECT)
    except BadBody as error:
        return answer(400, error.reason)


def _table(call: Call) -> Mapping[str, Handler]:
    if call.name.object:
        return OBJECT
    return CONTAINER if call.name.container else ACCOUNT


def _methods(call: Call) -> str:
    return ", ".join([*_table(call), "OPTIONS"])


async def _handle(call: Call) -> Response:
    if tempurl.is_temporary(call):
        return await tempurl.answer_bearer(call, _handle)
    if formpost.is_form(call):
        return await formpost.post(call)
    if staticweb.is_visit(call):
        return await staticweb.visit(call, lambda call: _told(_handle_plainly(call)))
    return await _handle_plainly(call)


async def _handle_plainly(call: Call) -> Response:
    """Answer what asks for a resource itself."""
    method = call.request.method
    if call.parameters:
        for parameter in call.parameters:
            selected = BY_PARAMETER.get((method, parameter))
            if selected is not None:
                return await selected(call)
    handler = _table(call).get(method)
    if handler is not None:
        return await handler(call)
    fields = (("Allow", _methods(call)),)
    if method == "OPTIONS":
        return answer(200, fields=fields)
    raise SwiftError(405, fields=fields)


def _drop_body(response: Response) -> None:
    """Take the body away, as HEAD demands; what it says of its length stays."""
    if isinstance(response.body, bytes | bytearray | memoryview):
        response.length = response.length or len(response.body)
        response.body = b""


def _transaction_id(request_id: str, now_s: float) -> str:
    """Return an id as Swift makes them, which tempest insists on: "tx", 21 hexadecimal digits, "-" and the second."""
    return f"tx{request_id.lower():0>21}-{int(now_s):010x}"


def _identify(response: Response, request: Request) -> None:
    response.headers.append(("X-Trans-Id", request.id))
    response.headers.append(("X-Openstack-Request-Id", request.id))


def protocol_error(request: Request | None, status: int, reason: str) -> Response:
    """Render an error of HTTP itself, for `HttpServer(on_error=…)`."""
    response = answer(status, f"{reason}\n")
    if request is not None:
        _identify(response, request)
    return response
