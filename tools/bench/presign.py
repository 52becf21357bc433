"""Presigned URLs: Signature Version 4 in the query, the body unsigned, path style. Pure.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters". Signing the host alone
makes a URL that any HTTP client can send.
"""

from collections.abc import Iterable
from urllib.parse import quote

from proxy.s3.signature import ALGORITHM, UNSIGNED_PAYLOAD, Scope, request_signature, signing_key

EXPIRES_S = 24 * 3600


class Presigner:
    """Signs for one user at one endpoint, as of one moment."""

    def __init__(self, host: str, access_key: str, secret_key: str, region: str, timestamp: str) -> None:
        """`host` as the client will send it; `timestamp` like 20260102T030405Z."""
        self.host = host
        self._timestamp = timestamp
        self._scope = Scope(timestamp[:8], region, "s3")
        self._key = signing_key(secret_key, self._scope)
        self._fields = (
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", f"{access_key}/{self._scope}"),
            ("X-Amz-Date", timestamp),
            ("X-Amz-Expires", str(EXPIRES_S)),
            ("X-Amz-SignedHeaders", "host"),
        )

    def target(self, method: str, path: str, query: Iterable[tuple[str, str]] = ()) -> str:
        """Return path and signed query. `path` and `query` are plain text, not escaped."""
        escaped = quote(path, safe="/")
        pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in (*self._fields, *query))
        signed = "&".join([f"{name}={value}" for name, value in pairs])
        canonical = f"{method}\n{escaped}\n{signed}\nhost:{self.host}\n\nhost\n{UNSIGNED_PAYLOAD}"
        signature = request_signature(self._key, self._timestamp, self._scope, canonical.encode())
        return f"{escaped}?{signed}&X-Amz-Signature={signature}"
