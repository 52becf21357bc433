"""What operations on images work with, and how they find the image that they are about."""

from dataclasses import dataclass

from sqlalchemy import Connection

from cluster.controlplane.database import Database
from compute.context import Context as RequestContext
from compute.images import images, members, visibility
from compute.images.errors import NoSuchImage
from compute.images.records import Image
from compute.images.settings import Settings
from compute.images.statuses import Visibility
from compute.images.uploads import Dock
from compute.policy import Policy, Target
from compute.tokens import Tokens
from identity.keystone.tokens.token import Token

SEE_ALL = "see_all"


@dataclass(frozen=True, slots=True)
class Parts:
    """What operations work with; the same for all requests."""

    dock: Dock
    tokens: Tokens
    policy: Policy
    has_volumes: bool  # there is a block gateway: images can be volumes

    @property
    def database(self) -> Database:
        """Return where it is all recorded."""
        return self.dock.database

    @property
    def settings(self) -> Settings:
        """Return how the service is configured."""
        return self.dock.settings

    @property
    def public_url(self) -> str:
        """Return what links begin with; empty: the address that the client used."""
        return self.dock.settings.public_url


Context = RequestContext[Parts]


def found(context: Context, image_id: str, rule: str = "get_image") -> Image:
    """Return an image that the caller sees, and may do what `rule` is about to. Raise NoSuchImage, Forbidden."""
    return permitted(context.parts, context.connection, context.caller, image_id, rule)


def permitted(parts: Parts, connection: Connection, caller: Token, image_id: str, rule: str) -> Image:
    """Return an image that `caller` sees, and may do what `rule` is about to. Raise NoSuchImage, Forbidden."""
    image = images.get(connection, image_id)
    if not parts.policy.allows(SEE_ALL, caller) and not visibility.sees(connection, image, caller.project_id):
        raise NoSuchImage(image_id)
    parts.policy.enforce(rule, caller, target_of(connection, image, caller))
    return image


def target_of(connection: Connection, image: Image, caller: Token) -> Target:
    """Return what rules can say of an image."""
    member = None
    if image.visibility is Visibility.SHARED:
        member = members.find(connection, image.id, caller.project_id)
    return {
        "image_id": image.id,
        "project_id": image.owner,
        "owner": image.owner,
        "visibility": image.visibility.value,
        "status": image.status.value,
        "member_id": member.project_id if member else None,
    }
