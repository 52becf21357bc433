"""What clients may send: `{"volume": {...}}` with attributes of the right types."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.columns import NAME_LIMIT
from cluster.controlplane.errors import Malformed
from cluster.controlplane.schema import Schema
from compute.volumes.api.requests import Request
from compute.volumes.errors import Invalid

Property = Mapping[str, Any]

SIZE_LIMIT = 1 << 20  # GiB: 1 PiB, as the gateway has it

NAME: Property = {"type": ["string", "null"], "maxLength": NAME_LIMIT}
REQUIRED_NAME: Property = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": r"\S"}
TEXT: Property = {"type": ["string", "null"], "maxLength": NAME_LIMIT}
ID: Property = {"type": "string", "minLength": 1, "maxLength": 64}
ID_OR_NULL: Property = {"type": ["string", "null"], "maxLength": 64}
BOOLEAN: Property = {"type": ["boolean", "string", "integer"]}
SIZE: Property = {"type": ["integer", "string", "null"]}
COUNT: Property = {"type": ["integer", "string"]}
WORDS: Property = {
    "type": "object",
    "propertyNames": {"minLength": 1, "maxLength": NAME_LIMIT},
    "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": NAME_LIMIT},
}
WORDS_OR_NULL: Property = {**WORDS, "type": ["object", "null"]}

_TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
_FALSE = frozenset(("0", "f", "false", "off", "n", "no"))


class Form:
    """A document with one object of a name."""

    def __init__(
        self, name: str, properties: Mapping[str, Property], required: tuple[str, ...] = (), more: Any = True
    ) -> None:
        """`more`: what others there may be; True: any, they are passed over."""
        self.name = name
        self._schema = Schema(
            {
                "type": "object",
                "properties": dict(properties),
                "required": list(required),
                "additionalProperties": more,
            }
        )

    def read(self, context: Request) -> dict[str, Any]:
        """Return the attributes that the client sent. Raise Malformed."""
        context.caller  # noqa: B018 what nobody sends is not looked at
        return self.check(context.document.get(self.name))

    def check(self, attributes: Any) -> dict[str, Any]:
        """Return attributes that fit. Raise Malformed."""
        if not isinstance(attributes, dict):
            raise Malformed(f"Invalid input for field/attribute {self.name}: '{self.name}' is a required property")
        self._schema.check(attributes)
        return attributes


def truth(value: Any, name: str) -> bool:
    """Return what a flag means that may come as a word. Raise Invalid."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Invalid(f"Invalid input for field/attribute {name}: '{value}' is neither true nor false.")


def size(value: Any, name: str = "size") -> int:
    """Return a size in GiB, which may come as digits. Raise Invalid."""
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not 0 < int(text[:9]) <= SIZE_LIMIT:
        raise Invalid(f"Invalid input received: '{value}' is no {name}: it must be an integer greater than zero.")
    return int(text[:9])


def words(value: Mapping[str, Any] | None) -> dict[str, str]:
    """Return metadata as texts."""
    return {key: value if isinstance(value, str) else str(value) for key, value in (value or {}).items()}


def text(value: str | None) -> str | None:
    """Return a name without the blanks around it."""
    return None if value is None else value.strip()
