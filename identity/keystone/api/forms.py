"""What clients may send: `{"user": {...}}` with attributes of the right types; others are kept as they are."""

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.controlplane.errors import Malformed
from cluster.controlplane.schema import Schema
from identity.keystone.api.context import Context
from identity.keystone.schema import ID_LIMIT, NAME_LIMIT

Property = Mapping[str, Any]

ID: Property = {"type": "string", "minLength": 1, "maxLength": ID_LIMIT, "pattern": r"^[a-zA-Z0-9-]+$"}
ID_OR_NULL: Property = {**ID, "type": ["string", "null"]}
BOOLEAN: Property = {"type": "boolean"}
TEXT: Property = {"type": "string"}
TEXT_OR_NULL: Property = {"type": ["string", "null"]}
NAME: Property = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": r"\S"}
SHORT_NAME: Property = {**NAME, "maxLength": 64}
TAGS: Property = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^,/]*$"},
    "maxItems": 80,
    "uniqueItems": True,
}
IMMUTABLE: Property = {
    "type": "object",
    "properties": {"immutable": {"type": ["boolean", "null"]}},
    "additionalProperties": False,
}


class Form:
    """The two documents of a resource: that which makes it, and that which changes it."""

    def __init__(self, name: str, properties: Mapping[str, Property], required: Iterable[str] = ("name",)) -> None:
        self._name = name
        definition = {"type": "object", "properties": dict(properties)}
        self._creation = Schema({**definition, "required": list(required)})
        self._change = Schema({**definition, "minProperties": 1})

    def for_creation(self, context: Context) -> dict[str, Any]:
        """Return the attributes of what a client wants to be made. Raise Malformed."""
        return self._checked(context, self._creation)

    def for_change(self, context: Context) -> dict[str, Any]:
        """Return the attributes that a client wants to change. Raise Malformed."""
        return self._checked(context, self._change)

    def _checked(self, context: Context, schema: Schema) -> dict[str, Any]:
        assert context.caller  # what nobody sends is not looked at
        attributes = context.document.get(self._name)
        if not isinstance(attributes, dict):
            raise Malformed(f"'{self._name}' is a required property")
        schema.check(attributes)
        return attributes


def without_nulls(attributes: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return `attributes` without those of `names` that are null: they keep their defaults."""
    return {name: value for name, value in attributes.items() if value is not None or name not in names}


def with_domain(context: Context, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `attributes` with a domain: that of the caller's token, or the default one, where none is named."""
    if attributes.get("domain_id"):
        return dict(attributes)
    return {**attributes, "domain_id": context.domain_id or context.settings.default_domain_id}
