"""Operations on key pairs: each user has its own, whatever the project."""

from datetime import UTC, datetime
from typing import Any

from cluster.controlplane.answer import Answer, created, ok
from compute.instances import key_pairs, quotas, ssh_keys
from compute.instances.api.forms import NAME_LIMIT, Form
from compute.instances.api.lists import PAGING, check_query, next_links, page
from compute.instances.api.requests import Request, at_least
from compute.instances.errors import Invalid
from compute.instances.key_pairs import KeyPair
from compute.instances.moments import iso_micro

TYPES_SINCE, USERS_SINCE, PAGES_SINCE, IMPORT_ONLY_SINCE = 2, 10, 35, 92
_RULE = "os_compute_api:os-keypairs:"
_TYPE = {"type": "string", "enum": [ssh_keys.SSH, ssh_keys.X509]}
_USER = frozenset(("user_id",))


def _form(letters: str, types: bool = True, users: bool = True, required: tuple[str, ...] = ("name",)) -> Form:
    name = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": rf"^(?! )[{letters}]*(?<! )\Z"}
    properties: dict[str, Any] = {"name": name, "public_key": {"type": "string"}}
    if types:
        properties["type"] = _TYPE
    if users:
        properties["user_id"] = {"type": "string"}
    return Form("keypair", properties, required)


_FORMS = (  # each from a version on
    (IMPORT_ONLY_SINCE, _form("a-zA-Z0-9@._ -", required=("name", "public_key"))),
    (USERS_SINCE, _form("a-zA-Z0-9_ -")),
    (TYPES_SINCE, _form("a-zA-Z0-9_ -", users=False)),
    (0, _form("a-zA-Z0-9_ -", types=False, users=False)),
)


def list_all(context: Request) -> Answer:
    """GET /v2.1/os-keypairs."""
    user_id = _user_of(context)
    check_query(context, _USER | PAGING)
    context.enforce(_RULE + "index", {"user_id": user_id})
    found = key_pairs.of_user(context.connection, user_id)
    more: dict[str, Any] = {}
    if at_least(context, PAGES_SINCE):
        found = page(context, found, lambda each: each.name)
        more = next_links(context, "keypairs", found, lambda each: each.name)
    return ok({"keypairs": [{"keypair": _brief(context, each)} for each in found], **more})


def show(context: Request, name: str) -> Answer:
    """GET /v2.1/os-keypairs/{name}."""
    user_id = _user_of(context)
    check_query(context, _USER)
    context.enforce(_RULE + "show", {"user_id": user_id})
    found = key_pairs.get(context.connection, user_id, name)
    document = {
        **_brief(context, found),
        "user_id": found.user_id,
        "id": found.number,
        "created_at": iso_micro(found.created_at_us),
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }
    return ok({"keypair": document})


def create(context: Request) -> Answer:
    """POST /v2.1/os-keypairs: import a key, or (before 2.92) make a pair."""
    form = next(form for since, form in _FORMS if at_least(context, since))
    attributes = form.read(context)
    user_id = attributes.get("user_id") or context.caller.user.id
    context.enforce(_RULE + "create", {"user_id": user_id})
    kind = attributes.get("type", ssh_keys.SSH)
    public_key, private_key = attributes.get("public_key"), None
    if public_key is None:
        if kind == ssh_keys.SSH:
            pair = ssh_keys.generate("Generated-by-Nova")
        else:
            pair = ssh_keys.generate_certificate(user_id, datetime.fromtimestamp(context.now_us // 1_000_000, UTC))
        public_key, private_key = pair.public_key, pair.private_key
    try:
        fingerprint = ssh_keys.fingerprint(kind, public_key)
    except ssh_keys.NoKey as error:
        raise Invalid(f"Keypair data is invalid: {error}") from None
    quotas.require_key_pair(context.connection, context.parts.settings.quotas, context.project_id, user_id)
    made = key_pairs.create(
        context.connection,
        KeyPair(
            user_id=user_id,
            name=attributes["name"],
            number=key_pairs.next_number(context.connection),
            type=kind,
            fingerprint=fingerprint,
            public_key=public_key,
            created_at_us=context.now_us,
        ),
    )
    document = {**_brief(context, made), "user_id": user_id}
    if private_key is not None:
        document["private_key"] = private_key
    answer = {"keypair": document}
    return created(answer) if at_least(context, TYPES_SINCE) else ok(answer)


def remove(context: Request, name: str) -> Answer:
    """DELETE /v2.1/os-keypairs/{name}."""
    user_id = _user_of(context)
    check_query(context, _USER)
    context.enforce(_RULE + "delete", {"user_id": user_id})
    key_pairs.remove(context.connection, user_id, name)
    return Answer(204 if at_least(context, TYPES_SINCE) else 202)


def _user_of(context: Request) -> str:
    own = context.caller.user.id
    return (context.query.get("user_id") or own) if at_least(context, USERS_SINCE) else own


def _brief(context: Request, found: KeyPair) -> dict[str, Any]:
    document = {"name": found.name, "public_key": found.public_key, "fingerprint": found.fingerprint}
    if at_least(context, TYPES_SINCE):
        document["type"] = found.type
    return document
