"""Who may do what on a bare cluster: identity/authorization.py."""

import pytest

from identity.authorization import OwnerAuthorizer
from identity.interfaces import Action, Authorizer
from identity.users import new_user

AUTHORIZER: Authorizer = OwnerAuthorizer()


@pytest.mark.parametrize("action", Action)
def test_an_account_belongs_to_its_users_and_to_admins(action: Action) -> None:
    ann, bob, eve = new_user("photos:ann"), new_user("photos:bob"), new_user("eve")
    root = new_user("admin", admin=True)
    assert [AUTHORIZER.may(user, "AUTH_photos", action) for user in (ann, bob, eve, root)] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("action", Action)
def test_strangers_may_nothing(action: Action) -> None:
    assert not AUTHORIZER.may(None, "AUTH_photos", action)
    assert not AUTHORIZER.may(None, "", action)
