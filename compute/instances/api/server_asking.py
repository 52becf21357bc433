"""What is asked of others about a server before a transaction begins: hosts may take a while, and nobody waits then.

Whether the caller may is looked at first, so that nothing is done for a stranger; the operation looks again.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from compute.agent.interface import Host
from compute.context import TOKEN_HEADER
from compute.instances import servers
from compute.instances.api.parts import Parts
from compute.instances.api.requests import ADMIN
from compute.instances.api.server_access import RULE, asking
from compute.instances.errors import Conflict, NotFound
from compute.instances.servers import Server
from compute.stored import NoSuch, Refused

__all__ = ["TOKEN_HEADER", "is_admin_here", "of_host", "permitted"]

T = TypeVar("T")


def permitted(parts: Parts, token: str, server_id: str, rule: str) -> Server | None:
    """Return a server that the caller may do something to; None: the operation says why not."""
    caller = parts.tokens.validate(token)
    with parts.database.reading() as connection:
        found = servers.find(connection, server_id)
    if caller is None or found is None or found.deleted_at_us is not None:
        return None
    target = {"project_id": found.project_id, "user_id": found.user_id}
    seen = parts.policy.allows(f"{RULE}servers:show", caller, target)
    return found if seen and parts.policy.allows(rule, caller, target) else None


def is_admin_here(parts: Parts, token: str) -> bool:
    """Tell whether the caller is an administrator, whom locks do not keep out."""
    caller = parts.tokens.validate(token)
    return caller is not None and parts.policy.allows(ADMIN, caller)


def of_host(parts: Parts, token: str, server_id: str, rule: str, ask: Callable[[Host, Server], T]) -> T | None:
    """Return what a server's host answers; None: nobody was asked. Raise Conflict, Unavailable."""
    server = permitted(parts, token, server_id, rule)
    if server is None or server.host is None:
        return None
    with asking():
        try:
            return ask(parts.hosts.get(server.host), server)
        except NoSuch:
            raise NotFound("Guest of instance", server_id) from None
        except Refused as error:
            raise Conflict(str(error)) from None


def named(document: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return what an action's document has; None: it is of another action."""
    if not isinstance(document, Mapping) or name not in document:
        return None
    found = document[name]
    return found if isinstance(found, Mapping) else {}
