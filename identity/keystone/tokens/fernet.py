"""A token as text, and back: Fernet around msgpack. No I/O, no clock.

Source: the Fernet specification (github.com/fernet/spec), and msgpack's. Padding is left off, as clients
expect of tokens. Inside: one byte that says how the rest is packed, then an array

    [version 1, user, methods, scope, roles, issued_at_us, expires_at_us, audit ids, application credential, flags]

where user is [id, name, domain id, domain name], scope is nil or [kind, id, name, domain id, domain name,
is_domain], a role is [id, name]. Ids of 32 hexadecimal digits and audit ids travel as their 16 bytes. A reader
takes a token of another version for no token.

Invariant: what `decode` returns was made by somebody who has one of the keys; nothing is looked at before.
Whether it has expired or was revoked is for `validation` to say.
"""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

import msgpack
from cryptography.fernet import Fernet, InvalidToken

from identity.keystone.tokens.token import Method, Person, Role, Scope, ScopeKind, Token

TEXT_LIMIT = 8192  # characters: servers take header lines of that size, and no token comes near it
AUDIT_ID_SIZE = 16  # bytes; 22 characters of base64url as text

_VERSION = 1
_PAYLOAD_LIMIT = 64 << 10  # bytes, decompressed
_PLAIN, _ZLIB = b"\0", b"\1"
_TEXT = re.compile("[A-Za-z0-9_-]+")  # base64 decoders pass over other characters: one token would have many texts
_HEX_ID = re.compile("[0-9a-f]{32}")

# numbers are for ever: tokens outlast an upgrade
_METHODS = {Method.PASSWORD: 1, Method.TOKEN: 2, Method.APPLICATION_CREDENTIAL: 4, Method.EC2: 8}
_KINDS = {ScopeKind.PROJECT: 1, ScopeKind.DOMAIN: 2, ScopeKind.SYSTEM: 3}
_KIND_OF = {number: kind for kind, number in _KINDS.items()}
_ACCESS_RULES, _UNRESTRICTED = 1, 2
assert set(_METHODS) == set(Method)
assert set(_KINDS) == set(ScopeKind)


def encode(token: Token, key: Fernet) -> str:
    """Return `token` as text, sealed with `key`. Raise ValueError when it does not fit into TEXT_LIMIT."""
    packed = msgpack.packb(_values_of(token))
    compressed = zlib.compress(packed)
    body = _ZLIB + compressed if len(compressed) < len(packed) else _PLAIN + packed
    text = key.encrypt_at_time(body, token.issued_at_us // 1_000_000).rstrip(b"=").decode()
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"a token of {len(text)} characters is too large: {len(token.roles)} roles")
    return text


def decode(text: str, keys: Sequence[Fernet]) -> Token | None:
    """Return what `encode` was given, or None when none of `keys` made `text`."""
    body = _opened(text, keys)
    if body is None:
        return None
    try:
        return _token_of(msgpack.unpackb(_unpacked(body)))
    except (ValueError, TypeError, KeyError, zlib.error):
        return None  # sealed by us, but by a release that knows other payloads


def _opened(text: str, keys: Sequence[Fernet]) -> bytes | None:
    if len(text) > TEXT_LIMIT or not _TEXT.fullmatch(text):
        return None
    sealed = text + "=" * (-len(text) % 4)
    for key in keys:
        try:
            return key.decrypt(sealed)
        except InvalidToken:
            continue
    return None


def _unpacked(body: bytes) -> bytes:
    if body[:1] == _PLAIN:
        return body[1:]
    if body[:1] != _ZLIB:
        raise ValueError("packed in a way that this release does not know")
    inflater = zlib.decompressobj()
    packed = inflater.decompress(body[1:], _PAYLOAD_LIMIT)
    if not inflater.eof:
        raise ValueError("larger than any token")
    return packed


def _values_of(token: Token) -> list[Any]:
    user, scope = token.user, token.scope
    return [
        _VERSION,
        [_pack_id(user.id), user.name, _pack_id(user.domain_id), user.domain_name],
        sum(_METHODS[method] for method in set(token.methods)),
        None if scope is None else _scope_values(scope),
        [[_pack_id(role.id), role.name] for role in token.roles],
        token.issued_at_us,
        token.expires_at_us,
        [_pack_audit_id(audit_id) for audit_id in token.audit_ids],
        _pack_id(token.application_credential_id or ""),
        _ACCESS_RULES * token.access_rules + _UNRESTRICTED * token.unrestricted,
    ]


def _scope_values(scope: Scope) -> list[Any]:
    ids = _pack_id(scope.id), _pack_id(scope.domain_id)
    return [_KINDS[scope.kind], ids[0], scope.name, ids[1], scope.domain_name, scope.is_domain]


def _token_of(values: Any) -> Token:
    version, user, methods, scope, roles, issued_at_us, expires_at_us, audit_ids, credential, flags = values
    if version != _VERSION:
        raise ValueError(f"a token of version {version}")
    return Token(
        user=Person(_unpack_id(user[0]), user[1], _unpack_id(user[2]), user[3]),
        methods=tuple(method for method, bit in _METHODS.items() if methods & bit),
        scope=None if scope is None else _scope_of(*scope),
        roles=tuple(Role(_unpack_id(role_id), name) for role_id, name in roles),
        issued_at_us=issued_at_us,
        expires_at_us=expires_at_us,
        audit_ids=tuple(_unpack_audit_id(audit_id) for audit_id in audit_ids),
        application_credential_id=_unpack_id(credential) or None,
        access_rules=bool(flags & _ACCESS_RULES),
        unrestricted=bool(flags & _UNRESTRICTED),
    )


def _scope_of(
    kind: int, scope_id: bytes | str, name: str, domain_id: bytes | str, domain_name: str, is_domain: bool
) -> Scope:
    return Scope(_KIND_OF[kind], _unpack_id(scope_id), name, _unpack_id(domain_id), domain_name, is_domain)


def _pack_id(text: str) -> bytes | str:
    return bytes.fromhex(text) if _HEX_ID.fullmatch(text) else text


def _unpack_id(packed: bytes | str) -> str:
    return packed.hex() if isinstance(packed, bytes) else packed


def _pack_audit_id(audit_id: str) -> bytes:
    return urlsafe_b64decode(audit_id + "==")


def _unpack_audit_id(packed: bytes) -> str:
    return urlsafe_b64encode(packed).rstrip(b"=").decode()
