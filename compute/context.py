"""What an operation knows of its request: who asks, in which transaction, at which moment, and what it may.

An operation is a function from a `Context` (and the parts of its path) to an `Answer`:

    def show(context: Context[Parts], image_id: str) -> Answer:
        image = images.get(context.connection, image_id)
        context.enforce("get_image", target_of(image))
        return ok(document_of(image))

`Parts` is what the service's operations work with; what is asked of it here is in `compute.context.Parts`.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import falcon
from sqlalchemy import Connection

from cluster.controlplane.database import Database
from compute.errors import Unauthorized
from compute.policy import ANYTHING, Policy, Target
from compute.tokens import Tokens
from identity.keystone.tokens.token import Token

TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 the name of a header


class Parts(Protocol):
    """What requests of any service need."""

    @property
    def database(self) -> Database: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def policy(self) -> Policy: ...

    @property
    def public_url(self) -> str:
        """Return what links begin with; empty: the address that the client used."""


PartsT = TypeVar("PartsT", bound=Parts)


class Context(Generic[PartsT]):
    """One request, within its transaction."""

    def __init__(
        self, parts: PartsT, request: falcon.Request, document: Any, connection: Connection, now_us: int
    ) -> None:
        self.parts = parts
        self.request = request  # whose body has been read
        self.document = document  # that the client sent; {} when there was none
        self.connection = connection
        self.now_us = now_us
        self.committed: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"Context({self.request.method} {self.request.path}, {self.request_id})"

    @property
    def request_id(self) -> str:
        """Return the name of the request in logs."""
        request_id: str = self.request.context.request_id
        return request_id

    @cached_property
    def query(self) -> Mapping[str, str]:
        """Return the query; of a name that comes twice, the last."""
        return {name: values[-1] for name, values in self.query_lists.items()}

    @cached_property
    def query_lists(self) -> Mapping[str, list[str]]:
        """Return the query, all values by name."""
        return {
            name: [value] if isinstance(value, str) else list(value) for name, value in self.request.params.items()
        }

    @property
    def base_url(self) -> str:
        """Return what all links begin with, without a slash at the end."""
        return self.parts.public_url or f"{self.request.scheme}://{self.request.netloc}"

    @cached_property
    def caller(self) -> Token:
        """Return who asks. Raise Unauthorized when nobody knows."""
        return caller_of(self.parts.tokens, self.request)

    @property
    def project_id(self) -> str | None:
        """Return the project that the caller acts for; None: none, with a token for a domain or the system."""
        return self.caller.project_id

    def enforce(self, rule: str, target: Target = ANYTHING) -> None:
        """Raise Unauthorized or Forbidden unless the caller may do what `rule` is about to `target`."""
        self.parts.policy.enforce(rule, self.caller, target)

    def allows(self, rule: str, target: Target = ANYTHING) -> bool:
        """Tell whether the caller may do what `rule` is about to `target`. Raise Unauthorized."""
        return self.parts.policy.allows(rule, self.caller, target)

    def afterwards(self, work: Callable[[], None]) -> None:
        """Call `work` when the transaction is committed. It must be quick, and repeatable by others: see `service`."""
        self.committed.append(work)


def caller_of(tokens: Tokens, request: falcon.Request) -> Token:
    """Return who sent `request`. Raise Unauthorized."""
    text = request.get_header(TOKEN_HEADER)
    token = tokens.validate(text) if text else None
    if token is None:
        raise Unauthorized()
    return token
