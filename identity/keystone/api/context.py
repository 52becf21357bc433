"""What an operation knows of its request: who asks, in which transaction, at which moment, and what it may.

An operation is a function from a `Context` (and the parts of its path) to an `Answer`:

    def show(context: Context, user_id: str) -> Answer:
        user = context.permitted("identity:get_user", lambda: users.get(context.connection, user_id), target_of)
        return ok({"user": document_of(context, user)})
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import falcon
from sqlalchemy import Connection

from cluster.controlplane.database import Database
from cluster.controlplane.paging import Page
from identity.keystone import access_rules
from identity.keystone.errors import NotFound, Unauthorized
from identity.keystone.sealing import Seal
from identity.keystone.settings import Settings
from identity.keystone.tokens.token import Token

T = TypeVar("T")

Target = Mapping[str, object]  # what a rule is about: "target.user.id", "target.user.domain_id", …

Work = Callable[[Connection], None]  # what a transaction consists of

ANYTHING: Target = {}  # no rule that asks for something in particular allows it


class Provider(Protocol):
    """Turns the text of a token into what it says, and back: `tokens/provider.py`."""

    def validate(self, connection: Connection, text: str) -> Token:
        """Return what `text` says. Raise Unauthorized when it does not hold (any more)."""

    def seal(self, token: Token) -> str:
        """Return the text of a token that was just made."""


class Enforcer(Protocol):
    """Applies the policy: `policy/enforcer.py`."""

    def enforce(self, rule: str, token: Token, target: Target) -> None:
        """Raise Forbidden unless `rule` allows who has `token` to act on `target`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What operations work with; the same for all requests."""

    database: Database
    settings: Settings
    seal: Seal  # of stored secrets
    provider: Provider
    enforcer: Enforcer


class Context:
    """One request."""

    def __init__(
        self, parts: Parts, request: falcon.Request, document: dict[str, Any], connection: Connection, now_us: int
    ) -> None:
        self.parts = parts
        self.request = request  # whose body has been read
        self.document = document  # the JSON object that the client sent
        self.connection = connection
        self.now_us = now_us
        self.later: list[Work] = []

    def __repr__(self) -> str:
        return f"Context({self.request.method} {self.request.path}, {self.request_id})"

    @property
    def settings(self) -> Settings:
        """Return how the service is configured."""
        return self.parts.settings

    @property
    def request_id(self) -> str:
        """Return the name of the request in logs."""
        request_id: str = self.request.context.request_id
        return request_id

    @cached_property
    def query(self) -> dict[str, str]:
        """Return the query; of a name that comes twice, the last."""
        return {
            name: value if isinstance(value, str) else value[-1] for name, value in self.request.params.items()
        }

    @property
    def page(self) -> Page:
        """Return which rows of a listing are asked for."""
        return Page.of_query(self.query)

    @property
    def base_url(self) -> str:
        """Return what all links begin with, without a slash at the end."""
        return self.settings.public_url or f"{self.request.scheme}://{self.request.netloc}"

    def url(self, path: str) -> str:
        """Return the link to what is at `path` below /v3."""
        return f"{self.base_url}/v3/{path}"

    @cached_property
    def token(self) -> Token | None:
        """Return who asks; None without a token, or with one that does not hold: some things anybody may ask."""
        text = self.request.get_header("X-Auth-Token")
        if not text:
            return None
        try:
            token = self.parts.provider.validate(self.connection, text)
        except (Unauthorized, NotFound):
            return None
        return token if self._is_permitted(token) else None

    def _is_permitted(self, token: Token) -> bool:
        """Tell whether the token may be used for this request: some are restricted to certain ones."""
        if not token.access_rules or token.application_credential_id is None:
            return True
        return access_rules.permits(
            self.connection, token.application_credential_id, "identity", self.request.method, self.request.path
        )

    @property
    def caller(self) -> Token:
        """Return who asks. Raise Unauthorized when nobody knows."""
        if self.token is None:
            raise Unauthorized()
        return self.token

    @property
    def domain_id(self) -> str | None:
        """Return the domain that the caller's token is for: listings show nothing outside of it. None: no domain."""
        return None if self.token is None else self.token.domain_id

    def afterwards(self, work: Work) -> None:
        """Do `work` in a transaction of its own after that of the request, which may be undone: to count a failure."""
        self.later.append(work)

    def enforce(self, rule: str, target: Target = ANYTHING) -> None:
        """Raise Unauthorized or Forbidden unless the caller may do what `rule` is about to `target`."""
        self.parts.enforcer.enforce(rule, self.caller, target)

    def permitted(self, rule: str, find: Callable[[], T], target_of: Callable[[T], Target]) -> T:
        """Return what `find` finds, if the caller may. Who may not learns nothing: not even whether it is there."""
        try:
            found = find()
        except NotFound:
            self.enforce(rule)
            raise
        self.enforce(rule, target_of(found))
        return found
