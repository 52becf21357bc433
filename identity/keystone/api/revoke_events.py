"""Operation on revocations: what services that validate tokens by themselves ask for."""

from datetime import UTC, datetime

from cluster.controlplane.answer import Answer
from identity.keystone import revocations
from identity.keystone.api.context import Context
from identity.keystone.api.listing import Document, collection
from identity.keystone.api.moments import iso
from identity.keystone.errors import BadRequest
from identity.keystone.revocations import Revocation
from identity.keystone.tokens.revoked import Kind

_MEMBERS = {
    Kind.USER: "user_id",
    Kind.PROJECT: "project_id",
    Kind.DOMAIN: "domain_id",
    Kind.ROLE: "role_id",
    Kind.AUDIT: "audit_id",
    Kind.CHAIN: "audit_chain_id",
}  # the others have no name in the API: they are for our own proxies


def list_all(context: Context) -> Answer:
    """GET /v3/OS-REVOKE/events, those made since a moment if there is `since`."""
    context.enforce("identity:list_revoke_events")
    found = revocations.list_since(context.connection, _moment(context.query.get("since")))
    return collection(context, "events", [_document(each) for each in found if each.subject.kind in _MEMBERS])


def _document(revocation: Revocation) -> Document:
    return {
        _MEMBERS[revocation.subject.kind]: revocation.subject.id,
        "issued_before": iso(revocation.issued_before_us),
        "revoked_at": iso(revocation.revoked_at_us),
    }


def _moment(text: str | None) -> int:
    if text is None:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("Invalid input for field 'since': it is no moment as ISO 8601 writes it.") from None
    return round((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
