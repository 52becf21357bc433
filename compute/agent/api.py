"""The host over HTTP, for the compute service: JSON, and a call per path. It is a WSGI application.

    GET    /v1/host                    HostState
    GET    /v1/guests?tag=&wait_s=     {"tag", "guests": [GuestState]}
    GET    /v1/guests/ID               {"guest": GuestState or null}
    PUT    /v1/guests/ID               {"guest": Guest, "running": bool} -> GuestState
    DELETE /v1/guests/ID
    POST   /v1/guests/ID/CALL          the call's arguments -> {"answer": …}

What goes wrong is {"error": KIND, "message": TEXT}, with the kinds of `compute.stored`. Who asks needs a token of the
service user "compute": nobody else has anything to do with a host.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import falcon

from cluster.telemetry.log import get_logger
from compute.agent.guest import Disk, Guest, Nic, Told, document_of, value_of
from compute.agent.interface import Host
from compute.stored import BackendError, InUse, NoSuch, NotYet, Refused, Unreachable
from compute.tokens import Tokens

BODY_LIMIT = 4 << 20  # bytes; a guest with all its keys, data and disks is far smaller
TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 the name of a header
_STATUSES: Mapping[type[BackendError], HTTPStatus] = {
    NoSuch: HTTPStatus.NOT_FOUND,
    NotYet: HTTPStatus.CONFLICT,
    InUse: HTTPStatus.CONFLICT,
    Refused: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unreachable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_log = get_logger("agent")

Arguments = Mapping[str, Any]
# each with the guest's id and what was sent; KeyError, TypeError and ValueError mean that this was not sensible
CALLS: Mapping[str, Callable[[Host, str, Arguments], Any]] = {
    "start": lambda host, guest, _sent: host.start(guest),
    "stop": lambda host, guest, sent: host.stop(guest, float(sent["soft_s"])),
    "reboot": lambda host, guest, sent: host.reboot(guest, str(sent["request_id"]), float(sent["soft_s"])),
    "pause": lambda host, guest, _sent: host.pause(guest),
    "suspend": lambda host, guest, _sent: host.suspend(guest),
    "attach": lambda host, guest, sent: host.attach(guest, value_of(Disk, sent["disk"])),
    "detach": lambda host, guest, sent: host.detach(guest, str(sent["serial"])),
    "resize": lambda host, guest, sent: host.resize(guest, str(sent["serial"]), int(sent["size"])),
    "plug": lambda host, guest, sent: host.plug(guest, value_of(Nic, sent["nic"])),
    "unplug": lambda host, guest, sent: host.unplug(guest, str(sent["mac"])),
    "tell": lambda host, guest, sent: host.tell(guest, value_of(Told, sent["told"])),
    "console_log": lambda host, guest, sent: host.console_log(guest, _lines(sent)),
    "display": lambda host, guest, sent: host.display(guest, str(sent["kind"])),
    "diagnostics": lambda host, guest, _sent: host.diagnostics(guest),
    "freeze": lambda host, guest, sent: host.freeze(guest, bool(sent["frozen"])),
    "set_password": lambda host, guest, sent: host.set_password(guest, str(sent["user"]), str(sent["password"])),
}


def host_application(host: Host, tokens: Tokens, caller_id: str) -> Any:
    """Return the WSGI application. `caller_id`: of the one user that is let in."""
    application = falcon.App(middleware=[_Gate(tokens, caller_id)])
    application.add_route("/v1/host", _HostResource(host))
    application.add_route("/v1/guests", _Guests(host))
    application.add_route("/v1/guests/{guest_id}", _Guest(host))
    application.add_route("/v1/guests/{guest_id}/{call}", _Call(host))
    application.add_error_handler(BackendError, _failed)
    application.add_error_handler(Exception, _broken)
    application.set_error_serializer(_refused_by_falcon)
    return application


class _Gate:
    def __init__(self, tokens: Tokens, caller_id: str) -> None:
        self._tokens, self._caller_id = tokens, caller_id

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        token = self._tokens.validate(request.get_header(TOKEN_HEADER) or "")
        if token is None:
            raise falcon.HTTPUnauthorized(description="a token of the compute service is needed")
        if token.user.id != self._caller_id:
            raise falcon.HTTPForbidden(description="only the compute service may ask")


class _HostResource:
    def __init__(self, host: Host) -> None:
        self._host = host

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        _answer(response, self._host.state())


class _Guests:
    def __init__(self, host: Host) -> None:
        self._host = host

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        wait_s = request.get_param_as_float("wait_s") or 0.0
        _answer(response, self._host.seen(request.get_param("tag") or "", wait_s))


class _Guest:
    def __init__(self, host: Host) -> None:
        self._host = host

    def on_get(self, _request: falcon.Request, response: falcon.Response, guest_id: str) -> None:
        _answer(response, {"guest": _plain(self._host.find(guest_id))})

    def on_put(self, request: falcon.Request, response: falcon.Response, guest_id: str) -> None:
        sent = _sent(request)
        try:
            guest, running = value_of(Guest, sent["guest"]), bool(sent["running"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused(f"what was sent is no guest: {error}") from None
        if guest.id != guest_id:
            raise Refused("the guest has another id than the path")
        _answer(response, self._host.define(guest, running))

    def on_delete(self, _request: falcon.Request, response: falcon.Response, guest_id: str) -> None:
        self._host.remove(guest_id)
        response.status = falcon.HTTP_204


class _Call:
    def __init__(self, host: Host) -> None:
        self._host = host

    def on_post(self, request: falcon.Request, response: falcon.Response, guest_id: str, call: str) -> None:
        if call not in CALLS:
            raise falcon.HTTPNotFound(description=f"there is no call {call[:64]!r}")
        sent = _sent(request)
        try:
            answer = CALLS[call](self._host, guest_id, sent)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"what was sent is no {call}: {type(error).__name__} {error}") from error
        _answer(response, {"answer": _plain(answer)})


def _lines(sent: Arguments) -> int | None:
    return None if sent.get("lines") is None else int(sent["lines"])


def _sent(request: falcon.Request) -> dict[str, Any]:
    if (request.content_length or 0) > BODY_LIMIT:
        raise Refused("what was sent is too large")
    data = request.bounded_stream.read(BODY_LIMIT + 1)
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise Refused("what was sent is no JSON") from None
    if len(data) > BODY_LIMIT or not isinstance(document, dict):
        raise Refused("what was sent is no object, or too large")
    return document


def _plain(value: Any) -> Any:
    return document_of(value) if dataclasses.is_dataclass(value) else value


def _answer(response: falcon.Response, value: Any) -> None:
    response.data = json.dumps(_plain(value)).encode()
    response.content_type = "application/json"


def _failed(_request: falcon.Request, response: falcon.Response, error: BackendError, _params: object) -> None:
    kind = next(kind for kind in type(error).__mro__ if kind in _STATUSES or kind is BackendError)
    response.status = _STATUSES.get(kind, HTTPStatus.SERVICE_UNAVAILABLE)
    _answer(response, {"error": kind.__name__, "message": str(error)})


def _broken(request: falcon.Request, response: falcon.Response, error: Exception, _params: object) -> None:
    if isinstance(error, falcon.HTTPError):
        raise error
    _log.error("request_failed", method=request.method, path=request.path, error=error)
    response.status = HTTPStatus.SERVICE_UNAVAILABLE
    _answer(response, {"error": Unreachable.__name__, "message": "the agent could not do it; its log tells why"})


def _refused_by_falcon(_request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    _answer(response, {"error": Refused.__name__, "message": error.description or error.title})
