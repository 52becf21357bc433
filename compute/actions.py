"""`POST …/action` with `{"os-extend": {...}}`: the only name in the document says what is to be done."""

from collections.abc import Callable, Mapping
from typing import Any

from cluster.controlplane.answer import Answer
from cluster.controlplane.errors import Malformed
from compute.context import Context

Action = Callable[[Any, str, Any], Answer]  # of the request, the id, and what the name has

ACCEPTED = Answer(202)


class Dispatch:
    """The operation that does what the document names."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self.actions = actions

    def __repr__(self) -> str:
        return f"Dispatch({', '.join(self.actions)})"

    def __call__(self, context: Context[Any], **parts: str) -> Answer:
        """See Operation."""
        context.caller  # noqa: B018 what nobody sends is not looked at
        names = [name for name in context.document if name in self.actions]
        if len(names) != 1 or len(context.document) != 1:
            raise Malformed(f"There is no such action: {', '.join(map(str, context.document)) or 'none'}.")
        (identifier,) = parts.values()
        return self.actions[names[0]](context, identifier, context.document[names[0]])
