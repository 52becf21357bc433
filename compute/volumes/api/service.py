"""From a request to an operation: versions, projects in paths, and what has to be asked of others first.

A path may name the project or not: /v3/PROJECT/volumes, /v3/volumes. When it does it must be the token's.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import falcon

from cluster.clock import wall_us
from cluster.controlplane.answer import Answer
from cluster.controlplane.application import Operation
from cluster.controlplane.errors import Malformed
from cluster.controlplane.requests import read_document
from compute.context import Context, caller_of
from compute.errors import NotFound
from compute.service import TransactionalService
from compute.volumes.api import versions
from compute.volumes.api.failures import render
from compute.volumes.api.parts import Parts
from identity.keystone.tokens.token import Token

First = Callable[[Parts, str, Mapping[str, Any]], Any]  # of the parts, the text of the token, and the document
OperationT = TypeVar("OperationT", bound=Operation)

_FIRST, _WRITES = "asked_first", "writes"


class BlockStorage:
    """`cluster.controlplane.application.Service` of the volume service."""

    vary = f"X-Auth-Token, {versions.HEADER}"

    def __init__(self, parts: Parts, clock_us: Callable[[], int] = wall_us) -> None:
        self._parts = parts
        self._service = TransactionalService(parts, render, _document, clock_us)

    def run(self, request: falcon.Request, operation: Operation, parts: Mapping[str, str], writes: bool) -> Answer:
        """Call `operation` in a transaction. What others have to be asked is asked before: they may take a while."""
        request.context.minor = versions.asked_for(request)
        own = {name: value for name, value in parts.items() if name != "project_id"}
        project_id = parts.get("project_id") or None
        first: First | None = getattr(operation, _FIRST, None)
        request.context.found = None
        if first is not None:
            document = _document(request)
            caller = caller_of(self._parts.tokens, request)
            _check_project(project_id, caller)
            request.context.found = first(self._parts, request.get_header("X-Auth-Token") or "", document)

        def scoped(context: Context[Parts]) -> Answer:
            if project_id is not None:
                _check_project(project_id, context.caller)
            return operation(context, **own)

        answer = self._service.run(request, scoped, {}, writes or getattr(operation, _WRITES, False))
        return replace(answer, headers={**answer.headers, **_said(request)})

    def error_of(self, error: Exception, request: falcon.Request) -> Answer | None:
        """Return the answer that `error` is; None: it is a defect of ours."""
        answer = self._service.error_of(error, request)
        if answer is None:
            return None
        headers = {**answer.headers, **_said(request)}
        if answer.status == 413:
            headers["Retry-After"] = "0"
        return replace(answer, headers=headers)

    def error_with(self, status: int, message: str) -> Answer:
        """Return the answer that says `message`."""
        return self._service.error_with(status, message)


def asking_first(ask: First) -> Callable[[OperationT], OperationT]:
    """Have `ask` be called before an operation's transaction begins; `found` returns what it returned."""

    def mark(operation: OperationT) -> OperationT:
        setattr(operation, _FIRST, ask)
        return operation

    return mark


def writing(operation: OperationT) -> OperationT:
    """Mark an operation that writes, although the API has it as a GET."""
    setattr(operation, _WRITES, True)
    return operation


def found(context: Context[Parts]) -> Any:
    """Return what was asked of others before the transaction began."""
    return context.request.context.found


def minor(context: Context[Parts]) -> int:
    """Return x of the version 3.x that the client speaks."""
    number: int = context.request.context.minor
    return number


def since(first_minor: int, operation: OperationT) -> OperationT:
    """Return an operation that is there from version 3.`first_minor` on."""

    @functools.wraps(operation)  # with its marks
    def versioned(context: Context[Parts], **parts: str) -> Answer:
        if minor(context) < first_minor:
            raise NotFound(f"API version 3.{minor(context)} is not supported on this method.")
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


def _said(request: falcon.Request) -> dict[str, str]:
    number = getattr(request.context, "minor", None)
    return {} if number is None else {versions.HEADER: f"{versions.SERVICE} 3.{number}"}
