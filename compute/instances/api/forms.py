"""What clients may send: `{"flavor": {...}}` with attributes of the right types, and nothing beside.

Source: Nova's API reference; the limits are those of its database.
"""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.schema import Schema
from compute.instances.api.parts import Request
from compute.instances.errors import Invalid

Property = Mapping[str, Any]

NAME_LIMIT = 255
INTEGER_LIMIT = 2_147_483_647
_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"

NAME: Property = {
    "type": "string",
    "minLength": 1,
    "maxLength": NAME_LIMIT,
    "pattern": rf"^(?!\s){_PRINTABLE}*(?<!\s)\Z",
}
LOOSE_NAME: Property = {**NAME, "pattern": rf"^(?=.*\S){_PRINTABLE}*\Z"}  # with blanks at its ends
ZONE_NAME: Property = {**NAME, "pattern": r"^(?!\s)[^\x00-\x1f\x7f-\x9f\u2028\u2029:]*(?<!\s)\Z"}
HOST_NAME: Property = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": r"^[a-zA-Z0-9-._]*\Z"}
PROJECT_ID: Property = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT, "pattern": r"^[a-zA-Z0-9-]*\Z"}
WORD: Property = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT}
TEXT: Property = {"type": ["string", "null"], "maxLength": 65_535, "pattern": rf"^{_PRINTABLE}*\Z"}
TRUE_WORDS = ("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
FALSE_WORDS = ("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")
BOOLEAN: Property = {"type": ["boolean", "string"], "enum": [True, *TRUE_WORDS, False, *FALSE_WORDS]}
NUMBER: Property = {"type": ["integer", "string"], "pattern": r"^-?[0-9]+\Z"}  # with `number`
METADATA_KEY = r"^[a-zA-Z0-9-_:. ]{1,255}\Z"
METADATA: Property = {
    "type": "object",
    "patternProperties": {METADATA_KEY: {"type": "string", "maxLength": NAME_LIMIT}},
    "additionalProperties": False,
}
METADATA_WITH_NULL: Property = {
    "type": "object",
    "patternProperties": {METADATA_KEY: {"type": ["string", "null"], "maxLength": NAME_LIMIT}},
    "additionalProperties": False,
}


class Form:
    """A document with one object of a name, and nothing beside; without a name, the document itself."""

    def __init__(
        self,
        name: str,
        properties: Mapping[str, Property],
        required: tuple[str, ...] = (),
        more: Any = False,
        **rules: Any,
    ) -> None:
        """`more`: what other attributes there may be; True: any. `rules`: more of JSON schema's."""
        self.name = name
        attributes = {
            "type": "object",
            "properties": dict(properties),
            "required": list(required),
            "additionalProperties": more,
            **rules,
        }
        whole = {"type": "object", "properties": {name: attributes}, "required": [name], "additionalProperties": False}
        self._schema = Schema(whole if name else attributes)

    def read(self, context: Request) -> dict[str, Any]:
        """Return the attributes that the client sent. Raise Malformed, Unauthorized."""
        context.caller  # noqa: B018 what nobody sends is not looked at
        self._schema.check(context.document)
        found: dict[str, Any] = context.document[self.name] if self.name else context.document
        return found

    def check(self, about: Any) -> dict[str, Any]:
        """Return the attributes of an action. Raise Malformed."""
        self._schema.check({self.name: about} if self.name else about)
        found: dict[str, Any] = about
        return found


def truth(value: Any, name: str) -> bool:
    """Return what a flag means that may come as a word. Raise Invalid."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "t", "true", "on", "y", "yes"):
        return True
    if word in ("0", "f", "false", "off", "n", "no"):
        return False
    raise Invalid(f"Invalid input for field/attribute {name}. Value: {value}. It is neither true nor false.")


def number(value: Any, name: str, least: int, most: int = INTEGER_LIMIT) -> int:
    """Return an integer that may come as digits. Raise Invalid."""
    digits = str(value)
    if isinstance(value, bool) or not (digits.removeprefix("-").isascii() and digits.removeprefix("-").isdigit()):
        raise Invalid(f"Invalid input for field/attribute {name}. Value: {value}. It is no integer.")
    if len(digits) > 20 or int(digits) > most:
        raise Invalid(f"Invalid input for field/attribute {name}. Value: {value}. It is greater than {most}.")
    if int(digits) < least:
        raise Invalid(f"Invalid input for field/attribute {name}. Value: {value}. It is less than {least}.")
    return int(digits)
