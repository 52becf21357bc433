"""Query parameters, and the Accept header: what a client asks for besides the name."""

from collections.abc import Mapping, Sequence

from proxy.http import text as percent_encoding
from proxy.http.errors import BadEncoding
from proxy.swift.errors import SwiftError

NONE: Mapping[str, str] = {}
_TRUE = frozenset(("true", "1", "yes", "on", "t", "y"))


def parse_query(query: str) -> Mapping[str, str]:
    """Return the parameters of a raw query; of a repeated one the last. Raise SwiftError on bad UTF-8."""
    if not query:
        return NONE
    try:
        return dict(percent_encoding.parse_query(query))
    except BadEncoding as error:
        raise SwiftError(400, error.reason) from None


def is_true(value: str) -> bool:
    """Tell whether `value` says yes, as Swift reads it."""
    return value.strip().lower() in _TRUE


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _equals, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _specificity(pattern: str, offer: str) -> int:
    """Return how closely a media range fits: 0 not at all, 1 any type, 2 any subtype, 3 exactly."""
    if pattern == offer:
        return 3
    if pattern == "*/*":
        return 1
    return 2 if pattern.endswith("/*") and offer.startswith(pattern[:-1]) else 0


def best_match(accept: str, offers: Sequence[str]) -> str | None:
    """Return the offer that an Accept header likes best, the earlier one of equals, or None (RFC 9110 §12.5.1)."""
    if not accept or accept == "*/*":
        return offers[0]
    ranges = []
    for item in accept.split(","):
        pattern, _semicolon, parameters = item.partition(";")
        ranges.append((pattern.strip().lower(), _quality(parameters)))
    best, best_quality = None, 0.0
    for offer in offers:
        fitting = [(_specificity(pattern, offer), quality) for pattern, quality in ranges]
        specificity, quality = max(fitting)
        if specificity and quality > best_quality:
            best, best_quality = offer, quality
    return best
