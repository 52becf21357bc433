"""One request on its way through a handler, and what every handler may use."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from identity.interfaces import Principal
from proxy.http.message import Request, Response
from proxy.objects.model import ObjectName
from proxy.swift.account_acl import Level
from proxy.swift.interfaces import ObjectService


@dataclass(frozen=True, slots=True)
class SwiftConfig:
    """Choices of whoever runs the proxy."""

    policy: str = "Policy-0"  # the storage policy's name, as containers show it


@dataclass(frozen=True, slots=True)
class Grant:
    """What a temporary URL opens to whoever has it: an account, or one container of it."""

    account: str
    container: str  # "": all of them
    prefix: str | None = None  # of the objects that the URL is for; None: it is for one
    query: str = ""  # what makes a URL for another object of the prefix

    def covers(self, account: str, container: str) -> bool:
        """Tell whether objects of this container are open."""
        return self.account == account and self.container in ("", container)


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link on the way to an object."""

    target: ObjectName
    etag: str  # that the target has to have; empty: any


@dataclass(slots=True, eq=False)
class Call:
    """One request about an account, a container or an object."""

    request: Request
    name: ObjectName  # container and object are empty when the path ends before them
    parameters: Mapping[str, str]
    user: Principal | None
    service: ObjectService
    config: SwiftConfig
    now_s: float
    grant: Grant | None = None  # of a temporary URL; there is no user then
    link: Link | None = None  # by which the request came to `name`
    levels: dict[str, Level] = field(default_factory=dict)  # by account, whose access list was asked about the user


Handler = Callable[[Call], Awaitable[Response]]
