"""Security groups and their rules: rows, and what may be done to them. Every project has a default group."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from compute.network import protocols, quotas
from compute.network.attributes import RULE, SECURITY_GROUP
from compute.network.errors import (
    SecurityGroupCannotRemoveDefault,
    SecurityGroupCannotUpdateDefault,
    SecurityGroupDefaultAlreadyExists,
    SecurityGroupInUse,
    SecurityGroupNotFound,
    SecurityGroupRemoteGroupAndRemoteIpPrefix,
    SecurityGroupRuleExists,
    SecurityGroupRuleParameterConflict,
)
from compute.network.schema import port_security_groups, security_group_rules, security_groups
from compute.network.settings import Settings
from compute.network.work import AnyRow, Work, standard_of, tags_of
from compute.records import IDS_PER_QUERY, new_id

DEFAULT, _ABOUT_DEFAULT = "default", "Default security group"
_FAMILIES = ("IPv4", "IPv6")
_SAME = (
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
)


def ensure_default(work: Work, project_id: str) -> str:
    """Return the id of a project's default group, which is made where it is missing."""
    query = select(security_groups.c.id).where(security_groups.c.project_id == project_id, security_groups.c.is_default)
    found = work.connection.scalar(query)
    if found is not None:
        return str(found)
    dialect = sqlite if work.connection.dialect.name == "sqlite" else postgresql
    group_id = new_id()
    wanted = dialect.insert(security_groups).values(
        id=group_id,
        project_id=project_id,
        name=DEFAULT,
        description=_ABOUT_DEFAULT,
        is_default=True,
        revision_number=1,
        created_at_us=work.now_us,
        updated_at_us=work.now_us,
    )
    work.connection.execute(wanted.on_conflict_do_nothing())
    for ethertype in _FAMILIES:
        _add_rule(work, group_id, project_id, "egress", ethertype)
        _add_rule(work, group_id, project_id, "ingress", ethertype, group_id)
    return group_id


def create(work: Work, attributes: Mapping[str, Any]) -> str:
    """Make a group that lets out all and lets in nothing; return its id. Raise OverQuota."""
    ensure_default(work, attributes["project_id"])
    if attributes["name"] == DEFAULT:
        raise SecurityGroupDefaultAlreadyExists()
    quotas.require(work, attributes["project_id"], SECURITY_GROUP.name)
    group_id = work.add(SECURITY_GROUP, {**attributes, "is_default": False})
    for ethertype in _FAMILIES:
        _add_rule(work, group_id, attributes["project_id"], "egress", ethertype)
    return group_id


def update(work: Work, row: AnyRow, attributes: Mapping[str, Any]) -> None:
    """Change a group. Raise SecurityGroupCannotUpdateDefault."""
    if row.is_default and attributes.get("name", row.name) != row.name:
        raise SecurityGroupCannotUpdateDefault()
    if not row.is_default and attributes.get("name") == DEFAULT:
        raise SecurityGroupDefaultAlreadyExists()
    work.revise(SECURITY_GROUP, row.id, attributes)


def remove(work: Work, row: AnyRow, by_admin: bool) -> None:
    """Delete a group with its rules, and those of others that name it. Raise SecurityGroupInUse."""
    if row.is_default and not by_admin:
        raise SecurityGroupCannotRemoveDefault()
    used = select(func.count()).where(port_security_groups.c.security_group_id == row.id)
    if work.connection.scalar(used):
        raise SecurityGroupInUse(id=row.id, reason="in use")
    table = security_group_rules
    work.connection.execute(
        delete(table).where((table.c.security_group_id == row.id) | (table.c.remote_group_id == row.id))
    )
    work.remove(SECURITY_GROUP, row.id)


def seen_by(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of groups that a project sees."""
    return security_groups.c.project_id == project_id


def documents(connection: Connection, _settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return groups as documents, with their rules."""
    ids = [row.id for row in rows]
    rules: dict[str, list[dict[str, Any]]] = {each: [] for each in ids}
    table = security_group_rules
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = select(table).where(table.c.security_group_id.in_(ids[start : start + IDS_PER_QUERY]))
        for rule in connection.execute(query.order_by(table.c.created_at_us, table.c.id)):
            rules[rule.security_group_id].append(_rule_document(rule))
    marked = tags_of(connection, ids)
    return [
        {
            **standard_of(row),
            "name": row.name,
            "is_default": row.is_default,
            "stateful": True,
            "shared": False,
            "security_group_rules": rules[row.id],
            "tags": marked[row.id],
        }
        for row in rows
    ]


def create_rule(work: Work, attributes: Mapping[str, Any]) -> str:
    """Add a rule to a group, and return its id. Raise what says why it cannot be."""
    group_id, remote_id = attributes["security_group_id"], attributes["remote_group_id"]
    project_id = work.find(SECURITY_GROUP, group_id).project_id  # whoever adds it
    if remote_id is not None:
        if attributes["remote_ip_prefix"] is not None:
            raise SecurityGroupRemoteGroupAndRemoteIpPrefix()
        if work.find(SECURITY_GROUP, remote_id).project_id != project_id:
            raise SecurityGroupNotFound(id=remote_id)
    attributes = {**attributes, "project_id": project_id, "protocol": protocols.normal(attributes["protocol"])}
    protocols.require_fitting(attributes)
    prefix, ethertype = attributes["remote_ip_prefix"], attributes["ethertype"]
    if prefix is not None and f"IPv{ipaddress.ip_network(prefix).version}" != ethertype:
        raise SecurityGroupRuleParameterConflict(ethertype=ethertype, cidr=prefix)
    quotas.require(work, project_id, RULE.name)
    for row in work.connection.execute(
        select(security_group_rules).where(security_group_rules.c.security_group_id == group_id)
    ):
        if all(getattr(row, name) == attributes[name] for name in _SAME):
            raise SecurityGroupRuleExists(rule_id=row.id)
    rule_id = work.add(RULE, attributes)
    work.revise(SECURITY_GROUP, group_id)
    return rule_id


def remove_rule(work: Work, row: AnyRow) -> None:
    """Delete a rule."""
    work.remove(RULE, row.id)
    work.revise(SECURITY_GROUP, row.security_group_id)


def sees_rules(project_id: str | None) -> "ColumnElement[bool]":
    """Return the condition of rules that a project sees: its own, and those of its groups."""
    own = select(security_groups.c.id).where(security_groups.c.project_id == project_id)
    return (security_group_rules.c.project_id == project_id) | security_group_rules.c.security_group_id.in_(own)


def rule_documents(_connection: Connection, _settings: Settings, rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """Return rules as documents."""
    return [_rule_document(row) for row in rows]


def _rule_document(row: AnyRow) -> dict[str, Any]:
    return {
        **standard_of(row),
        "security_group_id": row.security_group_id,
        **{name: getattr(row, name) for name in _SAME},
        "normalized_cidr": row.remote_ip_prefix,
        "remote_address_group_id": None,
        "belongs_to_default_sg": False,
    }


def _add_rule(
    work: Work, group_id: str, project_id: str, direction: str, ethertype: str, remote_group_id: str | None = None
) -> None:
    work.add(
        RULE,
        {
            "project_id": project_id,
            "description": "",
            "security_group_id": group_id,
            "direction": direction,
            "ethertype": ethertype,
            "protocol": None,
            "port_range_min": None,
            "port_range_max": None,
            "remote_ip_prefix": None,
            "remote_group_id": remote_group_id,
        },
    )
