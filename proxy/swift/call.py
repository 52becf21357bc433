"""One request on its way through a handler, and what every handler may use."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from identity.users import User
from proxy.http.message import Request, Response
from proxy.objects.model import ObjectName
from proxy.swift.interfaces import ObjectService


@dataclass(frozen=True, slots=True)
class SwiftConfig:
    """Choices of whoever runs the proxy."""

    policy: str = "Policy-0"  # the storage policy's name, as containers show it


@dataclass(slots=True, eq=False)
class Call:
    """One request about an account, a container or an object."""

    request: Request
    name: ObjectName  # container and object are empty when the path ends before them
    parameters: Mapping[str, str]
    user: User | None
    service: ObjectService
    config: SwiftConfig
    now_s: float


Handler = Callable[[Call], Awaitable[Response]]
