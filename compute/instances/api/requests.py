"""What most operations begin with: who asks, whose a thing is, and in which version of the API."""

import uuid
from typing import Any, Protocol

from cluster.controlplane.errors import Malformed
from compute.instances.api.parts import Request
from compute.microversions import minor
from compute.operations import journal
from compute.policy import Target

__all__ = [
    "ADMIN",
    "Request",
    "at_least",
    "begin",
    "is_admin",
    "is_uuid",
    "links",
    "own_target",
    "project_of",
    "target_of",
]

ADMIN = "context_is_admin"  # the rule


class Owned(Protocol):
    """What belongs to a project."""

    @property
    def project_id(self) -> str: ...

    @property
    def user_id(self) -> str: ...


def is_admin(context: Request) -> bool:
    """Tell whether the caller is an administrator, who sees other projects, and where things are."""
    return context.allows(ADMIN)


def project_of(context: Request) -> str:
    """Return the project that the caller acts for. Raise Malformed when there is none."""
    if context.project_id is None:
        raise Malformed("A token for a project is needed.")
    return context.project_id


def own_target(context: Request) -> Target:
    """Return what rules are told of what is the caller's own."""
    return {"project_id": context.project_id, "user_id": context.caller.user.id}


def target_of(owned: Owned) -> Target:
    """Return what rules are told of a thing."""
    return {"project_id": owned.project_id, "user_id": owned.user_id}


def begin(context: Request, kind: str, subject: tuple[str, str], project_id: str, **details: Any) -> None:
    """Have an operation be carried out once this request is committed."""
    journal.note(context.connection, context.now_us, kind, subject, project_id, context.request_id, **details)
    context.afterwards(context.parts.poke)


def links(context: Request, path: str) -> list[dict[str, str]]:
    """Return the links of a resource that is at `path` below the project."""
    below = f"{context.project_id}/" if _names_project(context) else ""
    return [
        {"rel": "self", "href": f"{context.base_url}/v2.1/{below}{path}"},
        {"rel": "bookmark", "href": f"{context.base_url}/{below}{path}"},
    ]


def at_least(context: Request, number: int) -> bool:
    """Tell whether the client speaks version 2.`number`, or a newer one."""
    return minor(context) >= number


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID, with hyphens or without."""
    try:
        return str(uuid.UUID(text)).replace("-", "") == text.lower().replace("-", "")
    except ValueError:
        return False


def _names_project(context: Request) -> bool:
    return context.project_id is not None and context.request.path.startswith(f"/v2.1/{context.project_id}/")
