"""Metadata and tags of a server."""

import re
from typing import Any

from cluster.controlplane.answer import NO_CONTENT, Answer, ok
from cluster.controlplane.errors import Malformed
from compute.instances import quotas, servers
from compute.instances.api.forms import METADATA_KEY, NAME_LIMIT, Form
from compute.instances.api.requests import Request
from compute.instances.api.server_access import RULE, server_for, unlocked_for
from compute.instances.api.server_forms import TAGS
from compute.instances.errors import Invalid, NotFound, OverQuota
from compute.instances.servers import Server

MOST_TAGS = 50
_METADATA = Form("metadata", {}, more={"type": "string", "maxLength": NAME_LIMIT})
_META = Form("meta", {}, more={"type": "string", "maxLength": NAME_LIMIT}, minProperties=1, maxProperties=1)
_TAGS = Form("", {"tags": TAGS}, required=("tags",))
_RULE = f"{RULE}server-metadata:"
_TAG_RULE = f"{RULE}os-server-tags:"


def list_metadata(context: Request, server_id: str) -> Answer:
    """GET …/metadata."""
    return ok({"metadata": dict(server_for(context, f"{_RULE}index", server_id).metadata)})


def show_metadata(context: Request, server_id: str, key: str) -> Answer:
    """GET …/metadata/{key}."""
    server = server_for(context, f"{_RULE}show", server_id)
    if key not in server.metadata:
        raise NotFound("Metadata item", key)
    return ok({"meta": {key: server.metadata[key]}})


def add_metadata(context: Request, server_id: str) -> Answer:
    """POST …/metadata: some items."""
    wanted = _checked(_METADATA.read(context))
    server = unlocked_for(context, f"{_RULE}create", server_id)
    return ok({"metadata": _set(context, server, {**server.metadata, **wanted})})


def replace_metadata(context: Request, server_id: str) -> Answer:
    """PUT …/metadata: all items."""
    wanted = _checked(_METADATA.read(context))
    server = unlocked_for(context, f"{_RULE}update_all", server_id)
    return ok({"metadata": _set(context, server, wanted)})


def set_metadata(context: Request, server_id: str, key: str) -> Answer:
    """PUT …/metadata/{key}."""
    wanted = _checked(_META.read(context))
    server = unlocked_for(context, f"{_RULE}update", server_id)
    if key not in wanted:
        raise Invalid("Request body and URI mismatch")
    _set(context, server, {**server.metadata, **wanted})
    return ok({"meta": wanted})


def remove_metadata(context: Request, server_id: str, key: str) -> Answer:
    """DELETE …/metadata/{key}."""
    server = unlocked_for(context, f"{_RULE}delete", server_id)
    if key not in server.metadata:
        raise NotFound("Metadata item", key)
    _set(context, server, {name: value for name, value in server.metadata.items() if name != key})
    return NO_CONTENT


def _checked(wanted: dict[str, Any]) -> dict[str, str]:
    for key in wanted:
        if not re.match(METADATA_KEY, key):
            raise Malformed(f"Invalid input for field/attribute metadata. Value: {key}.")
    return wanted


def _set(context: Request, server: Server, wanted: dict[str, str]) -> dict[str, str]:
    limit = quotas.limits(context.connection, context.parts.settings.quotas, server.project_id)["metadata_items"]
    if 0 <= limit < len(wanted):
        raise OverQuota(f"Maximum number of metadata items exceeds {limit}")
    servers.change(context.connection, server.id, context.now_us, metadata=wanted)
    return wanted


# tags (from 2.26 on)


def list_tags(context: Request, server_id: str) -> Answer:
    """GET …/tags."""
    server = server_for(context, f"{_TAG_RULE}index", server_id)
    return ok({"tags": _tags(context, server)})


def replace_tags(context: Request, server_id: str) -> Answer:
    """PUT …/tags."""
    wanted = _TAGS.read(context)["tags"]
    server = unlocked_for(context, f"{_TAG_RULE}update_all", server_id)
    servers.set_tags(context.connection, server.id, wanted)
    return ok({"tags": _tags(context, server)})


def remove_tags(context: Request, server_id: str) -> Answer:
    """DELETE …/tags."""
    server = unlocked_for(context, f"{_TAG_RULE}delete_all", server_id)
    servers.set_tags(context.connection, server.id, ())
    return NO_CONTENT


def show_tag(context: Request, server_id: str, tag: str) -> Answer:
    """GET …/tags/{tag}: whether it is there."""
    server = server_for(context, f"{_TAG_RULE}show", server_id)
    if tag not in _tags(context, server):
        raise NotFound(f"Tag {tag} of instance", server.id)
    return NO_CONTENT


def add_tag(context: Request, server_id: str, tag: str) -> Answer:
    """PUT …/tags/{tag}."""
    _TAGS.check({"tags": [tag]})
    server = unlocked_for(context, f"{_TAG_RULE}update", server_id)
    known = _tags(context, server)
    if tag in known:
        return NO_CONTENT
    if len(known) >= MOST_TAGS:
        raise Invalid(f"The number of tags exceeded the per-server limit {MOST_TAGS}")
    servers.set_tags(context.connection, server.id, [*known, tag])
    return Answer(201, None, {"Location": f"{context.base_url}{context.request.path}"})


def remove_tag(context: Request, server_id: str, tag: str) -> Answer:
    """DELETE …/tags/{tag}."""
    server = unlocked_for(context, f"{_TAG_RULE}delete", server_id)
    known = _tags(context, server)
    if tag not in known:
        raise NotFound(f"Tag {tag} of instance", server.id)
    servers.set_tags(context.connection, server.id, [each for each in known if each != tag])
    return NO_CONTENT


def _tags(context: Request, server: Server) -> list[str]:
    return servers.tags_of(context.connection, [server.id])[server.id]
