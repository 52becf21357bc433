"""Which header fields pass between browser and service. Pure.

Hop-by-hop fields end here, also those that Connection names (RFC 9110, 7.6.1). Of what a browser adds, nothing passes
that says where it is or what it was given by somebody else: cookies, Origin, Referer, Sec-*. Fields that stand between
the parts of a deployment (X-Backend-*, X-Forwarded-*, X-Identity-*, X-Service-*) pass in neither direction.

Objects are anybody's bytes, and the page's own origin gives them out: so no answer of a service may run or frame
anything in it, whatever its type (`GUARD`).
"""

from collections.abc import Iterable, Iterator

Fields = Iterable[tuple[str, str]]

_HOP_BY_HOP = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    )
)  # fmt: skip
_INTERNAL = ("x-backend-", "x-forwarded-", "x-identity-", "x-service-")
_NOT_ASKED = frozenset(("host", "cookie", "origin", "referer", "forwarded", "x-real-ip", "expect", "via"))
_NOT_ANSWERED = frozenset(
    (
        "set-cookie", "server", "content-security-policy", "content-security-policy-report-only", "clear-site-data",
        "refresh", "report-to", "nel", "service-worker-allowed", "strict-transport-security", "x-frame-options",
        "x-content-type-options", "referrer-policy", "date",
    )
)  # fmt: skip
_NOT_ANSWERED_PREFIXES = (*_INTERNAL, "access-control-")

# of whatever a service answers
GUARD = (
    ("Server", "Holdfast"),
    ("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


def asked(fields: Fields, host: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a request as the service `host` gets them."""
    yield "Host", host
    yield from _passing(fields, _NOT_ASKED, (*_INTERNAL, "sec-"))


def answered(fields: Fields) -> Iterator[tuple[str, str]]:
    """Yield the fields of an answer as the browser gets them."""
    yield from _passing(fields, _NOT_ANSWERED, _NOT_ANSWERED_PREFIXES)
    yield from GUARD


def _passing(fields: Fields, without: frozenset[str], prefixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    known = list(fields)
    named = {
        option.strip().lower() for name, value in known if name.lower() == "connection" for option in value.split(",")
    }
    for name, value in known:
        lower = name.lower()
        if lower not in _HOP_BY_HOP and lower not in without and lower not in named and not lower.startswith(prefixes):
            yield name, value
