"""Operations on quotas and quota classes."""

from collections.abc import Mapping
from typing import Any

from cluster.controlplane.answer import Answer, ok
from compute.instances import quotas
from compute.instances.api.forms import BOOLEAN, INTEGER_LIMIT, NUMBER, Form, number, truth
from compute.instances.api.lists import check_query
from compute.instances.api.requests import Request, at_least
from compute.instances.errors import Invalid
from compute.instances.quotas import UNLIMITED

NO_PROXIES_SINCE, CLASS_GROUPS_SINCE, NO_FILES_SINCE = 36, 50, 57
_GROUPS = ("server_groups", "server_group_members")
_RULE, _CLASS_RULE = "os_compute_api:os-quota-sets:", "os_compute_api:os-quota-class-sets:"
_USER = frozenset(("user_id",))


def _forms(name: str, more: Mapping[str, Any]) -> tuple[tuple[int, Form], ...]:
    """Return the forms of a kind of quotas, each from a version on."""
    own = dict.fromkeys(quotas.COUNTED, NUMBER)
    files, proxied = dict.fromkeys(quotas.FILES, NUMBER), dict.fromkeys((*quotas.PROXIED, "networks"), NUMBER)
    return (
        (NO_FILES_SINCE, Form(name, {**own, **more})),
        (NO_PROXIES_SINCE, Form(name, {**own, **files, **more})),
        (0, Form(name, {**own, **files, **proxied, **more})),
    )


_FORMS = _forms("quota_set", {"force": BOOLEAN})
_CLASS_FORMS = _forms("quota_class_set", {})


def show(context: Request, target_id: str) -> Answer:
    """GET /v2.1/os-quota-sets/{project}, perhaps of one of its users."""
    context.enforce(_RULE + "show", {"project_id": target_id})
    check_query(context, _USER)
    return ok({"quota_set": {"id": target_id, **_shown(context, _limits(context, target_id))}})


def show_detail(context: Request, target_id: str) -> Answer:
    """GET /v2.1/os-quota-sets/{project}/detail: with what is used."""
    context.enforce(_RULE + "detail", {"project_id": target_id})
    check_query(context, _USER)
    used = quotas.usages(context.connection, target_id, context.query.get("user_id"))
    told = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in _shown(context, _limits(context, target_id)).items()
    }
    return ok({"quota_set": {"id": target_id, **told}})


def show_defaults(context: Request, target_id: str) -> Answer:
    """GET /v2.1/os-quota-sets/{project}/defaults."""
    context.enforce(_RULE + "defaults", {"project_id": target_id})
    defaults = quotas.class_limits(context.connection, context.parts.settings.quotas)
    return ok({"quota_set": {"id": target_id, **_shown(context, defaults)}})


def change(context: Request, target_id: str) -> Answer:
    """PUT /v2.1/os-quota-sets/{project}, perhaps of one of its users."""
    context.enforce(_RULE + "update", {"project_id": target_id})
    check_query(context, _USER)
    attributes = dict(_form(context, _FORMS).read(context))
    forced = truth(attributes.pop("force", False), "force")
    wanted = _wanted(attributes)
    user_id = context.query.get("user_id")
    if not forced:
        _require_sensible(context, target_id, user_id, wanted)
    quotas.set_limits(context.connection, target_id, wanted, user_id)
    return ok({"quota_set": _shown(context, _limits(context, target_id))})


def remove(context: Request, target_id: str) -> Answer:
    """DELETE /v2.1/os-quota-sets/{project}: it has the limits that all have."""
    context.enforce(_RULE + "delete", {"project_id": target_id})
    check_query(context, _USER)
    quotas.reset(context.connection, target_id, context.query.get("user_id"))
    return Answer(202)


def show_class(context: Request, name: str) -> Answer:
    """GET /v2.1/os-quota-class-sets/{name}."""
    context.enforce(_CLASS_RULE + "show")
    return ok({"quota_class_set": {"id": name, **_class(context, name)}})


def change_class(context: Request, name: str) -> Answer:
    """PUT /v2.1/os-quota-class-sets/{name}; `default` is that of all projects."""
    context.enforce(_CLASS_RULE + "update")
    if len(name) > 255:
        raise Invalid("quota_class_name has more than 255 characters.")
    quotas.set_class_limits(context.connection, name, _wanted(dict(_form(context, _CLASS_FORMS).read(context))))
    return ok({"quota_class_set": _class(context, name)})


def _form(context: Request, forms: tuple[tuple[int, Form], ...]) -> Form:
    return next(form for since, form in forms if at_least(context, since))


def _limits(context: Request, project_id: str) -> dict[str, int]:
    defaults = context.parts.settings.quotas
    return quotas.limits(context.connection, defaults, project_id, context.query.get("user_id"))


def _shown(context: Request, limits: Mapping[str, int]) -> dict[str, int]:
    """Return those limits that the client's version of the API has."""
    return {name: limit for name, limit in limits.items() if name not in _hidden(context, NO_PROXIES_SINCE)}


def _class(context: Request, name: str) -> dict[str, int]:
    found = quotas.class_limits(context.connection, context.parts.settings.quotas, name)
    hidden = _hidden(context, CLASS_GROUPS_SINCE)
    if not at_least(context, CLASS_GROUPS_SINCE):
        hidden = frozenset(_GROUPS)
    return {resource: limit for resource, limit in found.items() if resource not in hidden}


def _hidden(context: Request, no_proxies_since: int) -> frozenset[str]:
    if at_least(context, NO_FILES_SINCE):
        return frozenset(quotas.NOT_COUNTED)
    return frozenset(quotas.PROXIED if at_least(context, no_proxies_since) else ())


def _wanted(attributes: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits to store."""
    if "networks" in attributes:
        raise Invalid("The networks quota has been removed")
    return {name: number(value, name, UNLIMITED, INTEGER_LIMIT) for name, value in attributes.items()}


def _require_sensible(context: Request, project_id: str, user_id: str | None, wanted: Mapping[str, int]) -> None:
    """Raise Invalid when a limit is less than what is used, or a user's more than its project's."""
    used = quotas.usages(context.connection, project_id, user_id)
    whole = quotas.limits(context.connection, context.parts.settings.quotas, project_id)
    for name, limit in wanted.items():
        if limit != UNLIMITED and limit < used.get(name, 0):
            raise Invalid(
                f"Quota limit {limit} for {name} must be greater than or equal to already used and reserved "
                f"{used.get(name, 0)}."
            )
        most = whole[name] if user_id is not None else UNLIMITED
        if most != UNLIMITED and (limit == UNLIMITED or limit > most):
            raise Invalid(f"Quota limit {limit} for {name} must be less than or equal to {most}.")
