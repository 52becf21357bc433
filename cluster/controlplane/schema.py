"""Checks documents of clients against JSON schemas, and says which field is wrong.

Source: json-schema.org, draft 2020-12; the words are those of OpenStack's services.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from cluster.controlplane.errors import Malformed


class Schema:
    """A schema, checked itself when it is made."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        Draft202012Validator.check_schema(definition)
        self._validator = Draft202012Validator(definition)

    def check(self, document: object) -> None:
        """Raise Malformed, naming the field, unless `document` fits."""
        error = best_match(self._validator.iter_errors(document))
        if error is not None:
            raise Malformed(_sentence(error))


def _sentence(error: ValidationError) -> str:
    path = "/".join(map(str, error.absolute_path))
    if not path:
        return f"{error.message}"
    if "password" in path:  # the message would show it
        return f"Invalid input for field '{path}'."
    return f"Invalid input for field '{path}': {error.message}"
