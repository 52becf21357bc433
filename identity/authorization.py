"""Authorization of a bare cluster: an account belongs to its users."""

from identity.interfaces import Action
from identity.users import User


class OwnerAuthorizer:
    """`identity.interfaces.Authorizer`: users may do anything in their own account, admins in any."""

    def may(self, user: User | None, account: str, action: Action) -> bool:
        """Tell whether `user` (None: anonymous) may do `action` in `account`."""
        return user is not None and (user.admin or user.account == account)
