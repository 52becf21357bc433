"""The method "application_credential": a program knows the secret that its user gave it.

Its token is for the project of the credential, and has of the credential's roles those that the user still has there.
A credential that is not there, one that has expired and a wrong secret cost and read the same.
"""

from sqlalchemy import Connection

from identity.keystone import application_credentials, passwords, principals
from identity.keystone.application_credentials import COST, ApplicationCredential
from identity.keystone.authentication.password import named_user
from identity.keystone.authentication.proof import Proof
from identity.keystone.authentication.request import ApplicationCredentialClaim
from identity.keystone.errors import NotFound, Unauthorized
from identity.keystone.tokens.token import Method, Scope, ScopeKind


def prove(connection: Connection, claim: ApplicationCredentialClaim, now_us: int) -> Proof:
    """Return what `claim` proves. Raise Unauthorized."""
    try:
        credential = _named(connection, claim)
        if credential.is_expired(now_us):
            raise NotFound("application credential", credential.id)
        principals.enabled_person(connection, credential.user_id)
        scope = principals.enabled_scope(connection, ScopeKind.PROJECT, credential.project_id)
    except NotFound:
        passwords.verifies(claim.secret[: passwords.LONGEST], passwords.decoy(COST))
        raise Unauthorized from None
    if not credential.verifies(claim.secret):
        raise Unauthorized
    return _proof(credential, scope)


def _named(connection: Connection, claim: ApplicationCredentialClaim) -> ApplicationCredential:
    if claim.id is not None:
        return application_credentials.get(connection, claim.id)
    assert claim.user is not None
    assert claim.name is not None
    user = named_user(connection, claim.user)
    return application_credentials.by_name(connection, user.id, claim.name)


def _proof(credential: ApplicationCredential, scope: Scope) -> Proof:
    return Proof(
        user_id=credential.user_id,
        methods=(Method.APPLICATION_CREDENTIAL,),
        expires_at_us=credential.expires_at_us,
        bound_to=scope,
        application_credential_id=credential.id,
    )
