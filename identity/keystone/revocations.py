"""Tokens that are void before they expire: statements in the database, published for the proxies.

A statement is written in the transaction that gives rise to it, and its publication with it: a password that was
changed without its tokens ending does not exist. What a statement is about, and which tokens it voids, is
`tokens/revoked.py`. Statements are kept as long as a token lives, then swept out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from identity.keystone import publication, stale_keys
from identity.keystone.schema import revocations
from identity.keystone.tokens.following import key_of
from identity.keystone.tokens.revoked import Kind, Subject, subjects_of
from identity.keystone.tokens.token import Token

_AT_ONCE = 500  # statements that one sweep removes


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens of `subject` issued at or before a moment are void."""

    subject: Subject
    issued_before_us: int
    revoked_at_us: int


def revoke(connection: Connection, subject: Subject, now_us: int, issued_before_us: int | None = None) -> None:
    """Void the tokens of `subject` that were issued at or before a moment; None: before now, and now."""
    before_us = now_us if issued_before_us is None else issued_before_us
    _mark_keys(connection, subject)
    row = revocations.c.kind == subject.kind.value, revocations.c.subject == subject.id
    known_us = connection.scalar(select(revocations.c.issued_before_us).where(*row))
    if known_us is None:
        values = {"kind": subject.kind.value, "subject": subject.id}
        connection.execute(
            insert(revocations).values(**values, issued_before_us=before_us, revoked_at_us=now_us)
        )
    elif known_us < before_us:
        connection.execute(
            update(revocations).where(*row).values(issued_before_us=before_us, revoked_at_us=now_us)
        )
    else:
        return
    publication.publish(connection, key_of(subject), b"%d" % before_us)


def revoke_all(connection: Connection, subjects: Iterable[Subject], now_us: int) -> None:
    """Void the tokens of several subjects that were issued before now, and now."""
    for subject in subjects:
        revoke(connection, subject, now_us)


def made_at(connection: Connection, moment_us: int) -> list[Subject]:
    """Return what the statements of one transaction are about, by the moment at which it began.

    Somebody may have authenticated while that transaction was under way: before its end, and so by what was valid then,
    but after the moment that the statements name. Who ends tokens says so once more when the transaction is over.
    """
    rows = connection.execute(
        select(revocations.c.kind, revocations.c.subject).where(
            revocations.c.revoked_at_us == moment_us, revocations.c.issued_before_us == moment_us
        )
    )
    return [Subject(Kind(kind), subject_id) for kind, subject_id in rows]


def revoke_token(connection: Connection, token: Token, now_us: int) -> None:
    """Void one token, whatever the clocks of those who issue and revoke say."""
    revoke(connection, Subject(Kind.AUDIT, token.audit_id), now_us, max(now_us, token.issued_at_us))


def revoke_chain(connection: Connection, token: Token, now_us: int) -> None:
    """Void a token and all that were made from it or that it was made from: none of them lives longer than it."""
    revoke(connection, Subject(Kind.CHAIN, token.chain_id), now_us, max(now_us, token.expires_at_us))


def is_revoked(connection: Connection, token: Token) -> bool:
    """Tell whether a statement voids `token`.

    Those about grants are left to the proxies: who asks here looks at the roles of the moment as well.
    """
    pairs = [(kind.value, subject_id) for kind, subject_id in subjects_of(token) if kind is not Kind.GRANT]
    found = connection.scalar(
        select(revocations.c.kind)
        .where(tuple_(revocations.c.kind, revocations.c.subject).in_(pairs))
        .where(revocations.c.issued_before_us >= token.issued_at_us)
        .limit(1)
    )
    return found is not None


def list_since(connection: Connection, revoked_at_us: int) -> list[Revocation]:
    """Return the statements made at or after a moment, the oldest first."""
    rows = connection.execute(
        select(revocations)
        .where(revocations.c.revoked_at_us >= revoked_at_us)
        .order_by(revocations.c.revoked_at_us, revocations.c.kind, revocations.c.subject)
    )
    return [
        Revocation(Subject(Kind(row.kind), row.subject), row.issued_before_us, row.revoked_at_us) for row in rows
    ]


def sweep(connection: Connection, now_us: int, lifetime_us: int) -> int:
    """Remove some statements about tokens that have all expired; return how many. `lifetime_us`: of any token."""
    end_us = now_us - lifetime_us
    rows = connection.execute(
        select(revocations.c.kind, revocations.c.subject)
        .where(revocations.c.revoked_at_us < end_us, revocations.c.issued_before_us < end_us)
        .limit(_AT_ONCE)
    ).all()
    _remove(connection, [Subject(Kind(kind), subject_id) for kind, subject_id in rows])
    return len(rows)


def _mark_keys(connection: Connection, subject: Subject) -> None:
    """Have the S3 keys looked at that the reason for a revocation may concern, too."""
    match subject.kind:
        case Kind.USER:
            stale_keys.mark_user(connection, subject.id)
        case Kind.PROJECT:
            stale_keys.mark_project(connection, subject.id)
        case Kind.DOMAIN:
            stale_keys.mark_domain(connection, subject.id)
        case Kind.ROLE | Kind.ALL:
            stale_keys.mark_all(connection)


def _remove(connection: Connection, subjects: Iterable[Subject]) -> None:
    for subject in subjects:
        connection.execute(
            delete(revocations).where(
                revocations.c.kind == subject.kind.value, revocations.c.subject == subject.id
            )
        )
        publication.publish(connection, key_of(subject), None)
