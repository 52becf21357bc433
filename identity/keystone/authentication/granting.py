"""From a request to a token: all its methods, the rules about how many a user needs, the scope, the roles.

A token is bounded by what proved it: it ends with the token or application credential that it was made from, is in the
chain of that token, and has no role that the user, or the application credential, does not have now.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from identity.keystone import application_credentials, principals, users
from identity.keystone.authentication import application_credential, password, scope, token
from identity.keystone.authentication.proof import Proof, combined
from identity.keystone.authentication.request import (
    ApplicationCredentialClaim,
    AuthRequest,
    Claim,
    PasswordClaim,
    TokenClaim,
)
from identity.keystone.errors import NotFound, Unauthorized
from identity.keystone.settings import Settings
from identity.keystone.tokens.provider import new_audit_id, roles_of
from identity.keystone.tokens.token import Method, Scope, Token
from identity.keystone.users import User


@dataclass(frozen=True, slots=True)
class Granting:
    """Makes tokens: the same for all requests but for the connection and the moment."""

    validator: token.Validator
    settings: Settings

    def token_for(self, connection: Connection, request: AuthRequest, now_us: int) -> Token:
        """Return the token that is asked for. Raise Unauthorized and its kin, Forbidden."""
        proof = combined([self._prove(connection, claim, now_us) for claim in request.claims])
        try:
            check_methods(users.get(connection, proof.user_id), proof)
        except NotFound:
            raise Unauthorized from None
        wanted = scope.resolve(connection, request, proof, self.settings.tokens)
        return self.token_of(connection, proof, wanted, now_us)

    def token_of(self, connection: Connection, proof: Proof, wanted: Scope | None, now_us: int) -> Token:
        """Return the token that `proof` gives for a scope. Raise Unauthorized."""
        credential_id = proof.application_credential_id
        try:
            person = principals.enabled_person(connection, proof.user_id)
            credential = None if credential_id is None else application_credentials.get(connection, credential_id)
        except NotFound:
            raise Unauthorized from None
        own = new_audit_id()
        expires_at_us = now_us + self.settings.tokens.lifetime_us
        if proof.expires_at_us is not None:
            expires_at_us = min(expires_at_us, proof.expires_at_us)
        return Token(
            user=person,
            methods=tuple(method for method in Method if method in proof.methods),
            scope=wanted,
            roles=roles_of(connection, proof.user_id, wanted, credential_id, now_us),
            issued_at_us=now_us,
            expires_at_us=expires_at_us,
            audit_ids=(own,) if proof.chain_id is None else (own, proof.chain_id),
            application_credential_id=credential_id,
            access_rules=credential is not None and bool(credential.access_rules),
            unrestricted=credential is not None and credential.unrestricted,
        )

    def _prove(self, connection: Connection, claim: Claim, now_us: int) -> Proof:
        match claim:
            case PasswordClaim():
                return password.prove(connection, claim, self.settings, now_us)
            case TokenClaim():
                return token.prove(connection, claim, self.validator)
            case ApplicationCredentialClaim():
                return application_credential.prove(connection, claim, now_us)


def check_methods(user: User, proof: Proof) -> None:
    """Raise Unauthorized unless the user's own rules are content with the methods that were used.

    The rules are lists of methods, of which one has to be complete. What is made from a program's secret is not asked:
    its user is not there to type anything.
    """
    rules = user.options.get("multi_factor_auth_rules") or []
    if not user.has("multi_factor_auth_enabled") or not rules:
        return
    used = {method.value for method in proof.methods}
    programs = {Method.APPLICATION_CREDENTIAL.value, Method.EC2.value}
    known = [set(rule) for rule in rules if isinstance(rule, list) and rule]
    if known and not used & programs and not any(rule <= used for rule in known):
        raise Unauthorized
