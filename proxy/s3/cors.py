"""Rules for pages of other origins (CORS): from and to documents, and which one allows a request. No I/O.

Source: Amazon S3 User Guide, "Elements of a CORS configuration"; the Fetch standard, "CORS protocol". A rule's origins
and header names may have one asterisk each, which stands for any text. The first rule that fits decides.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from proxy.http.message import Headers
from proxy.s3.errors import S3Error
from proxy.s3.xml import Element, document, text

MAX_RULES = 100
MAX_SIZE = 64 * 1024  # bytes of all rules as they are kept
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_ELEMENTS = frozenset({"ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds"})

METHOD_FIELD = "access-control-request-method"
HEADERS_FIELD = "access-control-request-headers"

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may send what."""

    origins: Sequence[str]
    methods: Sequence[str]
    headers: Sequence[str] = ()  # that requests may have
    exposed: Sequence[str] = ()  # of answers, that pages may see
    max_age_s: int | None = None  # how long a browser remembers
    name: str = ""

    def allows(self, origin: str, method: str, headers: Iterable[str]) -> bool:
        """Tell whether a page of `origin` may send `method` with `headers`, which are lower-case."""
        return (
            method in self.methods
            and any(_matches(pattern, origin) for pattern in self.origins)
            and all(any(_matches(pattern.lower(), name) for pattern in self.headers) for name in headers)
        )


def _matches(pattern: str, value: str) -> bool:
    before, asterisk, after = pattern.partition("*")
    if not asterisk:
        return pattern == value
    return len(value) >= len(before) + len(after) and value.startswith(before) and value.endswith(after)


def requested_headers(headers: Headers) -> list[str]:
    """Return the names that a preflight announces, in lower case."""
    names = (name.strip().lower() for name in headers.get(HEADERS_FIELD).split(","))
    return [name for name in names if name]


def answer_fields(rules: Sequence[Rule], headers: Headers, method: str) -> Fields:
    """Return what an answer says to the page that sent `method` or announces it; nothing when no rule allows that."""
    origin = headers.get("origin")
    names = requested_headers(headers)
    rule = next((rule for rule in rules if rule.allows(origin, method, names)), None)
    if rule is None:
        return []
    anybody = "*" in rule.origins
    fields = [
        ("Access-Control-Allow-Origin", "*" if anybody else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule.methods)),
    ]
    if names:
        fields.append(("Access-Control-Allow-Headers", ", ".join(names)))
    if rule.exposed:
        fields.append(("Access-Control-Expose-Headers", ", ".join(rule.exposed)))
    if rule.max_age_s is not None:
        fields.append(("Access-Control-Max-Age", str(rule.max_age_s)))
    if not anybody:
        fields.append(("Access-Control-Allow-Credentials", "true"))
    fields.append(("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"))
    return fields


# How rules are kept: JSON


def pack(rules: Sequence[Rule]) -> str:
    """Return what is kept of rules. Raise S3Error when it is too much."""
    packed = json.dumps([asdict(rule) for rule in rules])
    if len(packed) > MAX_SIZE:
        raise S3Error("InvalidRequest", f"The CORS configuration takes more than {MAX_SIZE} bytes.")
    return packed


def unpack(packed: str) -> list[Rule]:
    """Return the rules that are kept."""
    return [Rule(**fields) for fields in json.loads(packed)]


# Documents


def parse(root: Element) -> list[Rule]:
    """Return the rules of a document. Raise S3Error."""
    rules = [_rule(element) for element in root.children if element.name == "CORSRule"]
    if not rules or len(rules) != len(root.children) or len(rules) > MAX_RULES:
        raise S3Error("MalformedXML")
    return rules


def _rule(element: Element) -> Rule:
    if any(child.name not in _ELEMENTS for child in element.children):
        raise S3Error("MalformedXML")
    origins, methods = _texts(element, "AllowedOrigin"), _texts(element, "AllowedMethod")
    headers, exposed = _texts(element, "AllowedHeader"), _texts(element, "ExposeHeader")
    if not origins or not methods:
        raise S3Error("MalformedXML")
    for method in methods:
        if method not in _METHODS:
            message = f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            raise S3Error("InvalidRequest", message)
    for name, values in (("AllowedOrigin", origins), ("AllowedHeader", headers)):
        for value in values:
            if value.count("*") > 1:
                raise S3Error("InvalidRequest", f'{name} "{value}" can not have more than one wildcard.')
    for value in exposed:
        if "*" in value or not _FIELD_NAME.fullmatch(value):
            raise S3Error("InvalidRequest", f'ExposeHeader "{value}" is no name of a header.')
    return Rule(origins, methods, headers, exposed, _max_age_s(element), (element.value("ID") or ""))


def _texts(element: Element, name: str) -> list[str]:
    return [child.text.strip() for child in element.find_all(name)]


def _max_age_s(element: Element) -> int | None:
    value = element.value("MaxAgeSeconds")
    if value is None:
        return None
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise S3Error("MalformedXML")
    return int(digits)


def render(rules: Sequence[Rule]) -> bytes:
    """Return the document that shows rules."""
    return document("CORSConfiguration", "".join(_shown(rule) for rule in rules))


def _shown(rule: Rule) -> str:
    values = [("ID", rule.name)] if rule.name else []
    values += [("AllowedOrigin", value) for value in rule.origins]
    values += [("AllowedMethod", value) for value in rule.methods]
    values += [("AllowedHeader", value) for value in rule.headers]
    values += [("ExposeHeader", value) for value in rule.exposed]
    if rule.max_age_s is not None:
        values.append(("MaxAgeSeconds", str(rule.max_age_s)))
    content = "".join(f"<{name}>{text(value)}</{name}>" for name, value in values)
    return f"<CORSRule>{content}</CORSRule>"
