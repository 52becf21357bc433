"""Operations on tokens: to get one, to ask about one, to end one."""

from cluster.controlplane.answer import NO_CONTENT, Answer
from identity.keystone import lockout, revocations
from identity.keystone.api.context import Context
from identity.keystone.api.token_documents import document_of
from identity.keystone.authentication import request as requests
from identity.keystone.authentication.granting import Granting
from identity.keystone.authentication.proof import WrongPassword
from identity.keystone.errors import NotFound, Unauthorized
from identity.keystone.tokens.token import Token

SUBJECT_HEADER = "X-Subject-Token"
_ACCESS_RULES_HEADER = "OpenStack-Identity-Access-Rules"  # sent by services that heed access rules


def issue(context: Context) -> Answer:
    """POST /v3/auth/tokens."""
    request = requests.read(context.document)
    granting = Granting(context.parts.provider, context.settings)
    try:
        token = granting.token_for(context.connection, request, context.now_us)
    except WrongPassword as error:
        _count_failure(context, error.user_id)
        raise Unauthorized from None
    if any(isinstance(claim, requests.PasswordClaim) for claim in request.claims):
        _forget_failures(context, token.user.id)
    return answer_with(context, token, 201)


def validate(context: Context) -> Answer:
    """GET and HEAD /v3/auth/tokens: what the subject token says."""
    rule = "identity:check_token" if context.request.method == "HEAD" else "identity:validate_token"
    token, text = _subject(context, rule)
    if token.access_rules and context.request.get_header(_ACCESS_RULES_HEADER) is None:
        raise _no_such_token()  # who asks would let it do everything
    return Answer(200, {"token": document_of(context, token)}, {SUBJECT_HEADER: text})


def revoke(context: Context) -> Answer:
    """DELETE /v3/auth/tokens: the subject token ends; those made from it do not."""
    token, _text = _subject(context, "identity:revoke_token")
    revocations.revoke_token(context.connection, token, context.now_us)
    return NO_CONTENT


def answer_with(context: Context, token: Token, status: int) -> Answer:
    """Return a token that was just made."""
    text = context.parts.provider.seal(token)
    return Answer(status, {"token": document_of(context, token)}, {SUBJECT_HEADER: text})


def _subject(context: Context, rule: str) -> tuple[Token, str]:
    """Return the token that the request is about, and its text. Raise NotFound when it does not hold."""
    caller = context.caller
    text = context.request.get_header(SUBJECT_HEADER) or ""
    try:
        token = context.parts.provider.validate(context.connection, text)
    except Unauthorized:
        context.enforce(rule, {"target.token.user_id": caller.user.id})
        raise _no_such_token() from None
    context.enforce(rule, {"target.token.user_id": token.user.id})
    return token, text


def _no_such_token() -> NotFound:
    return NotFound("token", f"the one in {SUBJECT_HEADER}")


def _count_failure(context: Context, user_id: str) -> None:
    rules, now_us = context.settings.lockout, context.now_us
    context.afterwards(lambda connection: lockout.record_failure(connection, user_id, rules, now_us))


def _forget_failures(context: Context, user_id: str) -> None:
    if lockout.has_failures(context.connection, user_id):
        context.afterwards(lambda connection: lockout.forget_failures(connection, user_id))
