"""Services whose clients say which version of the API they speak: `OpenStack-API-Version: volume 3.59`.

    VOLUME = Api(names=("volume", "block-storage"), major=3, oldest=0, newest=71)
    make_application(VersionedService(VOLUME, parts, render), routes)

An operation asks `minor(context)`, is there only `since(8, show)`, or has something asked of others before its
transaction begins (`asking_first`). A path may name the project or not: /v3/PROJECT/volumes, /v3/volumes. When it does,
it must be the token's.

Source: OpenStack API working group, "Microversion specification".
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import falcon

from cluster.clock import wall_us
from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation
from cluster.controlplane.errors import Malformed
from cluster.controlplane.requests import read_document
from compute.context import Context, PartsT, caller_of
from compute.errors import NotAcceptable, NotFound
from compute.service import Render, TransactionalService
from identity.keystone.tokens.token import Token

HEADER = "OpenStack-API-Version"
OperationT = TypeVar("OperationT", bound=Operation)

_FIRST, _OF_PATH, _WRITES = "asked_first", "asked_of_path", "writes"
_VERSION = re.compile(r"([1-9]\d*)\.([1-9]\d*|0)")


@dataclass(frozen=True, slots=True)
class Api:
    """The versions of an API."""

    names: tuple[str, ...]  # as which clients name it; answers have the first
    major: int
    oldest: int  # minor version, which is meant where none is asked for
    newest: int
    old_header: str = ""  # that holds the version alone, from before there was HEADER
    request_id_header: str = ""  # that answers have beside the one of all services, from before there was that

    def asked_for(self, request: falcon.Request) -> int:
        """Return the minor version of a request. Raise Malformed, NotAcceptable."""
        text = self._named(request)
        if text is None:
            return self.oldest
        if text.lower() == "latest":
            return self.newest
        found = _VERSION.fullmatch(text)
        if found is None:
            raise Malformed(f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")
        major, minor = int(found[1]), int(found[2])
        if major != self.major or not self.oldest <= minor <= self.newest:
            raise NotAcceptable(
                f"Version {text} is not supported by the API. "
                f"Minimum is {self.text(self.oldest)} and maximum is {self.text(self.newest)}."
            )
        return minor

    def text(self, minor: int) -> str:
        """Return a version as clients write it."""
        return f"{self.major}.{minor}"

    def said(self, minor: int) -> dict[str, str]:
        """Return the headers of an answer that tell which version it is in."""
        headers = {HEADER: f"{self.names[0]} {self.text(minor)}"}
        if self.old_header:
            headers[self.old_header] = self.text(minor)
        return headers

    @property
    def vary(self) -> str:
        """Return the names of request headers that answers depend on."""
        return ", ".join(filter(None, ("X-Auth-Token", HEADER, self.old_header)))

    def _named(self, request: falcon.Request) -> str | None:
        for each in (request.get_header(HEADER) or "").split(","):
            service, _space, text = each.strip().partition(" ")
            if service.lower() in self.names:
                return text.strip()
        return request.get_header(self.old_header) if self.old_header else None


class VersionedService(Generic[PartsT]):
    """`cluster.controlplane.application.Service`: from a request to an operation."""

    def __init__(self, api: Api, parts: PartsT, render: Render, clock_us: Callable[[], int] = wall_us) -> None:
        self._api = api
        self.vary = api.vary
        self._parts = parts
        self._service = TransactionalService(parts, render, _document, clock_us)

    def run(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str], writes: bool) -> Answer:
        """Call `operation` in a transaction. What others have to be asked is asked before: they may take a while."""
        request.context.minor = self._api.asked_for(request)
        own = {name: value for name, value in parts.items() if name != "project_id"}
        project_id = parts.get("project_id") or None
        first = getattr(operation, _FIRST, None)
        request.context.found = None
        if first is not None:
            document = _document(request)
            caller = caller_of(self._parts.tokens, request)
            _check_project(project_id, caller)
            about = own if getattr(operation, _OF_PATH, False) else {}
            request.context.found = first(self._parts, request.get_header("X-Auth-Token") or "", document, **about)

        def scoped(context: Context[PartsT]) -> Answer:
            if project_id is not None:
                _check_project(project_id, context.caller)
            return operation(context, **own)

        answer = self._service.run(request, scoped, {}, writes or getattr(operation, _WRITES, False))
        return replace(answer, headers={**answer.headers, **self._said(request)})

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""
        answer = self._service.error_of(error, request)
        if answer is None:
            return None
        headers = {**answer.headers, **self._said(request)}
        if answer.status == 413:
            headers["Retry-After"] = "0"
        return replace(answer, headers=headers)

    def error_with(self, status: int, message: str) -> Answer:
        """Return the answer that says `message`."""
        return self._service.error_with(status, message)

    def _said(self, request: falcon.Request) -> dict[str, str]:
        number, name = getattr(request.context, "minor", None), self._api.request_id_header
        own = {name: request.context.request_id} if name else {}
        return own if number is None else {**own, **self._api.said(number)}


def asking_first(ask: Callable[..., Any], of_path: bool = False) -> Callable[[OperationT], OperationT]:
    """Have `ask(parts, text of the token, document)` be called before an operation's transaction begins.

    With `of_path` it gets the variable parts of the path, too, by name. `found` returns what it returned.
    """

    def mark(operation: OperationT) -> OperationT:
        setattr(operation, _FIRST, ask)
        setattr(operation, _OF_PATH, of_path)
        return operation

    return mark


def writing(operation: OperationT) -> OperationT:
    """Mark an operation that writes, although the API has it as a GET."""
    setattr(operation, _WRITES, True)
    return operation


def found(context: Context[Any]) -> Any:
    """Return what was asked of others before the transaction began."""
    return context.request.context.found


def minor(context: Context[Any]) -> int:
    """Return the minor version that the client speaks."""
    number: int = context.request.context.minor
    return number


def since(first_minor: int, operation: OperationT) -> OperationT:
    """Return an operation that is there from a minor version on."""
    return between(first_minor, None, operation)


def until(last_minor: int, operation: OperationT) -> OperationT:
    """Return an operation that is there up to a minor version."""
    return between(0, last_minor, operation)


def between(first_minor: int, last_minor: int | None, operation: OperationT) -> OperationT:
    """Return an operation that is there from one minor version to another, both included."""

    @functools.wraps(operation)  # with its marks
    def versioned(context: Context[Any], **parts: str) -> Answer:
        context.caller  # noqa: B018 who is nobody learns nothing
        number = minor(context)
        if number < first_minor or (last_minor is not None and number > last_minor):
            raise NotFound("The resource could not be found.")
        return operation(context, **parts)

    return versioned  # type: ignore[return-value]


def _document(request: falcon.Request) -> Any:
    """Return the document of a request, which is read once."""
    if not hasattr(request.context, "document"):
        request.context.document = read_document(request)
    return request.context.document


def _check_project(project_id: str | None, caller: Token) -> None:
    if project_id is not None and project_id != caller.project_id:
        raise Malformed("Malformed request url")


