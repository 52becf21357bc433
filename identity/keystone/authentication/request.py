"""The document of POST /v3/auth/tokens: by which methods somebody proves who it is, and for what scope. No I/O.

    {"auth": {"identity": {"methods": ["password"], "password": {"user": {...}}}, "scope": {"project": {"id": ...}}}}

Source: Identity API v3, "Password authentication with scoped authorization" and its neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.controlplane.schema import Schema
from identity.keystone.errors import BadRequest, Unauthorized
from identity.keystone.tokens.token import Method, ScopeKind

UNSCOPED = "unscoped"


@dataclass(frozen=True, slots=True)
class Named:
    """A user, project or domain: by id, or by name within a domain, which is again known by id or name."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


@dataclass(frozen=True, slots=True)
class PasswordClaim:
    """Somebody knows a user's password."""

    user: Named
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenClaim:
    """Somebody has a token."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApplicationCredentialClaim:
    """Somebody knows the secret of an application credential, which is known by id, or by user and name."""

    id: str | None
    name: str | None
    user: Named | None
    secret: str = field(repr=False)


Claim = PasswordClaim | TokenClaim | ApplicationCredentialClaim


@dataclass(frozen=True, slots=True)
class ScopeWish:
    """What a token shall be good for."""

    kind: ScopeKind
    target: Named = Named()


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """All of the document. `scope` None: not said, which makes it the user's default project, if there is one."""

    claims: tuple[Claim, ...]
    scope: ScopeWish | None
    unscoped: bool  # explicitly: the default project does not count


_TEXT = {"type": "string", "minLength": 1}


def _object(*required: str, **properties: object) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_DOMAIN = _object(id=_TEXT, name=_TEXT)
_NAMED = _object(id=_TEXT, name=_TEXT, domain=_DOMAIN)
_USER = _object("password", id=_TEXT, name=_TEXT, domain=_DOMAIN, password={"type": "string"})
_IDENTITY = _object(
    "methods",
    methods={"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 8},
    password=_object("user", user=_USER),
    token=_object("id", id=_TEXT),
    application_credential=_object("secret", id=_TEXT, name=_TEXT, secret=_TEXT, user=_NAMED),
)
_SYSTEM = _object(all={"const": True})
_SCOPE = _object(project=_NAMED, domain=_DOMAIN, system=_SYSTEM, unscoped=_object())
_SCHEMA = Schema(
    _object("auth", auth=_object("identity", identity=_IDENTITY, scope={"anyOf": [{"const": UNSCOPED}, _SCOPE]}))
)


def read(document: Mapping[str, Any]) -> AuthRequest:
    """Return what `document` says. Raise Malformed, BadRequest, and Unauthorized for a method that we do not have."""
    _SCHEMA.check(document)
    auth = document["auth"]
    identity = auth["identity"]
    claims = tuple(_claim(name, identity) for name in dict.fromkeys(identity["methods"]))
    scope = auth.get("scope")
    if scope is None:
        return AuthRequest(claims, None, unscoped=False)
    if scope == UNSCOPED or UNSCOPED in scope:
        return AuthRequest(claims, None, unscoped=True)
    return AuthRequest(claims, _scope(scope), unscoped=False)


def _claim(method: str, identity: Mapping[str, Any]) -> Claim:
    reader = _READERS.get(method)
    if reader is None:
        raise Unauthorized(f"Attempted to authenticate with an unsupported method: {method[:64]}.")
    if method not in identity:
        raise BadRequest(f"Expecting to find {method} in identity.")
    return reader(identity[method])


def _password(part: Mapping[str, Any]) -> Claim:
    return PasswordClaim(_named(part["user"], "user"), part["user"]["password"])


def _token(part: Mapping[str, Any]) -> Claim:
    return TokenClaim(part["id"])


def _application_credential(part: Mapping[str, Any]) -> Claim:
    user = _named(part["user"], "user") if "user" in part else None
    if "id" not in part and ("name" not in part or user is None):
        raise BadRequest("Expecting to find id, or name and user, in application_credential.")
    return ApplicationCredentialClaim(part.get("id"), part.get("name"), user, part["secret"])


_READERS = {
    Method.PASSWORD.value: _password,
    Method.TOKEN.value: _token,
    Method.APPLICATION_CREDENTIAL.value: _application_credential,
}


def _scope(scope: Mapping[str, Any]) -> ScopeWish:
    kinds = [kind for kind in ScopeKind if kind.value in scope]
    if len(kinds) != 1 or len(scope) != 1:
        raise BadRequest("Expecting to find exactly one of project, domain and system in scope.")
    kind = kinds[0]
    if kind is ScopeKind.SYSTEM:
        if scope["system"].get("all") is not True:
            raise BadRequest("Expecting to find all in system.")
        return ScopeWish(kind)
    return ScopeWish(kind, _named(scope[kind.value], kind.value))


def _named(part: Mapping[str, Any], what: str) -> Named:
    domain = part.get("domain", {})
    if "id" in part:
        return Named(id=part["id"])
    if "name" not in part or (what != "domain" and not domain):
        raise BadRequest(f"Expecting to find id, or name{'' if what == 'domain' else ' and domain'}, in {what}.")
    return Named(name=part["name"], domain_id=domain.get("id"), domain_name=domain.get("name"))
