"""Who somebody has proved to be, and what bounds the token that is made from it. Values only."""

from dataclasses import dataclass
from typing import TypeVar

from identity.keystone.errors import Unauthorized
from identity.keystone.tokens.token import Method, Scope, Token

T = TypeVar("T")


class WrongPassword(Unauthorized):
    """The password is not that of the user, who is there: it counts as a failure (`lockout`)."""

    def __init__(self, user_id: str) -> None:
        super().__init__()
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome of one method or, after `combined`, of all."""

    user_id: str
    methods: tuple[Method, ...]
    expires_at_us: int | None = None  # a token made from it lives no longer
    chain_id: str | None = None  # of the token that it was proved with
    bound_to: Scope | None = None  # a token made from it is for this and nothing else
    rescoped_from: Scope | None = None  # of the token that it was proved with
    application_credential_id: str | None = None  # whose roles bound the token's

    @classmethod
    def of_token(cls, token: Token) -> "Proof":
        """Return what `token` proves. Made from a program's secret, it is good for the same project only."""
        by_program = token.application_credential_id is not None or Method.EC2 in token.methods
        return cls(
            user_id=token.user.id,
            methods=(Method.TOKEN, *token.methods),
            expires_at_us=token.expires_at_us,
            chain_id=token.chain_id,
            bound_to=token.scope if by_program else None,
            rescoped_from=token.scope,
            application_credential_id=token.application_credential_id,
        )


def combined(proofs: list[Proof]) -> Proof:
    """Return what several methods prove together. Raise Unauthorized unless all are about one user."""
    if not proofs or len({proof.user_id for proof in proofs}) != 1:
        raise Unauthorized
    expiries = [proof.expires_at_us for proof in proofs if proof.expires_at_us is not None]
    return Proof(
        user_id=proofs[0].user_id,
        methods=tuple(dict.fromkeys(method for proof in proofs for method in proof.methods)),
        expires_at_us=min(expiries, default=None),
        chain_id=_only([proof.chain_id for proof in proofs]),
        bound_to=_only([proof.bound_to for proof in proofs]),
        rescoped_from=_only([proof.rescoped_from for proof in proofs]),
        application_credential_id=_only([proof.application_credential_id for proof in proofs]),
    )


def _only(values: list[T | None]) -> T | None:
    """Return the value that there is. Raise Unauthorized when there are several: one bound would be lost."""
    found = {value for value in values if value is not None}
    if len(found) > 1:
        raise Unauthorized
    return next(iter(found), None)
