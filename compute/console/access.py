"""Who asks the console itself: by a token in X-Auth-Token, or by a signature with an access key. Decided in memory.

The signature is version 4's over this very request, for a service of its own (`SERVICE`), so that no signature made
for S3 is good here, nor one made here for S3. The secret stays in the browser.
"""

import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from identity.interfaces import Principal, Tokens, Users
from identity.keystone.ec2_signature import SignatureError, SignedRequest, verifies

SERVICE = "holdfast-console"
_ALGORITHM = "AWS4-HMAC-SHA256"
_MUST_BE_SIGNED = frozenset(("host", "x-amz-date"))
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Access:
    """Finds who sent a request."""

    def __init__(self, users: Users, tokens: Tokens, now_s: Callable[[], float] = time.time) -> None:
        self._users = users
        self._tokens = tokens
        self._now_s = now_s

    def who(self, method: str, target: str, fields: Mapping[str, str]) -> Principal | None:
        """Return who asks for `target` (path and query); None: nobody that we know, or it is not proven."""
        token = fields.get("X-Auth-Token", "")
        if token:
            return self._tokens.verify(token)
        authorization = fields.get("Authorization", "")
        return self._signer(method, target, fields, authorization) if authorization.startswith(_ALGORITHM) else None

    def _signer(self, method: str, target: str, fields: Mapping[str, str], authorization: str) -> Principal | None:
        said = dict(
            part.strip().partition("=")[::2] for part in authorization.removeprefix(_ALGORITHM).strip().split(",")
        )
        access_key, _slash, scope = said.get("Credential", "").partition("/")
        signed = frozenset(said.get("SignedHeaders", "").split(";"))
        if not scope.endswith(f"/{SERVICE}/aws4_request") or not signed >= _MUST_BE_SIGNED:
            return None
        if any(name not in fields for name in signed):
            return None
        user = self._users.by_access_key(access_key)
        if user is None or not user.secret_key:
            return None
        path, _question, query = target.partition("?")
        request = SignedRequest(
            access=access_key,
            signature=said.get("Signature", ""),
            verb=method,
            path=path,
            params=dict(parse_qsl(query, keep_blank_values=True)),
            headers={"Authorization": authorization, "X-Amz-Date": fields.get("X-Amz-Date", "")}
            | {name: fields[name] for name in signed},
            body_hash=_EMPTY_SHA256,
        )
        try:
            return user if verifies(request, user.secret_key, self._now_s()) else None
        except SignatureError:
            return None
