"""Signature Version 4 by header, written plainly, so that tests can sign what no SDK would send.

Source: AWS, "Signature Version 4 signing process".
"""

import hashlib
import hmac
import time
from collections.abc import Mapping


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed_headers(
    method: str,
    path: str,
    headers: Mapping[str, str],
    access_key: str,
    secret_key: str,
    *,
    region: str = "us-east-1",
    at_s: float | None = None,
    payload_hash: str = "UNSIGNED-PAYLOAD",
) -> dict[str, str]:
    """Return `headers`, which hold the host, with what signs them. `path` is encoded and has no query."""
    moment = time.gmtime(time.time() if at_s is None else at_s)
    stamp, day = time.strftime("%Y%m%dT%H%M%SZ", moment), time.strftime("%Y%m%d", moment)
    signed = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash}
    names = sorted(name.lower() for name in signed)
    lowered = {name.lower(): value for name, value in signed.items()}
    canonical = "\n".join(
        [method, path, "", *(f"{name}:{lowered[name].strip()}" for name in names), "", ";".join(names), payload_hash]
    )
    scope = f"{day}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret_key).encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return signed
