"""Operations on tags: words by which whoever may change something marks it."""

from collections.abc import Sequence

from sqlalchemy import delete, insert

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from compute.network import checks
from compute.network.api.requests import Request, require_owned, work_of
from compute.network.api.resources import seen, target_of
from compute.network.api.served import Served
from compute.network.errors import HTTPBadRequest, NotFound, TagNotFound, TagResourceNotFound
from compute.network.schema import tags
from compute.network.work import AnyRow, tags_of

_MOST = 50  # of one thing


class Tags:
    """The operations on the tags of a noun."""

    def __init__(self, served: Served) -> None:
        self._served, self._noun = served, served.noun

    def __repr__(self) -> str:
        return f"Tags({self._noun.name})"

    def list_all(self, context: Request, identifier: str) -> Answer:
        """GET /v2.0/{nouns}/{id}/tags."""
        self._row(context, identifier)
        return ok({"tags": self._held(context, identifier)})

    def show(self, context: Request, identifier: str, tag: str) -> Answer:
        """GET /v2.0/{nouns}/{id}/tags/{tag}: whether it is there."""
        self._row(context, identifier)
        if tag not in self._held(context, identifier):
            raise TagNotFound(tag=tag)
        return NO_CONTENT

    def replace(self, context: Request, identifier: str) -> Answer:
        """PUT /v2.0/{nouns}/{id}/tags."""
        row = self._changeable(context, identifier)
        self._set(context, row, _checked(context.document.get("tags")))
        return ok({"tags": self._held(context, identifier)})

    def add(self, context: Request, identifier: str, tag: str) -> Answer:
        """PUT /v2.0/{nouns}/{id}/tags/{tag}."""
        row = self._changeable(context, identifier)
        self._set(context, row, [*self._held(context, identifier), *_checked([tag])])
        return Answer(201)

    def add_several(self, context: Request, identifier: str) -> Answer:
        """POST /v2.0/{nouns}/{id}/tags."""
        row = self._changeable(context, identifier)
        self._set(context, row, [*self._held(context, identifier), *_checked(context.document.get("tags"))])
        return Answer(201, {"tags": self._held(context, identifier)})

    def remove(self, context: Request, identifier: str, tag: str) -> Answer:
        """DELETE /v2.0/{nouns}/{id}/tags/{tag}."""
        row = self._changeable(context, identifier)
        held = self._held(context, identifier)
        if tag not in held:
            raise TagNotFound(tag=tag)
        self._set(context, row, [each for each in held if each != tag])
        return NO_CONTENT

    def remove_all(self, context: Request, identifier: str) -> Answer:
        """DELETE /v2.0/{nouns}/{id}/tags."""
        self._set(context, self._changeable(context, identifier), [])
        return NO_CONTENT

    def _row(self, context: Request, identifier: str) -> AnyRow:
        try:
            return seen(context, self._served, identifier)
        except NotFound:
            raise TagResourceNotFound(resource=self._noun.plural, id=identifier) from None

    def _changeable(self, context: Request, identifier: str) -> AnyRow:
        row = self._row(context, identifier)
        require_owned(context, f"update_{self._noun.name}", target_of(context, self._served, dict(row._mapping)))
        return row

    def _held(self, context: Request, identifier: str) -> list[str]:
        return tags_of(context.connection, [identifier])[identifier]

    def _set(self, context: Request, row: AnyRow, wanted: Sequence[str]) -> None:
        found = sorted(set(wanted))
        if len(found) > _MOST:
            raise HTTPBadRequest(why=f"Invalid input for tags. Reason: there are more than {_MOST}.")
        context.connection.execute(delete(tags).where(tags.c.resource_id == row.id))
        if found:
            context.connection.execute(insert(tags), [{"resource_id": row.id, "tag": tag} for tag in found])
        work_of(context).revise(self._noun, row.id)


def _checked(value: object) -> list[str]:
    if not isinstance(value, list):
        raise HTTPBadRequest(why="Invalid input for tags. Reason: a list of them is needed.")
    try:
        return checks.tags(value)
    except ValueError as error:
        raise HTTPBadRequest(why=f"Invalid input for tags. Reason: {error}.") from None
