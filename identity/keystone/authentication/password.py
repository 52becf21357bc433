"""The method "password": somebody knows the password of a user, whom it names by id, or by name and domain.

A wrong password, one of a user that is not there, is disabled or has none, and one that comes while the user is locked
out all cost one scrypt and read the same.
"""

from sqlalchemy import Connection

from identity.keystone import domains, lockout, passwords, principals, users
from identity.keystone.authentication.proof import Proof, WrongPassword
from identity.keystone.authentication.request import Named, PasswordClaim
from identity.keystone.errors import LockedOut, NotFound, PasswordExpired, Unauthorized
from identity.keystone.settings import Settings
from identity.keystone.tokens.token import Method
from identity.keystone.users import User

_IGNORES_LOCKOUT = "ignore_lockout_failure_attempts"  # options of users
_IGNORES_EXPIRY = "ignore_password_expiry"


def prove(connection: Connection, claim: PasswordClaim, settings: Settings, now_us: int) -> Proof:
    """Return what `claim` proves. Raise Unauthorized, LockedOut, PasswordExpired, or WrongPassword, which counts."""
    if len(claim.password) > passwords.LONGEST:
        raise Unauthorized
    user = _enabled_user(connection, claim.user)
    stored = None if user is None else passwords.current(connection, user.id)
    if user is None or stored is None:
        _spend(claim, settings)
        raise Unauthorized
    if not user.has(_IGNORES_LOCKOUT) and lockout.is_locked_out(connection, user.id, settings.lockout, now_us):
        _spend(claim, settings)
        raise LockedOut
    if not passwords.verifies(claim.password, stored.hash):
        raise WrongPassword(user.id)
    if stored.is_expired(now_us) and not user.has(_IGNORES_EXPIRY):
        raise PasswordExpired(user.id)
    return Proof(user.id, (Method.PASSWORD,))


def named_user(connection: Connection, named: Named) -> User:
    """Return the user that `named` names. Raise NotFound."""
    if named.id is not None:
        return users.get(connection, named.id)
    domain_id = named.domain_id or domains.find(connection, named.domain_name or "").id
    return users.find(connection, named.name or "", domain_id)


def _enabled_user(connection: Connection, named: Named) -> User | None:
    try:
        user = named_user(connection, named)
        principals.enabled_person(connection, user.id)
    except NotFound:
        return None
    return user


def _spend(claim: PasswordClaim, settings: Settings) -> None:
    """Take as long as it takes to find out that a password is wrong."""
    passwords.verifies(claim.password, passwords.decoy(settings.passwords.cost))
